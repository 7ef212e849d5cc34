"""STREAM, GLOBAL and LEGACY states over runs of all streams, of some, and after resets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from atlas.ledger.state_changes import Change
from atlas.model.stream import StreamKey
from tests.stages.conftest import Source, row

LATE = {"cursor": "2026-01-09"}


def _two(shop: Source, **options: Any) -> None:
    shop.options = options
    shop.rows = {"users": [row(1, 1), row(2, 2)], "orders": [row(1, 3)]}
    shop.run()
    shop.rows = {"users": [row(1, 1), row(2, 2), row(3, 8)], "orders": [row(1, 3), row(2, 9)]}


@pytest.mark.parametrize("kind", ["STREAM", "GLOBAL", "LEGACY"])
def test_a_run_of_one_stream_leaves_the_others_state(shop: Source, kind: str) -> None:
    _two(shop, state_type=kind, exclusive=True)
    shop.run("users")
    states = shop.states() if kind == "STREAM" else shop.states()[kind]
    assert states["users"] == {"cursor": "2026-01-08"}
    assert states["orders"] == {"cursor": "2026-01-03"}
    read = shop.run()
    assert (read["users"].rows_explore, read["orders"].rows_explore) == (0, 1)


@pytest.mark.parametrize("kind", ["STREAM", "GLOBAL", "LEGACY"])
def test_a_backfill_of_one_stream_leaves_the_others_state(shop: Source, kind: str) -> None:
    _two(shop, state_type=kind, exclusive=True)
    read = shop.run("users", full_refresh=True)
    assert list(read) == ["users"]
    assert read["users"].rows_explore == 3
    states = shop.states() if kind == "STREAM" else shop.states()[kind]
    assert states["users"] == {"cursor": "2026-01-08"}
    assert states["orders"] == {"cursor": "2026-01-03"}
    read = shop.run()
    assert (read["users"].rows_explore, read["orders"].rows_explore) == (0, 1)


@pytest.mark.parametrize("kind", ["STREAM", "GLOBAL"])
def test_a_reset_of_one_stream_reads_it_anew_and_no_other(shop: Source, kind: str) -> None:
    _two(shop, state_type=kind, exclusive=True)
    with shop.engine.begin() as conn:
        Change(conn, "shop", actor="cli: ann").reset(StreamKey("users"))
    read = shop.run()
    assert (read["users"].rows_explore, read["orders"].rows_explore) == (3, 1)


def _global(shared: Any, **cursors: str) -> str:
    """A GLOBAL state as a source prints it."""
    entries = [
        {"stream_descriptor": {"name": name}, "stream_state": {"cursor": cursor}}
        for name, cursor in cursors.items()
    ]
    inner = {"shared_state": shared, "stream_states": entries}
    return json.dumps({"type": "STATE", "state": {"type": "GLOBAL", "global": inner}})


def test_what_all_streams_share_waits_for_those_that_were_not_read(shop: Source) -> None:
    shop.rows = {"users": [row(1, 1)], "orders": [row(1, 1)]}
    shop.options = {"emit_state": False, "raw_lines_after": 2}
    shop.options["raw_lines"] = [_global({"lsn": 10}, users="0a", orders="0a")]
    shop.run()
    # One stream alone: past what the other has not seen the shared part must not go.
    shop.options |= {"raw_lines_after": 1, "raw_lines": [_global({"lsn": 20}, users="0b")]}
    shop.run("users")
    assert shop.states()["GLOBAL"] == {
        "users": {"cursor": "0b"},
        "orders": {"cursor": "0a"},
        "shared": {"lsn": 10},
    }
    shop.options |= {"raw_lines_after": 2, "raw_lines": [_global({"lsn": 30}, users="0c")]}
    shop.run()
    # All were read: it moves, and what the source left out stays.
    assert shop.states()["GLOBAL"] == {
        "users": {"cursor": "0c"},
        "orders": {"cursor": "0a"},
        "shared": {"lsn": 30},
    }


def test_a_stream_that_is_read_no_more_begins_anew_when_it_comes_back(shop: Source) -> None:
    shop.rows = {"users": [row(1, 1)], "orders": [row(1, 1)]}
    shop.options = {"emit_state": False, "raw_lines_after": 2}
    shop.options["raw_lines"] = [_global({"lsn": 10}, users="0a", orders="0a")]
    shop.run()
    del shop.rows["orders"]
    shop.options |= {"raw_lines_after": 1, "raw_lines": [_global({"lsn": 20}, users="0b")]}
    shop.run()
    # What happened to orders between 10 and 20 nobody will send again.
    assert shop.states()["GLOBAL"] == {"users": {"cursor": "0b"}, "shared": {"lsn": 20}}


def test_a_global_state_covers_the_streams_inside_it_only(shop: Source) -> None:
    shop.rows = {"users": [row(1, 1)], "orders": [row(1, 1)]}
    shop.options = {
        "emit_state": False,
        "raw_lines_after": 2,
        "raw_lines": [_global(None, users="0a")],
    }
    shop.options |= {"fail_after": 2, "raw_end": "\n"}
    shop.settings = replace(shop.settings, buffer_bytes=1)  # all commits before its state comes
    run_id = shop.begin()
    assert shop.attempt(run_id) is not None
    covered = shop.column(
        "SELECT r.stream FROM pipeline.segment s JOIN pipeline.run_stream r"
        " ON r.id = s.run_stream_id WHERE s.covered"
    )
    assert covered == ["users"]


def test_a_stream_moves_between_global_and_its_own_state(shop: Source) -> None:
    _two(shop, state_type="GLOBAL", exclusive=True)
    shop.options["state_type"] = "STREAM"
    read = shop.run("users")
    assert read["users"].rows_explore == 1
    # The other one still stands where it stood.
    assert shop.states() == {
        "users": {"cursor": "2026-01-08"},
        "GLOBAL": {"orders": {"cursor": "2026-01-03"}, "shared": {"streams": 2}},
    }
    read = shop.run()
    assert (read["users"].rows_explore, read["orders"].rows_explore) == (0, 1)
    assert shop.states() == {"users": {"cursor": "2026-01-08"}, "orders": LATE}


def test_a_state_keeps_its_digits_when_it_is_merged(shop: Source) -> None:
    number = "1234567890123456789012345678901234567890.5"
    shop.rows = {"users": [row(1, 1)], "orders": [row(1, 1)]}
    state = _global(None, users="0a", orders="0b").replace('"0b"', number)
    shop.options = {"emit_state": False, "raw_lines_after": 2, "raw_lines": [state]}
    shop.run()
    shop.options |= {"raw_lines_after": 1, "raw_lines": [_global(None, users="0c")]}
    shop.run("users")
    text = shop.value("SELECT CAST(state AS text) FROM pipeline.connector_state")
    assert number in text


@pytest.mark.parametrize("kind", ["GLOBAL", "LEGACY"])
def test_a_plain_full_refresh_that_fails_holds_back_no_shared_state(
    shop: Source, kind: str
) -> None:
    shop.extra = {"orders": {"cursor_field": []}}
    shop.rows = {"users": [row(1, 1)], "orders": [row(1, 1)]}
    shop.options = {"state_type": kind, "incomplete": ["orders"], "exclusive": True}
    shop.run()
    assert shop.states()[kind]["users"] == {"cursor": "2026-01-01"}
    assert shop.run()["users"].rows_explore == 0


def test_global_states_that_name_their_streams_by_turns(shop: Source) -> None:
    shop.settings = replace(shop.settings, checkpoint_rows=1000)
    shop.rows = {"users": [row(1, 1)], "orders": [row(1, 1)]}
    lines = [_global(None, users="0a"), _global(None, orders="0b")]
    shop.options = {"emit_state": False, "raw_lines_after": 2, "raw_lines": lines}
    shop.run()
    assert shop.states()["GLOBAL"] == {
        "users": {"cursor": "0a"},
        "orders": {"cursor": "0b"},
        "shared": None,
    }
