"""One claimed stage at work: its transactions, its end, and the lineage events that go with it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import sqlalchemy as sa

from atlas.errors import LostClaim
from atlas.layers import staging
from atlas.ledger import claims, ends, measures, parts, run_log, runs
from atlas.ledger.claims import Claim
from atlas.ledger.database import cursor
from atlas.ledger.parts import Part
from atlas.model.stage import Stage, Status
from atlas.settings import Settings
from atlas.stages import ORDER, events

log = logging.getLogger(__name__)

_LEVELS = {
    Status.SUCCEEDED: "info",
    Status.CANCELLED: "warning",
    Status.BLOCKED: "warning",
    Status.FAILED: "error",
}

LONG = 60.0
"""Seconds of an attempt at a stage after which lineage tells that it is still running."""


class Held:
    """What whoever holds a claim needs beside it: transactions, and to be told when it is lost.

    Attributes:
        engine: the control plane and the layers.
        wake: sends these outbox messages, once what made them necessary is committed.
        lost: whether the claim is lost.
        halting: whether the work is to be broken off and handed back.
    """

    def __init__(
        self,
        engine: sa.Engine,
        settings: Settings,
        run_stream_id: int | None,
        wake: Callable[[list[int]], None],
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.run_stream_id = run_stream_id
        self.wake = wake
        self.lost = False
        self.halting = False
        self._stops: list[Callable[[], None]] = []
        self._busy: set[Any] = set()
        self._lock = threading.Lock()

    def when_lost(self, stop: Callable[[], None]) -> None:
        """Have ``stop`` called (from another thread) when the claim is lost or the work is to be
        broken off, to end what would go on by itself, such as a connector; at once if it is so
        already."""
        with self._lock:
            self._stops.append(stop)
            over = self.lost or self.halting
        if over:
            stop()

    def connector_started(self, verb: str, seconds: float) -> None:
        """Count that a connector has begun to speak. That it did is a deed of its own, whatever
        becomes of the work: it commits at once."""
        with self.engine.begin() as conn:
            measures.put(conn, measures.CONNECTOR_START_SECONDS, seconds, command=verb)

    def halt(self) -> None:
        """The worker is to stop: a connector is ended, what it brought can still be committed."""
        with self._lock:
            self.halting = True
            stops = list(self._stops)
        for stop in stops:
            stop()

    def lose(self) -> None:
        """The claim is lost: what goes on is ended, statements that PostgreSQL works on too."""
        with self._lock:
            self.lost = True
            stops = list(self._stops)
            for connection in self._busy:
                # Within the lock, so that the connection is still the one that does our work.
                with contextlib.suppress(psycopg2.Error):
                    connection.cancel()
        for stop in stops:
            stop()

    @contextlib.contextmanager
    def cancellable(self, conn: sa.Connection) -> Iterator[None]:
        """Have what ``conn`` works on cancelled when the claim is lost.

        Raises:
            LostClaim: it is lost already.
        """
        driver = conn.connection.dbapi_connection
        with self._lock:
            if self.lost:
                raise LostClaim("the claim is lost")
            self._busy.add(driver)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(driver)

    @contextlib.contextmanager
    def reading(self, *, idle: float = 60.0) -> Iterator[sa.Connection]:
        """A transaction for reading only; ``idle``: seconds it may wait between statements."""
        with self.engine.connect() as conn, self.cancellable(conn):
            claims.set_idle(conn, idle)
            yield conn


class Work(Held):
    """What a stage function gets: its claim, and what it needs for its work.

    Attributes:
        claim: the right to work on this stage.
        ended: how the stage ended, once that is written.
        parked: whether it was given up until its parts are done.
    """

    def __init__(
        self,
        claim: Claim,
        engine: sa.Engine,
        settings: Settings,
        wake: Callable[[list[int]], None],
    ) -> None:
        super().__init__(engine, settings, claim.run_stream_id, wake)
        self.claim = claim
        self.ended: Status | None = None
        self.parked = False

    @contextlib.contextmanager
    def transaction(self, *, idle: float = 15.0) -> Iterator[sa.Connection]:
        """A transaction that commits only while the claim holds; see :func:`claims.transaction`."""
        with (
            claims.transaction(self.engine, self.claim, idle=idle) as conn,
            self.cancellable(conn),
        ):
            yield conn

    def park(self, conn: sa.Connection, parts: int) -> None:
        """Give the claim up within ``conn``'s transaction until ``parts`` parts are done."""
        claims.park(conn, self.claim, parts)
        self.parked = True

    def finish(
        self,
        conn: sa.Connection,
        *,
        rows: int | None = None,
        status: Status = Status.SUCCEEDED,
        error: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """End the stage within ``conn``'s transaction, and write its lineage events.

        Args:
            rows: rows the stage handled.
                detail: what only the stage knows for its event (:mod:`atlas.stages.events`).
        """
        finish(
            conn,
            self.settings,
            self.claim,
            status,
            rows=rows,
            error=error,
            detail=detail,
        )
        self.ended = status

    def stream(self) -> runs.RunStream:
        """The stream that this stage is about."""
        assert self.run_stream_id is not None  # noqa: S101 - every stage but explore has one
        with self.reading() as conn:
            return runs.stream(conn, self.run_stream_id)


class PartWork(Held):
    """What the work on a part of a stream gets.

    Attributes:
        part: the right to work on this part.
        holder: who works on it.
        done: whether its end is committed.
    """

    def __init__(
        self,
        part: Part,
        holder: str,
        engine: sa.Engine,
        settings: Settings,
        wake: Callable[[list[int]], None],
    ) -> None:
        super().__init__(engine, settings, part.run_stream_id, wake)
        self.part = part
        self.holder = holder
        self.done = False

    @contextlib.contextmanager
    def transaction(self, *, idle: float = 15.0) -> Iterator[sa.Connection]:
        """A transaction whose last thing is :func:`atlas.ledger.parts.done`."""
        with self.engine.begin() as conn, self.cancellable(conn):
            claims.set_idle(conn, idle)
            yield conn


def begin(conn: sa.Connection, settings: Settings, claim: Claim) -> None:
    """Write the lineage event of an attempt that begins; one that goes on has its own, and may
    have been at work for long."""
    if claim.resumed:
        _running(conn, settings, claim)
        return
    with _aside(conn, "lineage"):
        events.stage_started(conn, settings, claim)
    lost = claim.attempt > 1 and claims.lost_before(conn, claim)
    why = ": the worker of the one before was lost" if lost else ""
    _tell(conn, claim, "warning" if lost else "info", f"attempt {claim.attempt} begins{why}")


def at_work(engine: sa.Engine, settings: Settings, claim: Claim) -> bool:
    """Write the lineage event of an attempt that has been at work for :data:`LONG`, once; whether
    that is done.

    It commits only while the claim holds, so it never comes after the attempt's end.
    """
    with contextlib.suppress(LostClaim), claims.transaction(engine, claim) as conn:
        return _running(conn, settings, claim)
    return False


def _running(conn: sa.Connection, settings: Settings, claim: Claim) -> bool:
    if claims.age(conn, claim) < LONG:
        return False
    with _aside(conn, "lineage"):
        events.stage_running(conn, settings, claim)
    return True


def finish(
    conn: sa.Connection,
    settings: Settings,
    claim: Claim,
    status: Status,
    *,
    rows: int | None = None,
    error: str | None = None,
    detail: dict[str, Any] | None = None,
    yields: bool = False,
) -> None:
    """End a claimed stage and whatever ends with it, with the lineage events of both.

    Args:
        yields: the caller waits for no lock, and tries all of it again where somebody is in the way
            (:func:`gave_way`): else what lineage would have to wait for is not told.
    """
    ended = ends.finish(
        conn,
        claim,
        status,
        rows=rows,
        error=error,
        last=claim.stage is ORDER[-1],
    )
    if claim.stage is Stage.PII and claim.run_stream_id is not None:
        # After the stage's own row, as whoever cancels does.
        parts.forget(conn, claim.run_stream_id)
    with _aside(conn, "lineage", yields=yields):
        events.stage_ended(conn, settings, claim, status, error=error, detail=detail)
    if ended is not None:
        with _aside(conn, "staging tables"):
            drop_staging(conn, runs.stream_ids(conn, claim.run_id))
        with _aside(conn, "lineage", yields=yields):
            events.run_ended(conn, settings, claim.run_id, ended)
    counted = "" if rows is None else f", {rows:,} rows"
    _tell(conn, claim, _LEVELS[status], error or f"{status.value}{counted}")
    if ended is not None:
        with _aside(conn, "log"):
            run_log.note(conn, claim.run_id, _LEVELS[ended], f"the run has ended: {ended.value}")


def _tell(conn: sa.Connection, claim: Claim, level: str, message: str) -> None:
    """Write a line into the log of the run, which must not keep the stage from its end."""
    with _aside(conn, "log"):
        run_log.tell(conn, claim, level, message)


def drop_staging(conn: sa.Connection, run_stream_ids: list[int]) -> None:
    """Drop those of these streams' staging tables that nobody needs any more.

    Whether they are needed is seen under the lock of their runs: a retry that finds a table there
    must not have it dropped under its hands by somebody who waited for the table's last reader.
    """
    runs.lock_runs_of(conn, run_stream_ids)
    cur = cursor(conn)
    for run_stream_id in runs.done_with(conn, run_stream_ids):
        staging.drop(cur, run_stream_id)


def postpone(
    conn: sa.Connection, settings: Settings, claim: Claim, *, delay: float, error: str, cause: str
) -> None:
    """End an attempt that failed for now, with its lineage event, and give the stage back."""
    claims.retry_later(conn, claim, delay=delay, error=error, cause=cause)
    with _aside(conn, "lineage"):
        events.stage_ended(conn, settings, claim, Status.FAILED, error=error)
    after = f"attempt {claim.attempt + 1} follows in {delay:.0f} s"
    _tell(conn, claim, "warning", f"{error}; {after}")


def hand_back(conn: sa.Connection, settings: Settings, claim: Claim) -> None:
    """End an attempt whose worker is to stop, with its lineage event, and give the stage back."""
    claims.hand_back(conn, claim)
    with _aside(conn, "lineage"):
        events.stage_ended(
            conn, settings, claim, Status.CANCELLED, error="its worker was told to stop"
        )
    _tell(conn, claim, "info", "handed back: its worker was told to stop")


def attempts_lost(conn: sa.Connection, settings: Settings, claim: Claim) -> None:
    """Write the lineage events of attempts whose workers were lost; raises as :func:`cancelled`."""
    with _aside(conn, "lineage", yields=True):
        events.attempts_lost(conn, settings, claim)


def cancelled(conn: sa.Connection, settings: Settings, run_id: str, stages: list[Claim]) -> None:
    """Write the lineage events of a run that was cancelled, and of its stages that were running.

    Raises:
        sqlalchemy.exc.OperationalError, psycopg2.OperationalError: somebody is in the way
            (:func:`gave_way`); all of it is to be tried again.
    """
    with _aside(conn, "lineage", yields=True):
        for claim in stages:
            events.attempts_lost(conn, settings, claim)
            events.stage_ended(conn, settings, claim, Status.CANCELLED, error="cancelled")
        events.run_ended(conn, settings, run_id, Status.CANCELLED)
    with _aside(conn, "log", yields=True):
        run_log.note(conn, run_id, "warning", "the run was cancelled")


def gave_way(error: Exception) -> bool:
    """Whether a transaction gave way to another one, by a lock, and may be tried again."""
    cause = getattr(error, "orig", error)
    return getattr(cause, "pgcode", None) in ("40P01", "55P03")


@contextlib.contextmanager
def _aside(conn: sa.Connection, what: str, *, yields: bool = False) -> Iterator[None]:
    """What belongs to a stage's end and must not keep it from ending: undone alone if it fails.

    Args:
        yields: the caller waits for no lock and tries all of it again: that is no failure.

    Raises:
        As the driver: the connection is broken, before it has begun.
    """
    # Not within: one that cannot begin has nothing to be undone, and its error is the caller's.
    apart = conn.begin_nested()
    try:
        with apart:
            yield
    except Exception as error:
        if yields and gave_way(error):
            raise
        log.error("%s of a stage's end failed: %s", what, type(error).__name__)
