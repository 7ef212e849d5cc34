"""Whether a run that ended can go on, and from where."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from atlas.errors import ActiveRun, Conflict
from atlas.ledger.runs import ACTIVE
from atlas.ledger.tables import connection, run, run_stream, stage_run
from atlas.model.stage import Status


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream of a run came; ``first_open``: position of its first stage that did not
    succeed; ``gone``: its source had it no more, so that there is nothing to go on with."""

    id: int
    status: Status
    explored: bool
    first_open: int
    gone: bool


def retriable(conn: sa.Connection, run_id: str) -> None:
    """See, and lock, that a run can be retried.

    Raises:
        Conflict: it cannot, and why. ActiveRun: its connection has an active run.
    """
    connection_id = conn.execute(sa.select(run.c.connection_id).where(run.c.id == run_id)).scalar()
    if connection_id is None:
        raise Conflict(f"run {run_id}: its connection was deleted, so it cannot be retried")
    # Nobody may ask for a sync of the connection meanwhile.
    conn.execute(
        sa.select(connection.c.id)
        .where(connection.c.id == connection_id)
        .with_for_update(key_share=True)
    )
    row = conn.execute(sa.select(run).where(run.c.id == run_id).with_for_update()).one()
    latest = conn.execute(
        sa.select(run)
        .where(run.c.connection_id == connection_id)
        .order_by(run.c.seq.desc())
        .limit(1)
    ).one()
    if row.status in ACTIVE:
        raise ActiveRun(row.connection, run_id)
    if row.status == Status.SUCCEEDED.value:
        raise Conflict(f"run {run_id} has succeeded: there is nothing to retry")
    if latest.id != run_id:
        if latest.status in ACTIVE:
            raise ActiveRun(row.connection, latest.id)
        raise Conflict(
            f"run {run_id} is older than run {latest.id} of connection {row.connection}, which "
            "went on from it: retry that one, or sync"
        )


def explore_status(conn: sa.Connection, run_id: str) -> Status:
    """How the source was read."""
    return Status(
        conn.execute(
            sa.select(stage_run.c.status).where(
                stage_run.c.run_id == run_id, stage_run.c.run_stream_id.is_(None)
            )
        ).scalar_one()
    )


def progress(conn: sa.Connection, run_id: str) -> list[Progress]:
    """How far each stream of a run came."""
    first = (
        sa.select(sa.func.coalesce(sa.func.min(stage_run.c.position), 0))
        .where(
            stage_run.c.run_stream_id == run_stream.c.id,
            stage_run.c.status != Status.SUCCEEDED.value,
        )
        .scalar_subquery()
    )
    rows = conn.execute(
        sa.select(
            run_stream.c.id,
            run_stream.c.status,
            run_stream.c.explored_at,
            first,
            sa.func.coalesce(run_stream.c.configured["gone"].as_boolean(), sa.false()),
        )
        .where(run_stream.c.run_id == run_id)
        .order_by(run_stream.c.id)
    )
    return [Progress(row[0], Status(row[1]), row[2] is not None, row[3], row[4]) for row in rows]
