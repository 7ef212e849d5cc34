"""State through the whole stack: a GLOBAL one with deletes, a reset of a part, a wrong count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import STREAM, row

SCHEMA = {
    **STREAM["schema"],
    "properties": {
        **STREAM["schema"]["properties"],
        "_ab_cdc_deleted_at": {"type": ["null", "string"], "format": "date-time"},
    },
}


def _write(path: Path, orders: list[dict[str, Any]], users: list[dict[str, Any]]) -> None:
    streams = {
        name: {**STREAM, "schema": SCHEMA, "records": rows}
        for name, rows in (("orders", orders), ("users", users))
    }
    path.write_text(json.dumps({"streams": streams}))


def _gone(number: int, minute: int) -> dict[str, Any]:
    return row(number, minute) | {"_ab_cdc_deleted_at": f"2026-01-01T00:{minute:02d}:00Z"}


def test_deletes_of_a_source_with_a_global_state(atlas: Atlas, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    _write(rows, [row(1, 1), row(2, 2)], [row(1, 1)])
    atlas.apply(source("logged", rows, state_type="GLOBAL", exclusive=True))
    atlas.sync("logged")
    _write(rows, [row(1, 1), _gone(2, 9), row(3, 8)], [row(1, 1)])
    document = atlas.sync("logged")
    counts = {each["stream"]: each["rows"] for each in document["streams"]}
    assert (counts["orders"]["explore"], counts["orders"]["tombstones"]) == (2, 1)
    assert counts["users"]["explore"] == 0
    history = "SELECT id, is_current, valid_to IS NULL FROM navigate.logged_orders ORDER BY id"
    expected = [(1, True, True), (2, False, False), (3, True, True)]
    assert atlas.rows(history) == expected
    assert atlas.rows("SELECT id FROM chart.logged_orders ORDER BY id") == [(1,), (3,)]

    # One stream is forgotten: it alone is read from its start, and the history stays as it is.
    shown = atlas.json("state", "reset", "logged", "--stream", "orders")
    assert [each["stream"] for each in shown["streams"]] == ["users"]
    [message] = shown["state"]
    assert message["global"]["shared_state"] == {"streams": 2}
    document = atlas.sync("logged")
    counts = {each["stream"]: each["rows"]["explore"] for each in document["streams"]}
    assert counts == {"orders": 3, "users": 0}
    assert atlas.rows(history) == expected
    actors = [e["actor"] for e in atlas.json("state", "history", "logged")["items"]]
    assert actors[0] == f"run {document['run_id']}"
    assert actors[1].startswith("cli")


def test_a_stream_that_was_counted_wrong_holds_back_no_other(atlas: Atlas, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    _write(rows, [row(1, 1)], [row(1, 1)])
    entry = {"stream_descriptor": {"name": "orders"}, "stream_state": {"cursor": "2026-01-02"}}
    state = {"type": "STREAM", "stream": entry, "sourceStats": {"recordCount": 4}}
    wrong = {"raw_lines": [json.dumps({"type": "STATE", "state": state})], "raw_lines_after": 1}
    atlas.apply(source("counted", rows, emit_state=False, **wrong))
    document = atlas.sync("counted", ok=False)
    streams = {each["stream"]: each for each in document["streams"]}
    assert (document["status"], streams["users"]["status"]) == ("failed", "succeeded")
    assert "counted 4 records since its last state, and 1 came" in streams["orders"]["error"]
    assert "orders" in document["error"]
    assert atlas.rows("SELECT count(*) FROM explore.counted_orders_raw") == [(1,)]
    assert atlas.rows("SELECT count(*) FROM navigate.counted_users") == [(1,)]
    # Asked again, it sends that row again, and there it stands once.
    atlas.apply(source("counted", rows))
    atlas.run("runs", "retry", document["run_id"], "--wait")
    assert atlas.rows("SELECT count(*) FROM explore.counted_orders_raw") == [(1,)]
    assert atlas.rows("SELECT id FROM navigate.counted_orders") == [(1,)]
