"""A stream of many rows is scanned in parts, and a killed scanner costs none that is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write

ROWS = 230


def _parts(atlas: Atlas) -> list[Any]:
    return atlas.rows("SELECT status, fence FROM pipeline.scan_part ORDER BY position")


def test_parts_outlive_their_scanners(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, n) for n in range(1, ROWS + 1)))
    atlas.apply(source("in_parts", rows))
    with atlas.engine.begin() as conn:
        # Verdicts cannot be written until this ends.
        conn.execute(sa.text("LOCK TABLE pipeline.finding IN SHARE MODE"))
        run_id = atlas.start("in_parts")
        atlas.until(
            lambda: [status for status, _ in _parts(atlas)] == ["studied"] * 5,
            what=lambda: _parts(atlas),
        )
        studied = _parts(atlas)
        atlas.until(
            lambda: atlas.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        )
        atlas.kill("worker-scan")
        atlas.until(
            lambda: atlas.rows(
                "SELECT 1 FROM pipeline.stage_run WHERE run_id = :r AND stage = 'pii'"
                " AND status = 'running' AND attempt = 2",
                r=run_id,
            ),
            what=lambda: atlas.document(run_id),
        )
        assert _parts(atlas) == studied
    document = atlas.wait(run_id)
    assert document["status"] == "succeeded", document
    assert document["streams"][0]["rows"]["promoted"] == ROWS
    assert _parts(atlas) == []
    emails = atlas.rows("SELECT DISTINCT email FROM chart.in_parts_orders")
    assert emails == [("***@***",)]
    found = atlas.rows(
        "SELECT f.entity_type, (f.evidence->>'values')::int FROM pipeline.finding f"
        " JOIN pipeline.run_stream s ON s.id = f.run_stream_id WHERE s.run_id = :r",
        r=run_id,
    )
    assert found == [("EMAIL_ADDRESS", ROWS)]
