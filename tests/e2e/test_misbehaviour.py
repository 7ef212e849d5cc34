"""Sources that say odd things: nothing is lost, removed by mistake, or hidden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write

COMPLETE = {
    "type": "TRACE",
    "trace": {
        "type": "STREAM_STATUS",
        "emitted_at": 1.0,
        "stream_status": {"stream_descriptor": {"name": "orders"}, "status": "COMPLETE"},
    },
}
FULL = {"orders": {"sync_mode": "full_refresh"}}


def test_complete_before_the_records_removes_nothing(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, 1) for n in range(1, 6)))
    atlas.apply(source("hasty", rows, streams=FULL))
    atlas.sync("hasty")
    hasty = {"raw_lines": [json.dumps(COMPLETE)], "sleep_per_record": 0.3}
    atlas.apply(source("hasty", rows, streams=FULL, **hasty))
    counts = atlas.sync("hasty")["streams"][0]["rows"]
    assert (counts["explore"], counts["promoted"], counts["deleted"]) == (5, 5, 0)
    assert atlas.rows("SELECT count(*) FROM navigate.hasty_orders") == [(5,)]


def test_complete_that_turns_out_incomplete_closes_nothing(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, 1) for n in range(1, 6)))
    atlas.apply(source("fickle", rows, streams=FULL))
    atlas.sync("fickle")
    write(rows, row(1, 1))
    fickle = {"raw_lines": [json.dumps(COMPLETE)], "incomplete": ["orders"]}
    atlas.apply(source("fickle", rows, streams=FULL, **fickle))
    assert atlas.sync("fickle", ok=False)["status"] == "failed"
    assert atlas.rows("SELECT count(*) FROM chart.fickle_orders") == [(5,)]


def test_a_refresh_that_broke_off_leaves_the_state_alone(atlas: Atlas, tmp_path: Path) -> None:
    keyless = {"primary_key": []}
    rows = write(tmp_path / "rows.json", *(row(n, n) for n in range(1, 11)), **keyless)
    options: dict[str, Any] = {"state_every": 2, "exclusive": True}
    atlas.apply(source("torn", rows, **options))
    atlas.sync("torn")
    error = {"message": "no more", "failure_type": "config_error"}
    atlas.apply(source("torn", rows, **options, fail_after=6, trace_error=error))
    assert atlas.sync("torn", "--full-refresh", ok=False)["status"] == "failed"
    atlas.apply(source("torn", rows, **options))
    atlas.sync("torn")
    # Ten rows without a key, each once.
    assert atlas.rows("SELECT count(*), count(DISTINCT id) FROM chart.torn_orders") == [(10, 10)]
    assert atlas.rows("SELECT count(*) FROM navigate.torn_orders WHERE is_current") == [(10,)]


def test_a_blocked_refresh_still_replaces_when_it_is_carried(atlas: Atlas, tmp_path: Path) -> None:
    keyless = {"primary_key": []}
    rows = write(tmp_path / "rows.json", *(row(n, n) for n in range(1, 6)), **keyless)
    atlas.apply(source("again", rows, exclusive=True))
    atlas.sync("again")
    checks = tmp_path / "checks.yml"
    checks.write_text("checks for orders:\n  - min(amount) > 100:\n      name: never\n")
    closed = {"quality": {"checks": str(checks), "on_failure": "block"}}
    atlas.apply(source("again", rows, exclusive=True, **closed))
    assert atlas.sync("again", "--full-refresh", ok=False)["status"] == "blocked"
    atlas.apply(source("again", rows, exclusive=True))
    counts = atlas.sync("again")["streams"][0]["rows"]
    assert (counts["explore"], counts["carried"]) == (0, 5)
    assert atlas.rows("SELECT count(*), count(DISTINCT id) FROM chart.again_orders") == [(5, 5)]


def test_a_source_that_fails_after_all_is_said_is_not_hidden(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    atlas.apply(source("sulky", rows, exit_code=7))
    document = atlas.sync("sulky", ok=False)
    assert document["status"] == "failed"
    assert "7" in document["error"]
    # What was complete went on all the same.
    assert document["streams"][0]["status"] == "succeeded"
    assert atlas.rows("SELECT id FROM navigate.sulky_orders") == [(1,)]


def test_a_source_without_streams_fails(atlas: Atlas, tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"streams": {}}))
    atlas.apply(source("empty", empty))
    document = atlas.sync("empty", ok=False)
    assert document["status"] == "failed"
    assert "no stream" in document["error"]


def test_another_type_of_state_replaces_the_old(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    types = "SELECT s.type FROM pipeline.connector_state s JOIN pipeline.connection c"
    types += " ON c.id = s.connection_id WHERE c.name = 'shifty'"
    for kind in ("STREAM", "GLOBAL", "LEGACY", "STREAM"):
        atlas.apply(source("shifty", rows, state_type=kind))
        atlas.sync("shifty")
        assert atlas.rows(types) == [(kind,)]


def test_a_wrong_config_is_said_by_check(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    atlas.apply(source("refused", rows, check_error="that key is not valid"))
    document = atlas.sync("refused", ok=False)
    assert document["status"] == "failed"
    assert "that key is not valid" in document["error"]
    assert document["streams"] == []


def test_an_error_names_no_person(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    error = {
        "message": "cannot parse {'email': 'jane.doe@example.com'} with hunter2",
        "failure_type": "config_error",
    }
    atlas.apply(source("gossip", rows, api_key="hunter2", log_api_key=True, trace_error=error))
    document = atlas.sync("gossip", ok=False)
    assert "cannot parse" in document["error"]
    everywhere = [json.dumps(document)]
    everywhere += [
        json.dumps(event)
        for (event,) in atlas.rows(
            "SELECT event FROM pipeline.lineage_event WHERE run_id = :r", r=document["run_id"]
        )
    ]
    everywhere += [path.read_text() for path in (atlas.home / "logs").glob("*.log")]
    for text in everywhere:
        assert "jane.doe" not in text
        assert "hunter2" not in text


def test_a_killed_child_of_the_scan_pool_is_replaced(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    atlas.apply(source("revived", rows))
    pid = next(p["pid"] for p in atlas.status["processes"] if p["name"] == "worker-scan")
    for child in psutil.Process(pid).children():
        child.kill()
    atlas.sync("revived")
