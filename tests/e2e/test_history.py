"""Rows that change, come and go at the source, and the exact history they leave in navigate."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import history, row, write


def test_full_refresh_history(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 1), row(3, 1))
    streams = {"orders": {"sync_mode": "full_refresh"}}
    atlas.apply(source("full", rows, streams=streams))
    atlas.sync("full")
    # 1 changes, 2 goes, 3 stays, 4 comes.
    write(rows, row(1, 2, amount=9), row(3, 1), row(4, 2))
    document = atlas.sync("full")
    assert document["streams"][0]["versions"] == {"opened": 2, "closed": 2}
    # 2 comes back as it was.
    write(rows, row(1, 2, amount=9), row(2, 1), row(3, 1), row(4, 2))
    atlas.sync("full")
    assert history(atlas, "full_orders") == [
        (1, "1.5", 1, 2, False),
        (1, "9", 2, None, True),
        (2, "1.5", 1, 2, False),
        (2, "1.5", 3, None, True),
        (3, "1.5", 1, None, True),
        (4, "1.5", 2, None, True),
    ]
    assert atlas.rows("SELECT id FROM chart.full_orders ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    assert atlas.rows("SELECT count(*) FROM explore.full_orders_raw") == [(10,)]


def test_nothing_changed_writes_nothing(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 1))
    atlas.apply(source("still", rows, streams={"orders": {"sync_mode": "full_refresh"}}))
    atlas.sync("still")
    written = "SELECT id, xmin, ctid FROM navigate.still_orders ORDER BY id"
    before = atlas.rows(written)
    document = atlas.sync("still")
    assert document["streams"][0]["versions"] == {"opened": 0, "closed": 0}
    assert document["streams"][0]["rows"]["explore"] == 2
    assert atlas.rows(written) == before


def test_incremental_history(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 2))
    atlas.apply(source("inc", rows))
    first = atlas.sync("inc")
    assert first["streams"][0]["sync_mode"] == "incremental"
    write(rows, row(1, 1), row(2, 3, amount=7), row(3, 4))
    second = atlas.sync("inc")
    # The row at the cursor's boundary may come again; the one before it does not.
    assert second["streams"][0]["rows"]["explore"] == 2
    # Gone at the source, and an incremental read does not say so.
    write(rows, row(2, 3, amount=7), row(3, 5, amount=8))
    atlas.sync("inc")
    assert history(atlas, "inc_orders") == [
        (1, "1.5", 1, None, True),
        (2, "1.5", 1, 2, False),
        (2, "7", 2, None, True),
        (3, "1.5", 2, 3, False),
        (3, "8", 3, None, True),
    ]


def test_an_incremental_tombstone_closes(atlas: Atlas, tmp_path: Path) -> None:
    deleted = {"type": ["null", "string"], "format": "date-time"}
    from tests.e2e.data import STREAM

    schema = {
        **STREAM["schema"],  # type: ignore[dict-item]
        "properties": {**STREAM["schema"]["properties"], "_ab_cdc_deleted_at": deleted},  # type: ignore[index]
    }
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 1), schema=schema)
    atlas.apply(source("cdc", rows))
    atlas.sync("cdc")
    gone = {**row(1, 2), "_ab_cdc_deleted_at": "2026-01-01T00:02:00Z"}
    write(rows, gone, row(2, 1), schema=schema)
    atlas.sync("cdc")
    assert history(atlas, "cdc_orders") == [(1, "1.5", 1, 2, False), (2, "1.5", 1, None, True)]
    assert atlas.rows("SELECT id FROM chart.cdc_orders") == [(2,)]


def test_full_refresh_once_closes_what_is_gone(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 2))
    atlas.apply(source("once", rows))
    atlas.sync("once")
    write(rows, row(2, 2))
    atlas.sync("once")
    assert atlas.rows("SELECT id FROM chart.once_orders ORDER BY 1") == [(1,), (2,)]
    atlas.sync("once", "--full-refresh")
    assert history(atlas, "once_orders") == [(1, "1.5", 1, 3, False), (2, "1.5", 1, None, True)]
    # The state at its end is one to go on from.
    again = atlas.sync("once")
    assert again["streams"][0]["rows"]["explore"] == 1


def test_a_sync_that_broke_off_closes_nothing(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, 1) for n in range(1, 6)))
    streams = {"orders": {"sync_mode": "full_refresh"}}
    atlas.apply(source("broken", rows, streams=streams))
    atlas.sync("broken")
    atlas.apply(
        source(
            "broken",
            rows,
            streams=streams,
            fail_after=2,
            trace_error={"message": "no", "failure_type": "config_error"},
        )
    )
    document = atlas.sync("broken", ok=False)
    assert document["status"] == "failed"
    assert "no" in document["error"]
    assert atlas.rows("SELECT count(*) FROM navigate.broken_orders WHERE is_current") == [(5,)]
    # What came stays where it can be looked at.
    assert atlas.rows("SELECT count(*) FROM explore.broken_orders_raw") == [(7,)]
