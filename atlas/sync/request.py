"""Asking for a sync, or to have masks made anew: written down, then sent; what is not sent is found
by recovery."""

from __future__ import annotations

import logging
from datetime import datetime

import sqlalchemy as sa

from atlas.errors import ActiveRun, UsageError
from atlas.ledger import audit, backlog, connections, runs, schedules
from atlas.ledger.database import classified
from atlas.ledger.schedules import Due
from atlas.sync import dispatch

log = logging.getLogger(__name__)


def record(
    conn: sa.Connection,
    name: str,
    *,
    trigger: str,
    actor: str,
    streams: list[str] | None = None,
    full_refresh: bool = False,
) -> str:
    """Write down that connection ``name`` is to be synced, in the caller's transaction.

    Args:
        trigger: how it is asked for: ``cli``, ``api`` or ``schedule``.
        actor: who asks, such as ``api: nightly``.
        streams: names of the streams to sync; None for all that the connection selects.
        full_refresh: read from the start this once, whatever the state says.

    Returns:
        The run's id, to be given to :func:`dispatch.start` after the commit.

    Raises:
        NotFound: there is no such connection. UsageError: a stream that it does not select.
        ActiveRun: it is being synced already.
    """
    if streams is not None:
        if not streams:
            raise UsageError("streams: name at least one, or leave it out for all")
        selected = connections.selects(conn, name)
        unknown = [] if selected is None else [item for item in streams if item not in selected]
        if unknown:
            raise UsageError(
                f"stream {unknown[0]}: connection {name} does not select it; "
                f"it selects {', '.join(selected or ())}"
            )
    return runs.create(
        conn,
        connection=name,
        trigger=trigger,
        selected=streams,
        full_refresh=full_refresh,
        actor=actor,
    )


def record_remask(
    conn: sa.Connection, name: str, *, actor: str, streams: list[str] | None = None
) -> str:
    """Write down that the masked layers of connection ``name`` are to be made anew from explore,
    by the policy and the words that hold now, in the caller's transaction.

    Args:
        actor: who asks, such as ``api: nightly``.
        streams: names of the streams; None for all that have come to chart.

    Returns:
        The run's id, to be given to :func:`dispatch.start` after the commit.

    Raises:
        NotFound: there is no such connection. UsageError: a stream that has not come to chart, or
            none has. ActiveRun: a run of it is active.
    """
    connections.selects(conn, name)  # raises NotFound
    keys = [item.key for item in backlog.promoted(conn, name)]
    known = {text for key in keys for text in (key.name, str(key))}
    if not keys:
        raise UsageError(f"connection {name}: none of its streams has come to chart yet: sync it")
    if streams is not None and not streams:
        raise UsageError("streams: name at least one, or leave it out for all")
    for stream in streams or ():
        if stream not in known:
            raise UsageError(
                f"stream {stream}: it has not come to chart; "
                f"these have: {', '.join(sorted(map(str, keys)))}"
            )
    run_id = runs.create(
        conn, connection=name, trigger=runs.REMASK, selected=streams, full_refresh=False
    )
    audit.put(conn, actor, "pii.remask", name, {"run_id": run_id, "streams": streams})
    return run_id


def request_remask(
    engine: sa.Engine, name: str, *, actor: str, streams: list[str] | None = None
) -> str:
    """:func:`record_remask` in a transaction of its own, then try to wake a worker; returns the
    run's id.

    Raises:
        As :func:`record_remask`, and TransientError when PostgreSQL cannot be reached.
    """
    with classified(engine.url.render_as_string()), engine.begin() as conn:
        run_id = record_remask(conn, name, actor=actor, streams=streams)
    dispatch.start(engine, [run_id])
    return run_id


def request_sync(
    engine: sa.Engine,
    name: str,
    *,
    trigger: str,
    actor: str,
    streams: list[str] | None = None,
    full_refresh: bool = False,
) -> str:
    """:func:`record` in a transaction of its own, then try to wake a worker; returns the run's id.

    Raises:
        As :func:`record`, and TransientError when PostgreSQL cannot be reached.
    """
    with classified(engine.url.render_as_string()), engine.begin() as conn:
        run_id = record(
            conn, name, trigger=trigger, actor=actor, streams=streams, full_refresh=full_refresh
        )
    dispatch.start(engine, [run_id])
    return run_id


def fire(engine: sa.Engine, *, now: datetime | None = None) -> int:
    """Request a sync for every connection whose schedule is due; returns how many were requested.

    The due time is taken and the run recorded in one transaction, so that it fires once however
    many processes ask. A connection that is still being synced skips this time, or waits for the
    run's end where its schedule says so.

    Args:
        now: instead of the ledger's clock.

    Raises:
        TransientError: PostgreSQL cannot be reached.
    """
    started = []
    with classified(engine.url.render_as_string()), engine.begin() as conn:
        for due in schedules.take_due(conn, now=now):
            try:
                with conn.begin_nested():
                    run_id = _fire(conn, due)
            except (sa.exc.OperationalError, sa.exc.InterfaceError):
                raise  # PostgreSQL is away, for all of them
            except Exception as error:  # noqa: BLE001 - one that cannot fire holds up no other
                log.error("schedule of %s: %s: it stays due", due.name, type(error).__name__)
                continue
            if run_id is not None:
                started.append(run_id)
    dispatch.start(engine, started)
    return len(started)


def _fire(conn: sa.Connection, due: Due) -> str | None:
    """Have a schedule that is due make its run, or pass this time over; the run's id, if any."""
    if due.missed:
        log.warning("schedule of %s: %s has passed by", due.name, due.due_at.isoformat())
        schedules.passed(conn, due)
        return None
    try:
        run_id = record(conn, due.name, trigger="schedule", actor="schedule")
    except ActiveRun as error:
        if not due.schedule.waits:  # else its run began just now
            log.warning("schedule of %s: skipped, run %s is active", due.name, error.run_id)
            schedules.passed(conn, due)
        return None
    schedules.fired(conn, due, run_id)
    log.info("schedule of %s: run %s", due.name, run_id)
    return run_id
