"""One claimed stage at work: its transactions, its end, and the lineage events that go with it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from atlas.layers import staging
from atlas.ledger import claims, runs
from atlas.ledger.claims import Claim
from atlas.ledger.database import cursor
from atlas.model.stage import Status
from atlas.settings import Settings
from atlas.stages import ORDER, events

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Work:
    """What a stage function gets.

    Attributes:
        claim: the right to work on this stage.
        engine: the control plane and the layers.
        wakes: outbox messages to be sent once the stage's transaction is committed.
        ended: how the stage ended, once that is written.
    """

    claim: Claim
    engine: sa.Engine
    settings: Settings
    wake: Callable[[list[int]], None]
    ended: Status | None = None
    _lost: bool = False
    _stops: list[Callable[[], None]] = field(default_factory=list)

    def when_lost(self, stop: Callable[[], None]) -> None:
        """Have ``stop`` called (from another thread) when the claim is lost, to end what would go
        on by itself, such as a connector; at once if it is lost already."""
        self._stops.append(stop)
        if self._lost:
            stop()

    def lose(self) -> None:
        """The claim is lost."""
        self._lost = True
        for stop in self._stops:
            stop()

    def transaction(self, *, idle: float = 15.0) -> AbstractContextManager[sa.Connection]:
        """A transaction that commits only while the claim holds; see :func:`claims.transaction`."""
        return claims.transaction(self.engine, self.claim, idle=idle)

    @contextlib.contextmanager
    def reading(self, *, idle: float = 60.0) -> Iterator[sa.Connection]:
        """A transaction for reading only; ``idle``: seconds it may wait between statements."""
        with self.engine.connect() as conn:
            claims.set_idle(conn, idle)
            yield conn

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
        assert self.claim.run_stream_id is not None  # noqa: S101 - every stage but explore has one
        with self.reading() as conn:
            return runs.stream(conn, self.claim.run_stream_id)


def begin(conn: sa.Connection, settings: Settings, claim: Claim) -> None:
    """Write the lineage event of an attempt that begins."""
    with _aside(conn, "lineage"):
        events.stage_started(conn, settings, claim)


def finish(
    conn: sa.Connection,
    settings: Settings,
    claim: Claim,
    status: Status,
    *,
    rows: int | None = None,
    error: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """End a claimed stage and whatever ends with it, with the lineage events of both."""
    ended = claims.finish(
        conn,
        claim,
        status,
        rows=rows,
        error=error,
        last=claim.stage is ORDER[-1],
    )
    with _aside(conn, "lineage"):
        events.stage_ended(conn, settings, claim, status, error=error, detail=detail)
    if ended is not None:
        with _aside(conn, "staging tables"):
            for stream in runs.streams(conn, claim.run_id):
                staging.drop(cursor(conn), stream.id)
        with _aside(conn, "lineage"):
            events.run_ended(conn, settings, claim.run_id, ended)


def postpone(
    conn: sa.Connection, settings: Settings, claim: Claim, *, delay: float, error: str
) -> None:
    """End an attempt that failed for now, with its lineage event, and give the stage back."""
    claims.retry_later(conn, claim, delay=delay, error=error)
    with _aside(conn, "lineage"):
        events.stage_ended(conn, settings, claim, Status.FAILED, error=error)


@contextlib.contextmanager
def _aside(conn: sa.Connection, what: str) -> Iterator[None]:
    """What belongs to a stage's end and must not keep it from ending: undone alone if it fails."""
    try:
        with conn.begin_nested():
            yield
    except Exception as error:  # noqa: BLE001 - said in the log, and the stage goes on
        log.error("%s of a stage's end failed: %s", what, type(error).__name__)
