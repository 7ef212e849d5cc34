"""How stages, streams and runs end: each in the transaction of the work that ends it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.ledger import claims, measures, traced, webhook_events
from atlas.ledger.claims import Claim
from atlas.ledger.tables import attempt, outbox, run, run_stream, scan_part, stage_run
from atlas.model.stage import Status, worst

_ACTIVE = (Status.QUEUED.value, Status.RUNNING.value)


def finish(
    conn: sa.Connection,
    claim: Claim,
    status: Status,
    *,
    rows: int | None = None,
    error: str | None = None,
    last: bool = False,
) -> Status | None:
    """End the stage in the caller's transaction (of :func:`claims.transaction`), and with it, where
    it was the last thing missing, the stream and the run.

    Args:
        status: how the stage ended.
        rows: rows it handled.
        error: why it failed, one line.
        last: whether it is the stream's last stage.

    Returns:
        The run's status if this ended the run, else None.
    """
    claims.guard(conn, claim)
    now = sa.func.clock_timestamp()
    conn.execute(
        stage_run.update()
        .where(stage_run.c.id == claim.stage_run_id)
        .values(
            status=status.value,
            rows=rows,
            error=error,
            finished_at=now,
            lease_until=None,
            holder=None,
            parked=False,
            parts_left=None,
        )
    )
    claims.end_attempt(conn, claim, status.value, error)
    if claim.run_stream_id is not None:
        if status is Status.SUCCEEDED:
            measures.put_stage(conn, claim.stage, claim.run_stream_id)
            if not last:
                return None
        end_stream(conn, claim.run_stream_id, status, error)
    return end_run(conn, claim.run_id, error if claim.run_stream_id is None else None)


def end_stream(conn: sa.Connection, run_stream_id: int, status: Status, error: str | None) -> None:
    """End a stream; stages that it had not begun are cancelled where it did not succeed, and parts
    that were studied ahead are forgotten."""
    conn.execute(
        run_stream.update()
        .where(run_stream.c.id == run_stream_id)
        .values(status=status.value, error=error)
    )
    conn.execute(
        stage_run.update()
        .where(
            stage_run.c.run_stream_id == run_stream_id,
            stage_run.c.status == Status.QUEUED.value,
        )
        .values(status=Status.CANCELLED.value, next_attempt_at=None)
    )
    conn.execute(scan_part.delete().where(scan_part.c.run_stream_id == run_stream_id))


def end_run(conn: sa.Connection, run_id: str, error: str | None = None) -> Status | None:
    """End the run if nothing of it is left to do; returns its status if this call ended it.

    The row lock makes one of two streams that finish at the same moment see the other's end.
    """
    row = conn.execute(sa.select(*_SO_FAR).where(run.c.id == run_id).with_for_update()).one()
    if Status(row.status).ended:
        return None
    first = conn.execute(
        sa.select(stage_run.c.status, stage_run.c.error).where(
            stage_run.c.run_id == run_id, stage_run.c.run_stream_id.is_(None)
        )
    ).one()
    explore = Status(first.status)
    streams = [
        Status(status)
        for status in conn.execute(
            sa.select(run_stream.c.status).where(run_stream.c.run_id == run_id)
        ).scalars()
    ]
    if not explore.ended or not all(status.ended for status in streams):
        return None
    status = worst([explore, *streams])
    if error is None and explore is status:
        error = first.error
    if error is None and status is not Status.SUCCEEDED:
        error = conn.execute(
            sa.select(run_stream.c.stream.concat(": ").concat(run_stream.c.error))
            .where(run_stream.c.run_id == run_id, run_stream.c.status == status.value)
            .order_by(run_stream.c.id)
            .limit(1)
        ).scalar()
    conn.execute(
        run.update()
        .where(run.c.id == run_id)
        .values(
            status=status.value,
            error=error,
            finished_at=sa.func.clock_timestamp(),
            **_totals(run_id),
        )
    )
    _count(conn, run_id, row, status)
    webhook_events.run_ended(conn, run_id, status)
    return status


# With the rows of its former end, where a user had it resumed: what has been counted of it.
_ROWS = ("rows_explore", "rows_promoted", "rows_quarantined")
_SO_FAR = (run.c.status, run.c.trigger, *(run.c[name] for name in _ROWS))


def _count(conn: sa.Connection, run_id: str, before: sa.Row[Any], status: Status) -> None:
    """Count the end of a run, and the rows that it brought since its last end."""
    measures.put(conn, measures.RUNS, 1, trigger=before.trigger, status=status.value)
    now = conn.execute(sa.select(*_SO_FAR).where(run.c.id == run_id)).one()
    for name in _ROWS:
        more = getattr(now, name) - getattr(before, name)
        if more > 0:
            measures.put(conn, measures.ROWS, more, outcome=name.removeprefix("rows_"))
    traced.run_ended(conn, run_id)


def _totals(run_id: str) -> dict[str, sa.ScalarSelect[int]]:
    """The rows of a run's streams together, to be written where it ends."""
    return {
        name: sa.select(sa.func.coalesce(sa.func.sum(run_stream.c[name]), 0))
        .where(run_stream.c.run_id == run_id)
        .scalar_subquery()
        for name in _ROWS
    }


def fail_unexplored(conn: sa.Connection, run_id: str, error: str) -> None:
    """End the streams that the source did not read to their end; the others go on."""
    unread = conn.execute(
        sa.select(run_stream.c.id).where(
            run_stream.c.run_id == run_id,
            run_stream.c.explored_at.is_(None),
            run_stream.c.status.in_((Status.QUEUED.value, Status.RUNNING.value)),
        )
    ).scalars()
    for run_stream_id in list(unread):
        end_stream(conn, run_stream_id, Status.FAILED, error)


def cancel_run(conn: sa.Connection, run_id: str) -> tuple[Status | None, list[Claim]]:
    """End an active run, its unfinished streams and their stages as cancelled.

    Streams are locked first, while nothing else is held: a stage that commits in its midst has
    locked its stream's row, then its own. One that ends locks them the other way round, and this
    yields to it.

    Returns:
        The status with which the run had ended already (then nothing is written), else None; and
        the claims of the stages that were running, so that their end can be told.

    Raises:
        sqlalchemy.exc.OperationalError: with SQLSTATE 55P03, a stage that ends is in the way; to
            be tried again in a new transaction.
    """
    of_run = sa.select(run_stream.c.id).where(run_stream.c.run_id == run_id)
    conn.execute(of_run.order_by(run_stream.c.id).with_for_update())
    # Shorter than PostgreSQL's deadlock_timeout, so that of the two it is never the stage.
    conn.execute(sa.text("SET LOCAL lock_timeout = '300ms'"))
    stages = conn.execute(
        sa.select(stage_run.c.id, stage_run.c.status)
        .where(stage_run.c.run_id == run_id)
        .order_by(stage_run.c.id)
        .with_for_update()
    ).all()
    row = conn.execute(sa.select(*_SO_FAR).where(run.c.id == run_id).with_for_update()).one()
    if Status(row.status).ended:
        return Status(row.status), []
    seized = []
    for stage in stages:
        if stage.status == Status.RUNNING.value:
            claim = claims.seize(conn, stage.id, "cancel")
            if claim is not None:
                claims.end_attempt(conn, claim, "cancelled", None)
                seized.append(claim)
    now = sa.func.clock_timestamp()
    conn.execute(
        stage_run.update()
        .where(stage_run.c.run_id == run_id, stage_run.c.status.in_(_ACTIVE))
        .values(
            status=Status.CANCELLED.value,
            finished_at=now,
            holder=None,
            next_attempt_at=None,
        )
    )
    conn.execute(
        run_stream.update()
        .where(run_stream.c.run_id == run_id, run_stream.c.status.in_(_ACTIVE))
        .values(status=Status.CANCELLED.value)
    )
    conn.execute(
        run.update()
        .where(run.c.id == run_id)
        .values(status=Status.CANCELLED.value, finished_at=now, **_totals(run_id))
    )
    _count(conn, run_id, row, Status.CANCELLED)
    webhook_events.run_ended(conn, run_id, Status.CANCELLED)
    streams = list(conn.execute(of_run).scalars())
    conn.execute(scan_part.delete().where(scan_part.c.run_stream_id.in_(streams)))
    mine = sa.or_(
        sa.and_(outbox.c.kind == "run", outbox.c.ref == run_id),
        sa.and_(outbox.c.kind.in_(("stream", "scan")), outbox.c.ref.in_(map(str, streams))),
    )
    # One that is being sent is passed over: whoever gets it finds the run ended.
    free = sa.select(outbox.c.id).where(mine).with_for_update(skip_locked=True)
    conn.execute(outbox.delete().where(outbox.c.id.in_(free)))
    return None, seized


def reopen(conn: sa.Connection, run_id: str, *, explore: bool, keep: dict[int, int]) -> None:
    """Queue again what of an ended run did not succeed; attempts go on counting.

    Args:
        explore: whether the source is to be asked again.
        keep: for each stream that is to go on, the position of the first stage to do again.
    """
    again = {
        "status": Status.QUEUED.value,
        "counts_from": stage_run.c.fence,
        "next_attempt_at": None,
        "dispatched_at": None,
        "dispatches": 0,
        "finished_at": None,
        "rows": None,
        "error": None,
        "parked": False,
        "parts_left": None,
    }
    if explore:
        conn.execute(
            stage_run.update()
            .where(stage_run.c.run_id == run_id, stage_run.c.run_stream_id.is_(None))
            .values(again)
        )
    for run_stream_id, position in keep.items():
        conn.execute(
            stage_run.update()
            .where(stage_run.c.run_stream_id == run_stream_id, stage_run.c.position >= position)
            .values(again)
        )
        conn.execute(
            run_stream.update()
            .where(run_stream.c.id == run_stream_id)
            .values(status=Status.QUEUED.value, error=None)
        )
    # What failed before is told, and no longer counted.
    again_now = sa.select(stage_run.c.id).where(
        stage_run.c.run_id == run_id, stage_run.c.status == Status.QUEUED.value
    )
    conn.execute(attempt.update().where(attempt.c.stage_run_id.in_(again_now)).values(cause=None))
    conn.execute(scan_part.delete().where(scan_part.c.run_stream_id.in_(list(keep))))
    conn.execute(
        run.update()
        .where(run.c.id == run_id)
        .values(
            status=Status.QUEUED.value,
            retries=run.c.retries + 1,
            finished_at=None,
            error=None,
        )
    )
