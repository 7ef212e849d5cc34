"""What a source counts is held against what came: a mismatch fails its stream, and no other."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from atlas.ledger import run_documents
from tests.stages.conftest import Source, row


def _stream(name: str, cursor: str, count: float | None) -> str:
    entry = {"stream_descriptor": {"name": name}, "stream_state": {"cursor": cursor}}
    return _state({"type": "STREAM", "stream": entry}, count)


def _global(count: float | None, *names: str) -> str:
    entries = [
        {"stream_descriptor": {"name": name}, "stream_state": {"cursor": "0"}} for name in names
    ]
    return _state({"type": "GLOBAL", "global": {"stream_states": entries}}, count)


def _state(state: dict[str, Any], count: float | None) -> str:
    stats = {} if count is None else {"sourceStats": {"recordCount": count}}
    return json.dumps({"type": "STATE", "state": {**state, **stats}})


def _errors(shop: Source, run_id: str) -> dict[str, str | None]:
    with shop.engine.begin() as conn:
        document = run_documents.document(conn, run_id)
    return {each["stream"]: each["error"] for each in document["streams"]}


def test_a_mismatch_fails_the_stream_and_no_other(shop: Source) -> None:
    shop.rows = {"users": [row(1, 1), row(2, 2)], "orders": [row(1, 3)]}
    shop.options = {"emit_state": False, "raw_lines_after": 2}
    shop.options["raw_lines"] = [_stream("users", "2026-01-02", 5)]
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    errors = _errors(shop, run_id)
    assert errors["orders"] is None
    assert errors["users"] is not None
    assert "counted 5 records" in errors["users"]
    assert "and 2 came" in errors["users"]
    assert shop.states() == {}
    # They stay to be looked at, and are taken back when the source sends them again.
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == 2
    assert shop.column("SELECT DISTINCT covered FROM pipeline.segment") == [False]


def test_the_state_before_the_mismatch_holds(shop: Source) -> None:
    shop.rows = {"users": [row(n, n) for n in range(1, 5)]}
    shop.options = {"state_every": 2, "exclusive": True, "raw_lines_after": 3}
    # One record that the source says nothing of before its next state.
    shop.options["raw_lines"] = [
        json.dumps({"type": "RECORD", "record": {"stream": "users", "data": row(9, 9)}})
    ]
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert "counted 2 records since its last state, and 3 came" in str(_errors(shop, run_id))
    assert shop.states() == {"users": {"cursor": "2026-01-02"}}
    assert shop.column("SELECT rows FROM pipeline.segment WHERE covered") == [2]


def test_the_next_run_goes_on_from_the_state_before(shop: Source) -> None:
    test_the_state_before_the_mismatch_holds(shop)
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed'")
    shop.options = {"state_every": 2, "exclusive": True}
    assert shop.run()["users"].rows_explore == 2
    assert shop.states() == {"users": {"cursor": "2026-01-04"}}


@pytest.mark.parametrize("count", [None, -1, 2.0])
def test_a_count_that_is_not_said_or_right_is_no_mismatch(
    shop: Source, count: float | None
) -> None:
    shop.rows = {"users": [row(1, 1), row(2, 2)]}
    shop.options = {"emit_state": False, "raw_lines_after": 2}
    shop.options["raw_lines"] = [_stream("users", "2026-01-02", count)]
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    assert _errors(shop, run_id) == {"users": None}
    assert shop.states() == {"users": {"cursor": "2026-01-02"}}


def test_a_source_that_counts_wrongly_can_be_borne(shop: Source) -> None:
    shop.settings = replace(shop.settings, record_counts="warn")
    shop.rows = {"users": [row(1, 1)]}
    shop.options = {"emit_state": False, "raw_lines_after": 1}
    shop.options["raw_lines"] = [_stream("users", "2026-01-01", 7)]
    shop.run()
    assert shop.states() == {"users": {"cursor": "2026-01-01"}}


@pytest.mark.parametrize(
    ("count", "right"),
    [(3, True), (4, True), (5, True), (2, False), (6, False)],
    ids=["the named", "with those not asked for", "all", "too few", "too many"],
)
def test_a_global_state_counts_all_its_streams(shop: Source, count: int, right: bool) -> None:
    shop.rows = {"users": [row(1, 1), row(2, 2)], "orders": [row(1, 3)], "more": [row(1, 1)]}
    other = json.dumps({"type": "RECORD", "record": {"stream": "nobody", "data": {}}})
    shop.options = {"emit_state": False, "raw_lines_after": 4}
    shop.options["raw_lines"] = [other, _global(count, "users", "orders")]
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    wrong = {name for name, error in _errors(shop, run_id).items() if error}
    assert wrong == (set() if right else {"users", "orders"})
    assert ("GLOBAL" in shop.states()) == right


def test_what_was_stored_stands_beside_what_was_counted(shop: Source) -> None:
    shop.rows = {"users": [row(1, 1), row(2, 2)]}
    shop.run()
    assert (
        shop.value("SELECT state->'sourceStats'->>'recordCount' FROM pipeline.connector_state")
        == "2.0"
    )
    assert (
        shop.value("SELECT state->'destinationStats'->>'recordCount' FROM pipeline.connector_state")
        == "2.0"
    )
