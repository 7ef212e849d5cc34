"""Mending what was lost on the way: stages whose worker died, messages that never arrived.

Safe to run at any time, by anyone, twice at once: rows are locked and skipped, and a message too
many costs nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa

from atlas.layers import staging
from atlas.ledger import (
    claims,
    ends,
    idempotency,
    logins,
    operations,
    outbox,
    parts,
    runs,
    sessions,
    state,
)
from atlas.ledger.database import cursor
from atlas.model.stage import Stage, Status
from atlas.settings import Settings
from atlas.stages.work import attempts_lost, drop_staging, finish
from atlas.sync import dispatch
from atlas.sync.perform import ROUNDS

log = logging.getLogger(__name__)


def recover(engine: sa.Engine, settings: Settings) -> int:
    """Free dead leases and send again what nobody works on; returns how many stages that were.

    Also drops staging tables that nobody needs any more and that nobody dropped.

    A stage that used up its attempts ends ``failed``, with what became of each in the ledger.

    Raises:
        TransientError: the broker does not answer; what was found waits in the outbox.
    """
    found = 0
    idle, looks = dispatch.waiting()
    with engine.begin() as conn:
        idempotency.forget_expired(conn)
        logins.forget_old(conn)
        sessions.forget_ended(conn, timedelta(seconds=settings.session_idle_seconds))
        with _one_of_many(conn, "operations"):
            operations.recover(conn, settings.redispatch_seconds, idle=Stage.EXPLORE in idle)
        for orphan in outbox.orphans(conn, settings.redispatch_seconds, idle):
            found += 1
            with _one_of_many(conn, f"stage {orphan.stage} of run {orphan.run_id}"):
                if orphan.stage in idle:
                    outbox.lost(conn, orphan.stage_run_id)
                _take_up(conn, settings, orphan)
    with engine.begin() as conn:
        for poisoned in parts.poisoned(conn, settings.max_attempts):
            with _one_of_many(conn, f"stream {poisoned.run_stream_id}"):
                _poisoned(conn, settings, poisoned)
        if not looks:
            # No message is there for them, or it came too early.
            for run_stream_id in parts.waiting(conn):
                outbox.put(conn, "scan", str(run_stream_id))
    with engine.begin() as conn:
        unneeded = runs.done_with(conn, staging.left(cursor(conn)))
    for run_stream_id in unneeded:
        with (
            engine.begin() as conn,
            _one_of_many(conn, f"staging table of stream {run_stream_id}"),
        ):
            drop_staging(conn, [run_stream_id])
    dispatch.deliver(engine)
    return found


@contextlib.contextmanager
def _one_of_many(conn: sa.Connection, what: str) -> Iterator[None]:
    """One that cannot be mended must not keep the others from being."""
    try:
        with conn.begin_nested():
            conn.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said, and tried again
        log.error("%s cannot be recovered: %s", what, type(error).__name__)


def _take_up(conn: sa.Connection, settings: Settings, orphan: outbox.Orphan) -> None:
    if orphan.status == Status.RUNNING.value and not orphan.parked:
        if orphan.lost >= settings.max_attempts or orphan.attempt >= ROUNDS * settings.max_attempts:
            _give_up(conn, settings, orphan)
            return
        log.warning(
            "stage %s of run %s lost its worker: it is taken up again", orphan.stage, orphan.run_id
        )
        outbox.release(conn, orphan)
        attempts_lost(conn, settings, orphan.claim)
    if orphan.run_stream_id is None:
        outbox.put(conn, "run", orphan.run_id)
    else:
        outbox.put(conn, "stream", str(orphan.run_stream_id))


def _give_up(conn: sa.Connection, settings: Settings, orphan: outbox.Orphan) -> None:
    claim = claims.seize(conn, orphan.stage_run_id, "recovery")
    if claim is None:
        return
    error = (
        f"{orphan.stage}: its worker died in each of {orphan.lost} attempts; "
        "`atlas runs show --attempts` lists them"
    )
    if orphan.stage is Stage.EXPLORE:
        ends.fail_unexplored(conn, orphan.run_id, error)
        state.remember(conn, orphan.run_id)
    attempts_lost(conn, settings, claim)
    finish(conn, settings, claim, Status.FAILED, error=error, yields=True)


def _poisoned(conn: sa.Connection, settings: Settings, found: parts.Poisoned) -> None:
    stage_run_id = claims.lock_parked(conn, found.run_stream_id)
    # Its row is locked: what is found now holds.
    again = [
        item
        for item in parts.poisoned(conn, settings.max_attempts)
        if item.run_stream_id == found.run_stream_id
    ]
    if stage_run_id is None or not again:
        return
    poisoned = again[0]
    claim = claims.seize(conn, stage_run_id, "recovery")
    if claim is None:
        return
    error = poisoned.error or (
        f"{claim.stage}: the worker died in each of {settings.max_attempts} attempts at the same "
        f"{poisoned.rows} rows"
    )
    finish(conn, settings, claim, Status.FAILED, error=error, yields=True)
