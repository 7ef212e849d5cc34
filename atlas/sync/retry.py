"""Retrying a run that ended without success, from where it stopped."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from atlas import traces
from atlas.errors import ActiveRun, Conflict
from atlas.layers import staging
from atlas.ledger import audit, ends, outbox, retries, run_log, runs
from atlas.ledger.database import classified, cursor
from atlas.model.stage import Stage, Status
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.sync import dispatch


def retry(
    engine: sa.Engine,
    settings: Settings,
    run_id: str,
    *,
    actor: str,
    begun: Callable[[sa.Connection, str], None] | None = None,
) -> str:
    """Queue again what of a run did not succeed: each stream from its first such stage on; returns
    the run's id as the ledger spells it.

    The source is asked only for streams that it has not read to their end. What pii found is found
    anew only where the staging table is gone.

    Args:
        actor: who does it, for the audit log.
        begun: called with the id in the same transaction, before anything is looked at.

    Raises:
        NotFound: there is no such run.
        Conflict: it is active, succeeded, not its connection's latest (what came after it goes on
            from it), or its connection was deleted. ActiveRun: its connection has an active run.
        TransientError: PostgreSQL cannot be reached.
    """
    with classified(engine.url.render_as_string()):
        with engine.begin() as conn:
            run = runs.get(conn, run_id)
            if begun is not None:
                begun(conn, run.id)
            try:
                with conn.begin_nested():
                    messages = _record(conn, run.id)
                    audit.put(conn, actor, "run.retry", run.connection, {"run_id": run.id})
            except IntegrityError as error:
                # A sync was asked for at the same moment, and its run is the active one.
                active = runs.active_of(conn, run.connection_id or 0)
                if active is None:
                    raise
                raise ActiveRun(run.connection, active) from error
        traces.join(run.id)
        dispatch.try_deliver(engine, messages)
    return run.id


def _record(conn: sa.Connection, run_id: str) -> list[int]:
    retries.retriable(conn, run_id)
    staged = set(staging.left(cursor(conn)))
    keep: dict[int, int] = {}
    explore = retries.explore_status(conn, run_id) is not Status.SUCCEEDED
    read = []
    for progress in retries.progress(conn, run_id):
        if progress.status is Status.SUCCEEDED or progress.gone:
            continue
        first = progress.first_open
        if not progress.explored:
            explore = True
            first = ORDER.index(Stage.PII)
        else:
            read.append(progress.id)
            # Once chart has the rows, nothing that follows needs the staging table.
            if progress.id not in staged and first <= ORDER.index(Stage.CHART):
                first = ORDER.index(Stage.PII)
        keep[progress.id] = first
    if not keep and not explore:
        raise Conflict(
            f"run {run_id}: nothing failed in it but streams that its source has no more: take "
            "them from the connection's streams, or bring them back and sync"
        )
    ends.reopen(conn, run_id, explore=explore, keep=keep)
    run_log.note(conn, run_id, "info", "the run is retried")
    messages = [outbox.put(conn, "stream", str(item)) for item in read]
    if explore:
        messages.append(outbox.put(conn, "run", run_id))
    return messages
