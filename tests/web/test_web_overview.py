"""The overview tells what runs, what failed, how fresh and good the data are, and what waits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis as redis_client
import sqlalchemy as sa

from atlas.ledger import ends, runs
from atlas.ledger.claims import Claim, claim
from atlas.ledger.tables import quality_score, run, run_stream
from atlas.model.stage import Stage, Status
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.sync import presence
from atlas.sync.queues import queues


def _run(engine: sa.Engine, name: str, **rows: int) -> str:
    """A run of one stream that waits for its stages, with these rows."""
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=name, trigger="api", selected=None, full_refresh=False
        )
        users = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)
        runs.add_streams(conn, run_id, [(users, True)], list(ORDER))
        conn.execute(
            run_stream.update()
            .where(run_stream.c.run_id == run_id)
            .values({f"rows_{layer}": count for layer, count in rows.items()})
        )
    return run_id


def _end(engine: sa.Engine, run_id: str, status: Status) -> None:
    """End its explore and its stream with this status."""
    found = claim(
        engine, Stage.EXPLORE, run_id=run_id, run_stream_id=None, holder="here:1", lease=60,
        max_attempts=5,
    )  # fmt: skip
    assert isinstance(found, Claim)
    with engine.begin() as conn:
        runs.stamp_extraction(conn, run_id)
        for run_stream_id in runs.stream_ids(conn, run_id):
            ends.end_stream(
                conn, run_stream_id, status, None if status is Status.SUCCEEDED else "it broke"
            )
        ends.finish(conn, found, Status.SUCCEEDED)


def test_an_empty_ledger_says_that_there_is_nothing(api: Any) -> None:
    found = api.get("/api/v1/overview").json
    assert found["running"] == {"count": 0, "items": []}
    assert found["failed"] == []
    assert found["connections"] == {"count": 0, "items": []}
    assert len(found["rows"]["days"]) == 30
    assert found["rows"]["total"]["explore"] == [0] * 30
    assert found["rows"]["connections"] == []
    assert found["workers"] == []


def test_runs_connections_and_rows(api: Any, add_connection: Any, engine: sa.Engine) -> None:
    for name in ("shop", "crm", "new"):
        add_connection(name)
    good = _run(engine, "shop", explore=10, promoted=8, quarantined=2)
    _end(engine, good, Status.SUCCEEDED)
    bad = _run(engine, "crm", explore=5)
    _end(engine, bad, Status.FAILED)
    going = _run(engine, "shop", explore=4, estimate=8)
    with engine.begin() as conn:
        conn.execute(
            quality_score.insert(),
            [
                {"run_stream_id": run_stream_id, "dimension": dimension, "score": score}
                for run_stream_id in runs.stream_ids(conn, good)
                for dimension, score in (("overall", 0.9), ("validity", 0.5))
            ],
        )
    found = api.get("/api/v1/overview").json
    assert found["running"]["count"] == 1
    (item,) = found["running"]["items"]
    assert item["run_id"] == going
    assert item["percent"] == 50
    assert item["rows"] == {"explore": 4, "promoted": 0, "quarantined": 0}
    assert [each["run_id"] for each in found["failed"]] == [bad]
    # The one in trouble first, then by name.
    assert [each["name"] for each in found["connections"]["items"]] == ["crm", "new", "shop"]
    crm, new, shop = found["connections"]["items"]
    assert (crm["last_run"]["status"], crm["fresh_at"], crm["score"]) == ("failed", None, None)
    assert new["last_run"] is None
    assert shop["last_run"]["run_id"] == going
    assert shop["fresh_at"] is not None
    assert (shop["score"], shop["lowest_score"], shop["scored_in"]) == (0.9, 0.9, good)
    rows = found["rows"]
    assert (rows["total"]["runs"][-1], rows["total"]["explore"][-1]) == (2, 15)
    assert [each["connection"] for each in rows["connections"]] == ["shop", "crm"]
    assert rows["connections"][0]["promoted"][-1] == 8


def test_what_is_long_ago_is_not_told(api: Any, shop: str, engine: sa.Engine) -> None:
    _end(engine, _run(engine, shop, explore=5), Status.FAILED)
    with engine.begin() as conn:
        conn.execute(run.update().values(finished_at=sa.text("now() - interval '40 days'")))
    found = api.get("/api/v1/overview").json
    assert found["failed"] == []
    assert sum(found["rows"]["total"]["runs"]) == 0
    assert found["connections"]["items"][0]["last_run"]["status"] == "failed"


def test_a_cancelled_run_counts_what_it_brought(api: Any, shop: str, engine: sa.Engine) -> None:
    run_id = _run(engine, shop, explore=7)
    assert api.post(f"/api/v1/runs/{run_id}/cancel").status_code == 200
    assert api.get("/api/v1/overview").json["rows"]["total"]["explore"][-1] == 7


@pytest.fixture
def waiting(queue: redis_client.Redis) -> Iterator[redis_client.Redis]:
    """A Redis in which messages wait."""
    yield queue
    queue.flushall()


def test_what_waits_in_the_broker(
    api: Any, shop: str, waiting: redis_client.Redis, settings: Settings
) -> None:
    assert api.post(f"/api/v1/connections/{shop}/syncs").status_code == 202
    found = {each["queue"]: each for each in api.get("/api/v1/overview").json["queues"]["items"]}
    assert found["extract"]["depth"] == 1
    # The message itself says when it was sent.
    (raw,) = waiting.lrange("extract", 0, -1)
    message = json.loads(raw)
    assert abs(message["headers"]["atlas_sent_at"] - time.time()) < 60
    message["headers"]["atlas_sent_at"] -= 3600
    waiting.rpush("extract", json.dumps(message))
    waiting.lpush("scan\x06\x166", "none of ours")
    found = {each["queue"]: each for each in queues(settings)["items"]}
    assert found["extract"]["depth"] == 2
    assert 3590 < found["extract"]["oldest_seconds"] < 3700
    assert (found["scan"]["depth"], found["scan"]["oldest_seconds"]) == (1, None)
    assert (found["load"]["depth"], found["load"]["oldest_seconds"]) == (0, None)


def test_where_redis_is_away_nobody_knows_what_waits(settings: Settings) -> None:
    found = queues(replace(settings, redis_url="redis://:hush@127.0.0.1:1/0"))
    assert found["items"] is None
    assert "Redis does not answer" in found["reason"]
    assert "hush" not in found["reason"]


def test_workers_that_live_and_one_that_is_gone(api: Any, engine: sa.Engine) -> None:
    assert presence.beat(engine, "scan@here", {"scan"})
    assert not presence.beat(engine, "scan@here", {"scan"})  # once is enough
    assert presence.beat(engine, "load@here", {"load"})
    assert presence.beat(engine, "old@here", {"load"})
    with engine.begin() as conn:
        age = sa.text(
            "UPDATE pipeline.worker SET beat_at = beat_at - CAST(:age AS interval)"
            " WHERE name = :name"
        )
        conn.execute(age, {"age": "1 minute", "name": "load@here"})
        conn.execute(age, {"age": "2 days", "name": "old@here"})
    assert presence.beat(engine, "load-2@here", {"load"})
    found = {each["name"]: each["alive"] for each in api.get("/api/v1/overview").json["workers"]}
    assert found == {"load-2@here": True, "load@here": False, "scan@here": True}
