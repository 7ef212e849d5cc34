"""Holding a stage of a run in its midst, for as long as a test wants.

Explore waits for its source. Pii and quality wait where they write their results, at a trigger
that asks for a lock of the test's; chart, navigate and lineage wait for the table that they are
about to write or to drop.
"""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from tests.chaos.stack import Stack, wait
from tests.chaos.world import hold_file

STREAM = "orders"
"""Of the stages that go stream by stream, this stream's is held."""
STAGES = ("explore", "pii", "quality", "chart", "navigate", "lineage")
QUEUE = {"explore": "extract", "pii": "scan"}
"""Queue of a stage; the others are on ``load``."""

_TRIGGERS = """
CREATE FUNCTION public.chaos_brake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The key is the sum that the test takes of the names, kept in a table of its own.
    PERFORM pg_advisory_xact_lock_shared(b.key)
       FROM pipeline.run_stream s JOIN pipeline.run r ON r.id = s.run_id
       JOIN public.chaos_brakes b
         ON b.connection = r.connection AND b.stream = s.stream AND b.relation = TG_TABLE_NAME
      WHERE s.id = NEW.run_stream_id;
    RETURN NEW;
END $$;
CREATE TABLE public.chaos_brakes (connection text, stream text, relation text, key bigint);
CREATE TRIGGER chaos_brake BEFORE INSERT ON pipeline.finding
    FOR EACH ROW EXECUTE FUNCTION public.chaos_brake();
CREATE TRIGGER chaos_brake BEFORE INSERT ON pipeline.check_result
    FOR EACH ROW EXECUTE FUNCTION public.chaos_brake();
"""
_WRITTEN = {"pii": "finding", "quality": "check_result"}


def install(stack: Stack) -> None:
    """Put the triggers into the stack's database."""
    with stack.engine.begin() as conn:
        conn.execute(sa.text(_TRIGGERS))


class Brake:
    """Holds ``stage`` of the next run of connection ``name``, from :meth:`set` to :meth:`release`.

    One process of the database holds the locks; they go when it does.
    """

    def __init__(self, stack: Stack, directory: Path, name: str, stage: str) -> None:
        self._stack = stack
        self._name = name
        self.stage = stage
        self._file = hold_file(directory, name)
        self._conn: sa.Connection | None = None
        self._pid = 0

    def __enter__(self) -> Brake:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def set(self) -> None:
        """Before the run is asked for."""
        if self.stage == "explore":
            self._file.touch()
            return
        self._conn = conn = self._stack.engine.connect()
        self._pid = conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        if self.stage in _WRITTEN:
            values: dict[str, Any] = {
                "c": self._name,
                "s": STREAM,
                "t": _WRITTEN[self.stage],
                "k": zlib.crc32(f"{self._name} {self.stage}".encode()),
            }
            conn.execute(sa.text("INSERT INTO chaos_brakes VALUES (:c, :s, :t, :k)"), values)
            conn.commit()
            conn.execute(sa.text("SELECT pg_advisory_xact_lock(:k)"), values)
        else:
            layer = "chart" if self.stage == "chart" else "navigate"
            conn.execute(sa.text(f"LOCK TABLE {layer}.{self._name}_{STREAM} IN SHARE MODE"))

    def held(self, run_id: str) -> bool:
        """Whether the stage of run ``run_id`` is at work and waits; a brake on lineage moves on
        from navigate as a side effect."""
        if self.stage == "explore":
            return bool(
                self._stack.rows(
                    "SELECT 1 FROM pipeline.segment g JOIN pipeline.run_stream p"
                    " ON p.id = g.run_stream_id WHERE p.run_id = :r",
                    r=run_id,
                )
            )
        if self.stage == "lineage" and not self._on("lineage", run_id):
            if self._on("navigate", run_id) and self._waited_for():
                self._move_on(run_id)
            return False
        return self._on(self.stage, run_id) and self._waited_for()

    def release(self) -> None:
        """Let the stage go on."""
        self._file.unlink(missing_ok=True)
        if self._conn is not None:
            # A server that was killed has let it go already.
            with contextlib.suppress(sa.exc.DBAPIError):
                self._conn.rollback()
            with contextlib.suppress(sa.exc.DBAPIError):
                self._conn.close()
            self._conn = None

    def _on(self, stage: str, run_id: str) -> bool:
        return bool(
            self._stack.rows(
                "SELECT 1 FROM pipeline.stage_run x JOIN pipeline.run_stream p"
                " ON p.id = x.run_stream_id WHERE p.run_id = :r AND p.stream = :s"
                " AND x.stage = :stage AND x.status = 'running'",
                r=run_id,
                s=STREAM,
                stage=stage,
            )
        )

    def _waited_for(self) -> bool:
        return bool(
            self._stack.rows(
                "SELECT 1 FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))",
                pid=self._pid,
            )
        )

    def _move_on(self, run_id: str) -> None:
        """Navigate waits, so the staging table is whole: hold that, which lineage drops."""
        tables = self._stack.rows(
            "SELECT t.tablename FROM pg_tables t JOIN pipeline.run_stream s"
            " ON s.id = CAST(substring(t.tablename from '^staging_(\\d+)') AS bigint)"
            " WHERE t.schemaname = 'pipeline' AND s.run_id = :r AND s.stream = :s",
            r=run_id,
            s=STREAM,
        )
        before, self._conn = self._conn, self._stack.engine.connect()
        self._pid = self._conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        for (table,) in tables:
            self._conn.execute(sa.text(f"LOCK TABLE pipeline.{table} IN ACCESS SHARE MODE"))
        assert before is not None
        before.rollback()
        before.close()


def hold(brakes: dict[Brake, str], seconds: float = 900.0) -> list[Brake]:
    """Wait until each brake holds its run's stage; returns those that do not. No trial yet: nothing
    has disturbed the runs."""
    left = list(brakes)

    def all_held() -> bool:
        left[:] = [brake for brake in left if not brake.held(brakes[brake])]
        return not left

    wait(all_held, seconds, every=0.1)
    return left
