"""Rows that were set aside are taken up or discarded, over HTTP."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from atlas.layers import chart, explore, names
from atlas.ledger import audit, runs
from atlas.ledger.database import cursor
from atlas.ledger.tables import idempotency, run, stage_run
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER

USERS = StreamKey("users")
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": "number", "minimum": 0},
        "Net Total": {"type": "number"},
    }
}
PATH = "/api/v1/quarantine/shop_users/reprocess"
DISCARD = PATH.replace("reprocess", "discard")


@pytest.fixture
def aside(engine: sa.Engine, shop: str) -> str:
    """The run that set rows 1 to 3 of dataset ``shop_users`` aside."""
    stream = ConfiguredStream(USERS, SCHEMA, SyncMode.FULL_REFRESH, primary_key=(("id",),))
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="cli", selected=None, full_refresh=False
        )
        runs.add_streams(conn, run_id, [(stream, True)], ORDER)
        cur = cursor(conn)
        tables = names.tables(cur, shop, USERS)
        explore.ensure(cur, tables)
        chart.ensure(cur, tables, names.columns(cur, shop, USERS, SCHEMA).all, {}, (("id",),))
        conn.execute(run.update().values(status="succeeded"))
        conn.execute(stage_run.update().values(status="succeeded"))
        conn.execute(
            sa.text(
                "INSERT INTO explore.shop_users_raw (_atlas_run_id, _atlas_emitted_at, data)"
                " SELECT :r, now(), jsonb_build_object('id', n, 'total', -n)"
                " FROM generate_series(1, 3) n"
            ),
            {"r": run_id},
        )
        conn.execute(
            sa.text(
                "INSERT INTO chart.shop_users_quarantine (id, total, _atlas_id, _atlas_run_id,"
                " _atlas_emitted_at, _atlas_checks) SELECT n, -n, n, :r, now(),"
                " ARRAY['accuracy.total.range'] FROM generate_series(1, 3) n"
            ),
            {"r": run_id},
        )
    return run_id


def _taken(engine: sa.Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as conn:
        query = "SELECT of_id, mended, waived FROM pipeline.reprocessed_row ORDER BY 1"
        return [tuple(each) for each in conn.execute(sa.text(query))]


def test_rows_are_put_right_and_sent(
    api: Any, aside: str, engine: sa.Engine, queue: redis.Redis
) -> None:
    body = (
        '{"patches": [{"row": 1, "set": {"total": 12345678901234567890.50}}],'
        ' "rows": [2], "overrides": ["accuracy.total.range"], "why": "a refund"}'
    )
    headers = {"Idempotency-Key": "once", "Content-Type": "application/json"}
    answer = api.post(PATH, data=body, headers=headers)
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    assert answer.headers["Location"] == f"/api/v1/runs/{answer.json['run_id']}"
    assert queue.llen("extract") == 1
    found = api.get(answer.headers["Location"]).json
    assert (found["status"], found["trigger"]) == ("queued", "reprocess")
    assert _taken(engine) == [
        (1, ["total"], ["accuracy.total.range"]),
        (2, None, ["accuracy.total.range"]),
    ]
    with engine.connect() as conn:
        made = sa.text("SELECT data->>'total' FROM explore.shop_users_raw WHERE _atlas_id = 4")
        assert conn.execute(made).scalar() == "12345678901234567890.50"
        (entry,) = audit.entries(conn, limit=5, action="quality.reprocess")
        kept = conn.execute(sa.select(idempotency)).one()
    assert (entry["actor"], entry["action"]) == ("api: the operator", "quality.reprocess")
    assert "123456" not in str(entry["detail"])
    # Nobody can try values against what is kept of the body.
    assert bytes(kept.body_hash) != hashlib.sha256(body.encode()).digest()
    assert api.post(PATH, data=body, headers=headers).json == answer.json
    other = body.replace("567", "568")
    assert api.post(PATH, data=other, headers=headers).status_code == 422
    assert len(_taken(engine)) == 2
    refused = api.post(PATH, json={"rows": [1]})
    assert (refused.status_code, refused.json["run_id"]) == (409, answer.json["run_id"])
    refused = api.post(DISCARD, json={"rows": [3], "why": "old"})
    assert (refused.status_code, refused.json["run_id"]) == (409, answer.json["run_id"])


def test_rows_are_discarded(api: Any, aside: str, engine: sa.Engine) -> None:
    gone = api.post(DISCARD, json={"rows": [1], "why": "a test account"})
    assert (gone.status_code, gone.json) == (200, {"dataset": "shop_users", "discarded": 1})
    body = {"check": "accuracy.total.range", "why": "old"}
    assert api.post(DISCARD, json=body).json["discarded"] == 2
    assert api.get("/api/v1/quarantine/shop_users").json["items"] == []
    with engine.connect() as conn:
        entries = audit.entries(conn, limit=5, action="quality.discard")
    assert [sorted(each["detail"]["ids"]) for each in entries] == [[2, 3], [1]]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 422, "say which rows"),
        ({"rows": [1], "all": True}, 422, "say which rows"),
        ({"rows": []}, 422, "rows"),
        ({"rows": [1.5]}, 422, "rows"),
        ({"rows": [7]}, 404, "row 7 is not in the quarantine of shop_users"),
        ({"check": "validity.hair"}, 404, "failed 'validity.hair'"),
        ({"patches": [{"row": 1, "set": {"totl": 5}}]}, 422, "did you mean total?"),
        ({"patches": [{"row": 1, "set": {}}]}, 422, "patches"),
        ({"patches": [{"row": 1, "set": {"total": 5}}] * 2}, 422, "row 1 is named twice"),
        (
            {"patches": [{"row": 1, "set": {"Net Total": 5, "net_total": 6}}]},
            422,
            "'Net Total' is said twice",
        ),
        ({"patches": [{"row": 1, "set": {"total": "jane\u0000"}}]}, 422, "NUL"),
        ({"rows": [1], "overrides": ["validity.types"], "why": "x"}, 422, "cannot be"),
        ({"rows": [1], "overrides": ["accuracy.total.range"]}, 422, "why"),
    ],
)
def test_what_is_refused_leaves_nothing(
    api: Any, aside: str, engine: sa.Engine, body: Any, status: int, detail: str
) -> None:
    refused = api.post(PATH, json=body)
    assert (refused.status_code, detail in refused.json["detail"]) == (status, True), refused.json
    assert "jane" not in refused.text
    assert _taken(engine) == []
    with engine.connect() as conn:
        assert runs.active_of_name(conn, "shop") is None


def test_who_may(api: Any, aside: str) -> None:
    assert api.post(PATH, "viewer", json={"rows": [1]}).status_code == 403
    assert api.post(DISCARD, "viewer", json={"rows": [1], "why": "x"}).status_code == 403
    assert api.post(PATH.replace("shop_users", "nowhere"), json={"all": True}).status_code == 404
    assert api.post(DISCARD, json={"rows": [1], "why": " "}).status_code == 422
