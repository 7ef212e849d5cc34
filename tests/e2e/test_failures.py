"""What goes wrong ends where a user looks, and leaves what was committed."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write


def test_a_connector_that_exits_non_zero(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, n) for n in range(1, 8)))
    atlas.apply(source("crash", rows, fail_after=3, exit_code=3, state_every=2))
    document = atlas.sync("crash", ok=False)
    assert document["status"] == "failed"
    (explore,) = document["stages"]
    assert explore["status"] == "failed"
    assert explore["attempt"] == 2
    assert "exit" in explore["error"]
    assert document["streams"][0]["status"] == "failed"
    # The first attempt left 1 and 2 with their state, and 3 beyond it; the second took 3 back
    # and went on from the state, whose boundary it read again.
    assert atlas.rows("SELECT data->>'id' FROM explore.crash_orders_raw ORDER BY _atlas_id") == [
        ("1",),
        ("2",),
        ("2",),
        ("3",),
        ("4",),
    ]
    shown = atlas.run("runs", "show", document["run_id"], "--attempts").stdout
    assert "retry" in shown


def test_a_transient_error_passes(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, n) for n in range(1, 8)))
    atlas.apply(
        source(
            "moody",
            rows,
            fail_after=5,
            state_every=2,
            trace_error={"message": "try later", "failure_type": "transient_error"},
            fail_once_marker=str(tmp_path / "failed"),
        )
    )
    document = atlas.sync("moody")
    assert document["stages"][0]["attempt"] == 2
    # Resumed from the last state: nothing twice but what stands at the cursor's boundary.
    counts = atlas.rows(
        "SELECT data->>'id', count(*) FROM explore.moody_orders_raw GROUP BY 1 ORDER BY 1"
    )
    assert [key for key, _ in counts] == [str(n) for n in range(1, 8)]
    assert sum(count for _, count in counts) <= 8
    assert atlas.rows("SELECT count(*) FROM navigate.moody_orders") == [(7,)]


def test_a_stage_that_raises(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    # Of a stream that has not been synced nobody knows yet which checks it has.
    gates = {"validity.hair": "block"}
    atlas.apply(source("raises", rows, quality={"streams": {"orders": {"gates": gates}}}))
    document = atlas.sync("raises", ok=False)
    assert document["status"] == "failed"
    stages = {stage["stage"]: stage for stage in document["streams"][0]["stages"]}
    assert stages["pii"]["status"] == "succeeded"
    assert stages["quality"]["status"] == "failed"
    assert stages["quality"]["error"] in document["error"]
    assert atlas.rows("SELECT count(*) FROM explore.raises_orders_raw") == [(1,)]


def test_a_gate_that_closes(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 1, amount=-5))
    checks = tmp_path / "checks.yml"
    checks.write_text("checks for orders:\n  - min(amount) >= 0:\n      name: no negatives\n")
    atlas.apply(source("gate", rows, quality={"checks": str(checks), "on_failure": "block"}))
    document = atlas.sync("gate", ok=False)
    assert document["status"] == "blocked"
    assert "no negatives" in document["error"]
    assert atlas.rows("SELECT count(*) FROM pg_tables WHERE tablename = 'gate_orders'") == [(0,)]
    # The source has moved on and sends them no more: the next run takes them along.
    write(rows, row(3, 5))
    atlas.apply(source("gate", rows, exclusive=True))
    document = atlas.sync("gate")
    counts = document["streams"][0]["rows"]
    assert (counts["explore"], counts["carried"], counts["promoted"]) == (1, 2, 3)
    assert atlas.rows("SELECT id FROM navigate.gate_orders ORDER BY 1") == [(1,), (2,), (3,)]
    # Once: what came to chart is not taken along again.
    assert atlas.sync("gate")["streams"][0]["rows"]["carried"] == 0


def test_bad_rows_are_set_aside_and_the_rest_goes_on(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(
        tmp_path / "rows.json",
        row(1, 1),
        row(2, 1, amount="no number"),
        {**row(3, 1), "id": None},
    )
    atlas.apply(source("aside", rows))
    document = atlas.sync("aside")
    counts = document["streams"][0]["rows"]
    assert (counts["explore"], counts["promoted"], counts["quarantined"]) == (3, 1, 2)
    assert atlas.rows("SELECT id FROM chart.aside_orders") == [(1,)]
    assert atlas.rows("SELECT count(*) FROM chart.aside_orders_quarantine") == [(2,)]


def test_a_failed_stream_holds_back_no_other(atlas: Atlas, tmp_path: Path) -> None:
    import json

    from tests.e2e.data import STREAM

    rows = tmp_path / "rows.json"
    rows.write_text(
        json.dumps(
            {
                "streams": {
                    "good": {**STREAM, "records": [row(1, 1)]},
                    "bad": {**STREAM, "records": [row(2, 1)]},
                }
            }
        )
    )
    atlas.apply(source("pair", rows, incomplete=["bad"]))
    document = atlas.sync("pair", ok=False)
    assert document["status"] == "failed"
    assert {s["stream"]: s["status"] for s in document["streams"]} == {
        "good": "succeeded",
        "bad": "failed",
    }
    assert atlas.rows("SELECT id FROM navigate.pair_good") == [(1,)]
    assert atlas.rows("SELECT count(*) FROM explore.pair_bad_raw") == [(1,)]
