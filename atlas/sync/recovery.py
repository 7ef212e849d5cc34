"""Mending what was lost on the way: stages whose worker died, messages that never arrived.

Safe to run at any time, by anyone, twice at once: rows are locked and skipped, and a message too
many costs nothing.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from atlas.layers import staging
from atlas.ledger import claims, idempotency, outbox, runs
from atlas.ledger.claims import Claim
from atlas.ledger.database import cursor
from atlas.model.stage import Stage, Status
from atlas.settings import Settings
from atlas.stages.work import finish
from atlas.sync import dispatch

log = logging.getLogger(__name__)


def recover(engine: sa.Engine, settings: Settings) -> int:
    """Free dead leases and send again what nobody works on; returns how many stages that were.

    Also drops staging tables that runs left whose end could not do it.

    A stage that used up its attempts ends ``failed``, with what became of each in the ledger.

    Raises:
        TransientError: the broker does not answer; what was found waits in the outbox.
    """
    found = 0
    with engine.begin() as conn:
        idempotency.forget_expired(conn)
        for orphan in outbox.orphans(conn, settings.redispatch_seconds):
            found += 1
            try:
                with conn.begin_nested():
                    _take_up(conn, settings, orphan)
            except Exception as error:  # noqa: BLE001 - whatever it is
                # One that cannot be mended must not keep the others from being.
                log.error(
                    "stage %s of run %s cannot be recovered: %s",
                    orphan.stage,
                    orphan.run_id,
                    type(error).__name__,
                )
    with engine.begin() as conn:
        cur = cursor(conn)
        for run_stream_id in runs.ended(conn, staging.left(cur)):
            staging.drop(cur, run_stream_id)
    dispatch.deliver(engine)
    return found


def _take_up(conn: sa.Connection, settings: Settings, orphan: outbox.Orphan) -> None:
    if orphan.status == Status.RUNNING.value:
        if orphan.attempt >= settings.max_attempts:
            _give_up(conn, settings, orphan)
            return
        log.warning(
            "stage %s of run %s lost its worker: it is taken up again", orphan.stage, orphan.run_id
        )
        outbox.release(conn, orphan)
    if orphan.run_stream_id is None:
        outbox.put(conn, "run", orphan.run_id)
    else:
        outbox.put(conn, "stream", str(orphan.run_stream_id))


def _give_up(conn: sa.Connection, settings: Settings, orphan: outbox.Orphan) -> None:
    claim = Claim(
        stage_run_id=orphan.stage_run_id,
        run_id=orphan.run_id,
        run_stream_id=orphan.run_stream_id,
        stage=orphan.stage,
        fence=orphan.fence,
        attempt=orphan.attempt,
        holder="recovery",
    )
    error = (
        f"{orphan.stage}: its worker died in each of {orphan.attempt} attempts; "
        "`atlas runs show --attempts` lists them"
    )
    if orphan.stage is Stage.EXPLORE:
        claims.fail_unexplored(conn, orphan.run_id, error)
    finish(conn, settings, claim, Status.FAILED, error=error)
    outbox.bar(conn, orphan)
