"""Asking to have masks made anew: a run like a sync, for the role that may unmask."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import sqlalchemy as sa

from atlas.ledger import audit, runs
from atlas.ledger.tables import run, stage_run
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER

PATH = "/api/v1/connections/shop/remasks"


@pytest.fixture
def promoted(shop: str, engine: sa.Engine) -> str:
    """A connection whose stream users has come to chart."""
    configured = ConfiguredStream(StreamKey("users", None), {}, SyncMode.FULL_REFRESH)
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="api", selected=None, full_refresh=False
        )
        runs.add_streams(conn, run_id, [(configured, True)], ORDER)
        conn.execute(run.update().values(status="succeeded"))
        conn.execute(stage_run.update().values(status="succeeded"))
    return shop


def test_one_is_written_down_and_sent(
    api: Any, promoted: str, engine: sa.Engine, queue: redis.Redis
) -> None:
    headers = {"Idempotency-Key": "once"}
    answer = api.post(PATH, "privacy", json={"streams": ["users"]}, headers=headers)
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    assert answer.headers["Location"] == f"/api/v1/runs/{answer.json['run_id']}"
    assert queue.llen("extract") == 1
    found = api.get(answer.headers["Location"]).json
    assert (found["status"], found["trigger"], found["streams"]) == ("queued", "remask", [])
    again = api.post(PATH, "privacy", json={"streams": ["users"]}, headers=headers)
    assert again.json == answer.json
    with engine.connect() as conn:
        (entry,) = audit.entries(conn, limit=5, action="pii.remask")
    assert (entry["action"], entry["subject"]) == ("pii.remask", "shop")
    assert entry["detail"] == {"run_id": answer.json["run_id"], "streams": ["users"]}
    # It is the connection's one run: neither a sync nor another may begin.
    for path, role in ((PATH, "privacy"), (PATH.replace("remasks", "syncs"), "operator")):
        refused = api.post(path, role)
        assert (refused.status_code, refused.json["run_id"]) == (409, answer.json["run_id"])


def test_what_cannot_be_masked_anew_is_refused(api: Any, promoted: str) -> None:
    assert api.post(PATH, "operator").status_code == 403
    assert api.post(PATH.replace("shop", "nothing"), "privacy").status_code == 404
    refused = api.post(PATH, "privacy", json={"streams": ["orders"]})
    assert refused.status_code == 422
    assert "these have: users" in refused.json["detail"]


def test_nothing_is_there_to_be_masked(api: Any, shop: str) -> None:
    refused = api.post(PATH, "privacy")
    assert refused.status_code == 422
    assert "none of its streams has come to chart yet" in refused.json["detail"]
