"""What becomes of rows that fail: by check, by share, by what is usual; over real runs."""

from __future__ import annotations

from typing import Any

import pytest

from atlas.errors import NotFound
from atlas.ledger import checks
from atlas.model.checks import OnFailure
from atlas.model.quality import Quality, StreamQuality
from atlas.model.stage import Stage
from atlas.model.stream import StreamKey
from atlas.sync import quality
from tests.stages import pipeline
from tests.stages.conftest import Source

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "amount": {"type": "number"},
        "status": {"type": "string", "enum": ["open", "closed"]},
        "updated_at": {"type": "string"},
    },
}
CHECKS = """
checks for users:
  - failed rows:
      name: small
      fail condition: amount > 100
"""


@pytest.fixture
def users(shop: Source, database_url: str) -> Source:
    pipeline.ready(shop, database_url)
    shop.extra = {"users": {"schema": SCHEMA}}
    shop.rows = {"users": [_row(number) for number in range(1, 11)]}
    return shop


def _row(number: int, **values: Any) -> dict[str, Any]:
    row = {"id": number, "amount": number, "status": "open", "updated_at": f"2026-01-{number:02d}"}
    return row | values


def _ids(shop: Source, table: str) -> list[int]:
    found = shop.value(f"SELECT array_agg(id::text::bigint ORDER BY id::text) FROM {table}")
    return sorted(found or [])


def _run(shop: Source) -> tuple[str, str]:
    """Status and error of a run of which nothing is promoted."""
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    pipeline.stages(shop, run_id, until=Stage.QUALITY)
    query = "SELECT g.status || ': ' || coalesce(g.error, '') FROM pipeline.stage_run g"
    query += " JOIN pipeline.run_stream s ON s.id = g.run_stream_id"
    told = shop.value(f"{query} WHERE s.run_id = :r AND g.stage = 'quality'", r=run_id)
    status, _, error = str(told).partition(": ")
    return status, error


def test_rows_of_a_condition_of_one_s_own_are_set_aside(users: Source) -> None:
    users.quality = Quality(checks=CHECKS)
    users.rows["users"][2] = _row(3, amount=101, status="lost")
    users.rows["users"][5] = _row(6, amount=102)
    counts = pipeline.sync(users)
    assert (counts["rows_promoted"], counts["rows_quarantined"]) == (8, 2)
    assert _ids(users, "chart.shop_users") == [1, 2, 4, 5, 7, 8, 9, 10]
    with users.engine.connect() as conn:
        rows = quality.set_aside(conn, "shop_users", limit=10)
    assert {each["row"]["id"]: set(each["checks"]) for each in rows} == {
        "3": {"small", "validity.status"},
        "6": {"small"},
    }


def test_more_than_the_share_blocks_and_less_does_not(users: Source) -> None:
    users.quality = Quality(streams={"users": StreamQuality(max_quarantined=0.1)})
    users.rows["users"][2] = _row(3, status="lost")
    assert pipeline.sync(users)["rows_quarantined"] == 1
    users.rows["users"] = [_row(n, status="lost" if n < 23 else "open") for n in range(21, 31)]
    status, error = _run(users)
    assert status == "blocked"
    assert "2 of 10 rows would be set aside, and max_quarantined is 0.1" in error
    assert max(_ids(users, "chart.shop_users")) == 10
    with users.engine.connect() as conn:
        found = quality.show(conn, "shop_users")
        # What was not promoted is no measure of others.
        key, never = StreamKey("users"), 2**40
        measured = checks.measured(conn, "shop", key, never, full_refresh=False, limit=20)
    assert found["status"] == "blocked"
    # It would have set two aside, and has not.
    assert (found["quarantined"], found["in_quarantine"]) == ({}, 0)
    assert len(measured) == 1


def test_a_check_s_gate_holds_against_the_stream_s(users: Source) -> None:
    users.rows["users"][2] = _row(3, status="lost")
    gates = {"validity.status": OnFailure.WARN}
    users.quality = Quality(
        on_failure=OnFailure.BLOCK, checks=CHECKS, streams={"users": StreamQuality(gates=gates)}
    )
    assert pipeline.sync(users)["rows_promoted"] == 10
    with users.engine.connect() as conn:
        found = {each["name"]: each for each in quality.show(conn, "shop_users")["checks"]}
    assert found["validity.status"]["outcome"] == "fail"
    assert found["validity.status"]["gate"] == "warn"
    assert found["small"]["gate"] == "block"
    # One that cannot fail stops nothing, whatever the stream's gate.
    assert found["uniqueness.id"]["gate"] == "warn"
    assert len(found["validity.status"]["rows"]) == 1


def test_rows_of_a_check_of_one_s_own_that_blocks_are_told(users: Source) -> None:
    own = StreamQuality(gates={"small": OnFailure.BLOCK})
    users.quality = Quality(checks=CHECKS, streams={"users": own})
    users.rows["users"][2] = _row(3, amount=101)
    assert _run(users)[0] == "blocked"
    with users.engine.connect() as conn:
        found = {each["name"]: each for each in quality.show(conn, "shop_users")["checks"]}
    query = "SELECT array_agg(_atlas_id) FROM explore.shop_users_raw WHERE data->>'id' = '3'"
    assert found["small"]["rows"] == users.value(query)
    assert found["validity.status"]["rows"] == []


def test_weights_move_the_overall_score(users: Source) -> None:
    users.rows["users"][2] = _row(3, status="lost")
    pipeline.sync(users)
    with users.engine.connect() as conn:
        plain = quality.show(conn, "shop_users")["scores"]
    assert plain["overall"] < 1
    users.quality = Quality.restore(
        {"on_failure": "quarantine", "checks": None, "weights": {"validity": 0}}
    )
    users.rows["users"] = [_row(n, status="lost") for n in range(11, 21)]
    pipeline.sync(users)
    with users.engine.connect() as conn:
        weighed = quality.show(conn, "shop_users")["scores"]
    assert weighed["validity"] < plain["validity"]
    assert weighed["overall"] == 1


def test_what_runs_measured_is_what_the_next_is_held_against(users: Source) -> None:
    for _ in range(5):
        users.rows = {"users": [_row(number) for number in range(1, 11)]}
        pipeline.sync(users, full_refresh=True)
    with users.engine.connect() as conn:
        names = {each["name"] for each in quality.show(conn, "shop_users")["checks"]}
    assert "completeness.usual_rows" not in names
    # Of an incremental sync others are usual.
    pipeline.sync(users)
    with users.engine.connect() as conn:
        names = {each["name"] for each in quality.show(conn, "shop_users")["checks"]}
    assert "completeness.usual_rows" not in names
    users.rows = {"users": [_row(number, status=None) for number in range(1, 4)]}
    pipeline.sync(users, full_refresh=True)
    with users.engine.connect() as conn:
        found = {each["name"]: each for each in quality.show(conn, "shop_users")["checks"]}
        history = quality.history(conn, "shop_users", limit=10, check="completeness.usual_rows")
        assert quality.history(conn, "shop_users", limit=1)[0]["check"] is None
        with pytest.raises(NotFound, match="has no check nonsense"):
            quality.history(conn, "shop_users", limit=10, check="nonsense")
    assert found["completeness.usual_rows"]["outcome"] == "warn"
    assert found["completeness.status.usual_missing"]["outcome"] == "warn"
    # Warnings: everything is promoted.
    assert _ids(users, "chart.shop_users") == [1, 2, 3]
    assert [each["check"] and each["check"]["outcome"] for each in history] == ["warn"] + [None] * 6
    assert "completeness" in history[0]["anomalies"]
    assert [each["anomalies"] for each in history[1:]] == [{}] * 6
