"""Who works on which stage: claims, leases, fences, attempts, and how stages and runs end.

A claim takes a stage that is queued and due, or whose lease is dead, and raises its fence. Every
transaction of the holder begins by checking that fence under a row lock, so whoever lost the
claim (a process that was frozen and woke up) cannot write any more. The end of a stage, of its
stream and of the run are decided in the transaction that does it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import sqlalchemy as sa

from atlas.errors import LostClaim
from atlas.ledger.tables import attempt, run, run_stream, stage_run
from atlas.model.stage import Stage, Status, worst


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one stage run, as long as ``fence`` is the newest."""

    stage_run_id: int
    run_id: str
    run_stream_id: int | None
    stage: Stage
    fence: int
    attempt: int
    holder: str


class Found(Enum):
    """What a task finds when its stage cannot be claimed."""

    DONE = "done"
    """It succeeded before: the chain goes on."""
    HELD = "held"
    """Somebody works on it, or it is not due yet: whoever does will see to the rest."""
    STOPPED = "stopped"
    """It failed, was blocked or cancelled: nothing is to follow."""


_CLAIM = sa.text(
    """
    -- Takes the stage if it is queued and due or its lease is dead, the stages before it have
    -- succeeded (for the first one after explore: the stream is read to its end), and the run
    -- is not over.
    UPDATE pipeline.stage_run AS s
       SET status = 'running', fence = s.fence + 1, attempt = s.attempt + 1, holder = :holder,
           lease_until = clock_timestamp() + :lease, next_attempt_at = NULL, dispatches = 0,
           started_at = coalesce(s.started_at, clock_timestamp())
      FROM pipeline.run AS r
     WHERE s.stage = :stage AND s.run_id = r.id AND r.status IN ('queued', 'running')
       AND ((CAST(:run_stream_id AS bigint) IS NULL
             AND s.run_stream_id IS NULL AND s.run_id = CAST(:run_id AS uuid))
            OR s.run_stream_id = :run_stream_id)
       AND (s.status = 'queued'
              AND coalesce(s.next_attempt_at, '-infinity') <= clock_timestamp()
            OR s.status = 'running' AND s.lease_until < clock_timestamp()
               AND s.attempt < :max_attempts)
       AND NOT EXISTS (SELECT FROM pipeline.stage_run AS e
                        WHERE e.run_stream_id = s.run_stream_id AND e.position < s.position
                          AND e.status <> 'succeeded')
       AND NOT EXISTS (SELECT FROM pipeline.run_stream AS p
                        WHERE p.id = s.run_stream_id AND p.explored_at IS NULL)
    RETURNING s.id, s.run_id, s.run_stream_id, s.fence, s.attempt
    """
)

_RENEW = sa.text(
    """
    -- Only the newest fence may keep its lease alive.
    UPDATE pipeline.stage_run SET lease_until = clock_timestamp() + :lease
     WHERE id = :id AND fence = :fence AND status = 'running'
    """
)


def claim(
    engine: sa.Engine,
    stage: Stage,
    *,
    run_id: str | None = None,
    run_stream_id: int | None = None,
    holder: str,
    lease: float,
    max_attempts: int = 1_000_000,
) -> Claim | Found:
    """Claim a stage of a run (explore) or of one of its streams, for ``lease`` seconds.

    One whose holders died ``max_attempts`` times is left to recovery, which gives it up.
    """
    values = {
        "stage": stage.value,
        "run_id": run_id,
        "run_stream_id": run_stream_id,
        "holder": holder,
        "lease": timedelta(seconds=lease),
        "max_attempts": max_attempts,
    }
    with engine.begin() as conn:
        row = conn.execute(_CLAIM, values).one_or_none()
        if row is None:
            return _found(conn, stage, run_id, run_stream_id)
        conn.execute(
            attempt.update()
            .where(attempt.c.stage_run_id == row.id, attempt.c.outcome.is_(None))
            .values(outcome="lost", finished_at=sa.func.clock_timestamp())
        )
        conn.execute(attempt.insert().values(stage_run_id=row.id, fence=row.fence, holder=holder))
        conn.execute(
            run.update()
            .where(run.c.id == row.run_id, run.c.status == Status.QUEUED.value)
            .values(status=Status.RUNNING.value, started_at=sa.func.clock_timestamp())
        )
        if row.run_stream_id is not None:
            conn.execute(
                run_stream.update()
                .where(
                    run_stream.c.id == row.run_stream_id,
                    run_stream.c.status == Status.QUEUED.value,
                )
                .values(status=Status.RUNNING.value)
            )
        return Claim(
            stage_run_id=row.id,
            run_id=str(row.run_id),
            run_stream_id=row.run_stream_id,
            stage=stage,
            fence=row.fence,
            attempt=row.attempt,
            holder=holder,
        )


def _found(
    conn: sa.Connection, stage: Stage, run_id: str | None, run_stream_id: int | None
) -> Found:
    query = sa.select(stage_run.c.status).where(stage_run.c.stage == stage.value)
    if run_stream_id is None:
        query = query.where(stage_run.c.run_id == run_id, stage_run.c.run_stream_id.is_(None))
    else:
        query = query.where(stage_run.c.run_stream_id == run_stream_id)
    status = conn.execute(query).scalar()
    if status == Status.SUCCEEDED.value:
        return Found.DONE
    if status in (Status.QUEUED.value, Status.RUNNING.value):
        return Found.HELD
    return Found.STOPPED


def renew(engine: sa.Engine, claim: Claim, lease: float) -> bool:
    """Keep the claim for another ``lease`` seconds; False when it is lost."""
    with engine.begin() as conn:
        return bool(
            conn.execute(
                _RENEW,
                {
                    "id": claim.stage_run_id,
                    "fence": claim.fence,
                    "lease": timedelta(seconds=lease),
                },
            ).rowcount
        )


_GUARD = sa.text(
    """
    -- Held: the newest fence, and running; or ended by this very transaction.
    SELECT id FROM pipeline.stage_run
     WHERE id = :id AND fence = :fence
       AND (status = 'running' OR xmin = CAST(pg_current_xact_id() AS xid))
       FOR UPDATE
    """
)


def guard(conn: sa.Connection, claim: Claim) -> None:
    """Lock the stage's row and see that the claim still holds.

    Raises:
        LostClaim: it does not, or the stage has ended; nothing may be written.
    """
    values = {"id": claim.stage_run_id, "fence": claim.fence}
    if conn.execute(_GUARD, values).scalar() is None:
        raise LostClaim(f"stage {claim.stage} of run {claim.run_id} is no longer this worker's")


@contextlib.contextmanager
def transaction(engine: sa.Engine, claim: Claim, *, idle: float = 15.0) -> Iterator[sa.Connection]:
    """A transaction of the claim's holder, which commits only if the claim still holds then.

    The fence is checked under a row lock as the last thing before the commit, not for as long as
    the work takes: the holder's own lease renewals update the same row.

    Args:
        idle: seconds that the transaction may wait for its holder between two statements before
            PostgreSQL ends it, so that a frozen holder does not keep its locks.

    Raises:
        LostClaim: the claim is lost; nothing was written.
    """
    with engine.begin() as conn:
        set_idle(conn, idle)
        yield conn
        set_idle(conn, 15.0)
        guard(conn, claim)


def set_idle(conn: sa.Connection, seconds: float) -> None:
    """How long this transaction may wait for its holder between two statements."""
    conn.execute(
        sa.text("SELECT set_config('idle_in_transaction_session_timeout', :ms, true)"),
        {"ms": str(int(seconds * 1000))},
    )


def finish(
    conn: sa.Connection,
    claim: Claim,
    status: Status,
    *,
    rows: int | None = None,
    error: str | None = None,
    last: bool = False,
) -> Status | None:
    """End the stage in the caller's transaction (of :func:`transaction`), and with it, where it
    was the last thing missing, the stream and the run.

    Args:
        status: how the stage ended.
        rows: rows it handled.
        error: why it failed, one line.
        last: whether it is the stream's last stage.

    Returns:
        The run's status if this ended the run, else None.
    """
    guard(conn, claim)
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
        )
    )
    end_attempt(conn, claim, status.value, error)
    if claim.run_stream_id is not None:
        if status is Status.SUCCEEDED and not last:
            return None
        end_stream(conn, claim.run_stream_id, status, error)
    return end_run(conn, claim.run_id, error if claim.run_stream_id is None else None)


def retry_later(conn: sa.Connection, claim: Claim, *, delay: float, error: str) -> None:
    """Give the stage back, to be claimed again no sooner than ``delay`` seconds from now."""
    guard(conn, claim)
    conn.execute(
        stage_run.update()
        .where(stage_run.c.id == claim.stage_run_id)
        .values(
            status=Status.QUEUED.value,
            next_attempt_at=sa.func.clock_timestamp() + timedelta(seconds=delay),
            lease_until=None,
            holder=None,
            error=error,
        )
    )
    end_attempt(conn, claim, "retry", error)


def end_attempt(conn: sa.Connection, claim: Claim, outcome: str, error: str | None) -> None:
    """Write down what became of this claim."""
    conn.execute(
        attempt.update()
        .where(attempt.c.stage_run_id == claim.stage_run_id, attempt.c.fence == claim.fence)
        .values(outcome=outcome, error=error, finished_at=sa.func.clock_timestamp())
    )


def lost_fences(conn: sa.Connection, stage_run_id: int) -> list[int]:
    """Fences of the attempts at a stage whose holders were lost."""
    return list(
        conn.execute(
            sa.select(attempt.c.fence).where(
                attempt.c.stage_run_id == stage_run_id, attempt.c.outcome == "lost"
            )
        ).scalars()
    )


def end_stream(conn: sa.Connection, run_stream_id: int, status: Status, error: str | None) -> None:
    """End a stream; stages that it had not begun are cancelled where it did not succeed."""
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


def end_run(conn: sa.Connection, run_id: str, error: str | None = None) -> Status | None:
    """End the run if nothing of it is left to do; returns its status if this call ended it.

    The row lock makes one of two streams that finish at the same moment see the other's end.
    """
    row = conn.execute(sa.select(run.c.status).where(run.c.id == run_id).with_for_update()).one()
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
        .values(status=status.value, error=error, finished_at=sa.func.clock_timestamp())
    )
    return status


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
