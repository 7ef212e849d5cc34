"""Runs that are held in the midst of a stage, and a source whose starts are counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from tests.e2e.conftest import SCRIPTED, Atlas, source
from tests.e2e.data import row, write

STAGES = ["explore", "pii", "quality", "chart", "navigate", "lineage"]
# Exclusive: what stands at a state's cursor is not read twice, so that explore can be compared.
OPTIONS: dict[str, Any] = {"state_every": 5, "exclusive": True}


class Source:
    """A source of orders below ``directory`` that remembers how often it was asked for them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rows = directory / "rows.json"
        self.child = directory / "child.pid"
        self._log = directory / "starts"
        self._program = directory / "counted.sh"
        self._program.write_text(f'#!/bin/sh\necho "$1" >> {self._log}\nexec {SCRIPTED} "$@"\n')
        self._program.chmod(0o755)

    @property
    def reads(self) -> int:
        """How often rows were asked for."""
        return self._log.read_text().split().count("read") if self._log.exists() else 0

    def connection(self, name: str, **more: Any) -> dict[str, Any]:
        """A connection to it."""
        made = source(name, self.rows, **OPTIONS, **more)
        return {**made, "executable": str(self._program)}

    def first(self) -> None:
        """What it holds at first: 30 rows."""
        write(self.rows, *(row(n, n) for n in range(1, 31)))

    def then(self) -> None:
        """What it holds then: 10 rows changed, 10 are new."""
        changed = (row(n, 60 + n, amount=n) for n in range(21, 41))
        write(self.rows, *(row(n, n) for n in range(1, 21)), *changed)

    def stalls(self) -> dict[str, Any]:
        """Options with which it hangs once, after 12 rows, with a child of its own."""
        marker = str(self.directory / "stalled")
        return {"hang_after": 12, "fail_once_marker": marker, "spawn_child": str(self.child)}

    def group(self) -> list[int]:
        """The processes of the connector that hangs, found by its child."""
        child = psutil.Process(int(self.child.read_text()))
        parent = child.parent()
        assert parent is not None
        return [parent.pid, child.pid]


def gone(pids: list[int]) -> bool:
    """Whether none of these processes lives."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def staging(atlas: Atlas) -> list[str]:
    """The staging tables that there are."""
    return [
        name
        for (name,) in atlas.rows(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'pipeline'"
            " AND tablename ~ '^staging_[0-9]+$'"
        )
    ]


def waiting(atlas: Atlas) -> set[tuple[int, Any]]:
    """The sessions of PostgreSQL that wait for a lock on a table, and since when they do.

    Recovery, too, waits for a moment now and then, for a staging table that it wants to drop: to
    say that somebody waits no more, look for those who waited, not for the empty set.
    """
    return {
        (pid, since)
        for pid, since in atlas.rows(
            "SELECT pid, a.query_start FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
            " WHERE NOT l.granted AND l.relation > 0"
        )
    }


def running(atlas: Atlas, run_id: str, stage: str) -> bool:
    """Whether the stage is at work and waits for a lock (explore: has its first checkpoints)."""
    found = atlas.rows(
        "SELECT 1 FROM pipeline.stage_run WHERE run_id = :r AND stage = :s AND status = 'running'",
        r=run_id,
        s=stage,
    )
    if stage != "explore":
        return bool(found) and bool(waiting(atlas))
    return bool(found) and atlas.rows(
        "SELECT coalesce(sum(rows_explore), 0) FROM pipeline.run_stream WHERE run_id = :r", r=run_id
    ) == [(10,)]


@contextlib.contextmanager
def locked(atlas: Atlas, statement: str) -> Iterator[None]:
    """The lock that ``statement`` takes."""
    with atlas.engine.begin() as conn:
        conn.execute(sa.text(statement))
        yield


@contextlib.contextmanager
def held(atlas: Atlas, name: str, stage: str, start: Callable[[], str]) -> Iterator[str]:
    """A run of connection ``name`` that is in the midst of ``stage`` for as long as the block
    lasts: what it is about to write is locked (explore: the source hangs by itself)."""
    table = f"{name}_orders"
    locks = {
        "pii": "LOCK TABLE pipeline.finding IN SHARE MODE",
        "quality": "LOCK TABLE pipeline.check_result IN SHARE MODE",
        "chart": f"LOCK TABLE chart.{table} IN SHARE MODE",
        "navigate": f"LOCK TABLE navigate.{table} IN SHARE MODE",
    }
    with contextlib.ExitStack() as stack:
        if stage == "lineage":
            with held(atlas, name, "navigate", start) as run_id:
                # The staging table is there while navigate waits; holding it stops its drop.
                statement = f"LOCK TABLE pipeline.{staging_of(atlas, run_id)} IN ACCESS SHARE MODE"
                stack.enter_context(locked(atlas, statement))
        else:
            if stage in locks:
                stack.enter_context(locked(atlas, locks[stage]))
            run_id = start()
        atlas.until(lambda: running(atlas, run_id, stage), what=lambda: atlas.document(run_id))
        yield run_id


def staging_of(atlas: Atlas, run_id: str) -> str:
    """The staging table of the run's one stream."""
    ((number,),) = atlas.rows("SELECT id FROM pipeline.run_stream WHERE run_id = :r", r=run_id)
    name = f"staging_{number}"
    assert name in staging(atlas)
    return name


@contextlib.contextmanager
def frozen(atlas: Atlas, name: str) -> Iterator[None]:
    """A worker that takes no message for as long as the block lasts."""
    pid = next(p["pid"] for p in atlas.status["processes"] if p["name"] == name)
    parent = psutil.Process(pid)
    family = [parent, *parent.children(recursive=True)]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def refused(atlas: Atlas, table: str) -> Iterator[None]:
    """PostgreSQL refuses new rows of ``table`` for as long as the block lasts."""
    with atlas.engine.begin() as conn:
        conn.execute(
            sa.text(
                "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$"
            )
        )
        conn.execute(
            sa.text(
                f"CREATE TRIGGER refuse BEFORE INSERT ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()"
            )
        )
    try:
        yield
    finally:
        with atlas.engine.begin() as conn:
            conn.execute(sa.text("DROP FUNCTION public.refuse() CASCADE"))
