"""A worker killed in the midst of each stage, then recovery: the tables are as if nothing were.

A stage is held in its midst by a lock that the test takes on what the stage is about to write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import layers, row, write
from tests.e2e.held import staging_of

# Exclusive: what stands at a state's cursor is not read twice, so that explore can be compared.
OPTIONS: dict[str, Any] = {"state_every": 5, "exclusive": True}
WORKER = {
    "explore": "worker-extract",
    "pii": "worker-scan",
    "quality": "worker-load",
    "chart": "worker-load",
    "navigate": "worker-load",
    "lineage": "worker-load",
}


@contextlib.contextmanager
def _locked(atlas: Atlas, statement: str) -> Iterator[None]:
    with atlas.engine.begin() as conn:
        conn.execute(sa.text(statement))
        yield


def _running(atlas: Atlas, run_id: str, stage: str) -> bool:
    """Whether the stage is at work and waits for the test's lock (explore: for its source)."""
    found = atlas.rows(
        "SELECT 1 FROM pipeline.stage_run WHERE run_id = :r AND stage = :s AND status = 'running'"
        " AND (stage = 'explore' AND EXISTS (SELECT FROM pipeline.segment g JOIN"
        "      pipeline.run_stream p ON p.id = g.run_stream_id WHERE p.run_id = :r)"
        "  OR EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'))",
        r=run_id,
        s=stage,
    )
    return bool(found)


def _two_syncs(atlas: Atlas, rows: Path, name: str, second: Any) -> Any:
    write(rows, *(row(n, n) for n in range(1, 31)))
    atlas.apply(source(name, rows, **OPTIONS))
    atlas.sync(name)
    write(
        rows, *(row(n, n) for n in range(1, 21)), *(row(n, 60 + n, amount=n) for n in range(21, 41))
    )
    second()
    return layers(atlas, name)


@pytest.fixture(scope="module")
def undisturbed(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two syncs leave when nothing happens to them."""
    rows = tmp_path_factory.mktemp("calm") / "rows.json"
    return _two_syncs(atlas, rows, "calm", lambda: atlas.sync("calm"))


@pytest.mark.parametrize("stage", list(WORKER))
def test_killed_in(atlas: Atlas, tmp_path: Path, undisturbed: Any, stage: str) -> None:
    name = f"killed_{stage}"
    rows = tmp_path / "rows.json"

    def second() -> None:
        if stage == "explore":
            # The source stalls after 12 rows, once.
            marker = str(tmp_path / "stalled")
            atlas.apply(source(name, rows, **OPTIONS, hang_after=12, fail_once_marker=marker))
            run_id = atlas.start(name)
            atlas.until(lambda: _running(atlas, run_id, stage), what=lambda: atlas.document(run_id))
            atlas.until(Path(marker).exists)  # else it would stall again
            atlas.kill(WORKER[stage])
        else:
            run_id = _stalled(atlas, name, stage)
        document = atlas.wait(run_id)
        assert document["status"] == "succeeded", document
        stages = [*document["stages"], *document["streams"][0]["stages"]]
        assert {s["stage"]: s["attempt"] for s in stages}[stage] == 2

    assert _two_syncs(atlas, rows, name, second) == undisturbed


def _stalled(atlas: Atlas, name: str, stage: str) -> str:
    """Start a sync, kill the worker while ``stage`` waits for a lock; returns the run's id."""
    table = f"{name}_orders"
    held = {
        "pii": "LOCK TABLE pipeline.finding IN SHARE MODE",
        "quality": "LOCK TABLE pipeline.check_result IN SHARE MODE",
        "chart": f"LOCK TABLE chart.{table} IN SHARE MODE",
        "navigate": f"LOCK TABLE navigate.{table} IN SHARE MODE",
        "lineage": f"LOCK TABLE navigate.{table} IN SHARE MODE",
    }[stage]
    with contextlib.ExitStack() as locks:
        first = locks.enter_context(contextlib.ExitStack())
        first.enter_context(_locked(atlas, held))
        run_id = atlas.start(name)
        if stage == "lineage":
            # The staging table is there once navigate waits; holding it stops its drop.
            atlas.until(lambda: _running(atlas, run_id, "navigate"))
            staging = staging_of(atlas, run_id)
            locks.enter_context(
                _locked(atlas, f"LOCK TABLE pipeline.{staging} IN ACCESS SHARE MODE")
            )
            first.close()
        atlas.until(lambda: _running(atlas, run_id, stage), what=lambda: atlas.document(run_id))
        atlas.kill(WORKER[stage])
    return run_id
