"""Who works on which stage: claims, leases, fences, attempts.

A claim takes a stage that is queued and due, or whose lease is dead, and raises its fence. Every
transaction of the holder begins by checking that fence under a row lock, so whoever lost the
claim (a process that was frozen and woke up) cannot write any more. How stages, streams and runs
end is :mod:`atlas.ledger.ends`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import sqlalchemy as sa

from atlas.errors import LostClaim
from atlas.ledger import traced
from atlas.ledger.tables import attempt, run, run_stream, stage_run
from atlas.model.stage import Stage, Status


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one stage run, as long as ``fence`` is the newest.

    Attributes:
        since: the fence with which the attempt began; a stage that was parked goes on with the
            same attempt under a newer fence.
        resumed: whether it was parked.
    """

    stage_run_id: int
    run_id: str
    run_stream_id: int | None
    stage: Stage
    fence: int
    since: int
    attempt: int
    holder: str
    resumed: bool = False


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
    -- Takes the stage if it is queued and due, its lease is dead or its parts are done, the stages
    -- before it have succeeded (for the first one after explore: the stream is read to its end),
    -- and the run is not over. A stage that was parked goes on with its attempt.
    WITH found AS (
      SELECT s.id, s.parked
        FROM pipeline.stage_run AS s
        JOIN pipeline.run AS r ON r.id = s.run_id AND r.status IN ('queued', 'running')
       WHERE s.stage = :stage
         AND ((CAST(:run_stream_id AS bigint) IS NULL
               AND s.run_stream_id IS NULL AND s.run_id = CAST(:run_id AS uuid))
              OR s.run_stream_id = :run_stream_id)
         AND (s.status = 'queued'
                AND coalesce(s.next_attempt_at, '-infinity') <= clock_timestamp()
              OR s.status = 'running' AND s.parked AND s.parts_left = 0
              OR s.status = 'running' AND s.lease_until < clock_timestamp()
                 AND (SELECT count(*) + 1 FROM pipeline.attempt AS a
                       WHERE a.stage_run_id = s.id AND a.outcome = 'lost'
                         AND a.fence > s.counts_from) < :max_attempts)
         AND NOT EXISTS (SELECT FROM pipeline.stage_run AS e
                          WHERE e.run_stream_id = s.run_stream_id AND e.position < s.position
                            AND e.status <> 'succeeded')
         AND NOT EXISTS (SELECT FROM pipeline.run_stream AS p
                          WHERE p.id = s.run_stream_id AND p.explored_at IS NULL)
         FOR UPDATE OF s)
    UPDATE pipeline.stage_run AS s
       SET status = 'running', fence = s.fence + 1, holder = :holder,
           attempt = s.attempt + CASE WHEN found.parked THEN 0 ELSE 1 END,
           lease_until = clock_timestamp() + :lease, next_attempt_at = NULL, dispatches = 0,
           parked = false, parts_left = NULL,
           started_at = coalesce(s.started_at, clock_timestamp())
      FROM found
     WHERE s.id = found.id
    RETURNING s.id, s.run_id, s.run_stream_id, s.fence, s.attempt, found.parked
    """
)

_END_ATTEMPT = sa.text(
    """
    -- What became of an attempt (of those that are open, if none is named), and its seconds.
    WITH ended AS (
      UPDATE pipeline.attempt
         SET outcome = :outcome, error = :error, cause = :cause, finished_at = clock_timestamp()
       WHERE stage_run_id = :id
         AND CASE WHEN CAST(:since AS bigint) IS NULL THEN outcome IS NULL
                  ELSE fence = :since END
      RETURNING stage_run_id, finished_at - started_at AS took)
    INSERT INTO pipeline.measurement (name, labels, value)
    SELECT 'stage_seconds',
           jsonb_build_object('stage', s.stage, 'outcome', CAST(:outcome AS text)),
           extract(epoch FROM e.took)
      FROM ended e JOIN pipeline.stage_run s ON s.id = e.stage_run_id
    """
)

_RENEW = sa.text(
    """
    -- Only the newest fence may keep its lease alive.
    UPDATE pipeline.stage_run SET lease_until = clock_timestamp() + :lease
     WHERE id = :id AND fence = :fence AND status = 'running' AND NOT parked
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
        since = row.fence
        if row.parked:
            since = open_attempt(conn, row.id) or row.fence
        if since == row.fence:
            end_open_attempts(conn, row.id, "lost")
            conn.execute(
                attempt.insert().values(stage_run_id=row.id, fence=row.fence, holder=holder)
            )
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
            since=since,
            attempt=row.attempt,
            holder=holder,
            resumed=bool(row.parked),
        )


def open_attempt(conn: sa.Connection, stage_run_id: int) -> int | None:
    """The fence of the attempt that has not ended."""
    return conn.execute(
        sa.select(sa.func.max(attempt.c.fence)).where(
            attempt.c.stage_run_id == stage_run_id, attempt.c.outcome.is_(None)
        )
    ).scalar()


def end_open_attempts(
    conn: sa.Connection, stage_run_id: int, outcome: str, error: str | None = None
) -> None:
    """Write down what became of attempts whose holders could not say it."""
    given = {"id": stage_run_id, "since": None, "outcome": outcome, "error": error, "cause": None}
    conn.execute(_END_ATTEMPT, given)
    traced.attempts_ended(conn, stage_run_id, outcome)


def seize(conn: sa.Connection, stage_run_id: int, holder: str) -> Claim | None:
    """Take a running stage from whoever holds it, within the caller's transaction, to end it.

    Returns:
        A claim of its attempt; None when the stage is not running (any more).
    """
    row = conn.execute(
        stage_run.update()
        .where(stage_run.c.id == stage_run_id, stage_run.c.status == Status.RUNNING.value)
        .values(
            fence=stage_run.c.fence + 1,
            holder=holder,
            lease_until=None,
            parked=False,
            parts_left=None,
        )
        .returning(stage_run)
    ).one_or_none()
    if row is None:
        return None
    return Claim(
        stage_run_id=row.id,
        run_id=str(row.run_id),
        run_stream_id=row.run_stream_id,
        stage=Stage(row.stage),
        fence=row.fence,
        since=open_attempt(conn, row.id) or row.fence,
        attempt=row.attempt,
        holder=holder,
    )


def lock_parked(conn: sa.Connection, run_stream_id: int) -> int | None:
    """Lock a stream's parked stage; None when none is parked (any more)."""
    return conn.execute(
        sa.select(stage_run.c.id)
        .where(
            stage_run.c.run_stream_id == run_stream_id,
            stage_run.c.status == Status.RUNNING.value,
            stage_run.c.parked,
        )
        .with_for_update()
    ).scalar()


def lock_unended(conn: sa.Connection, run_stream_id: int, stage: Stage) -> tuple[int, bool] | None:
    """Lock a stage of a stream that has not ended: its id, and whether it is parked; None when it
    has."""
    row = conn.execute(
        sa.select(stage_run.c.id, stage_run.c.parked)
        .where(
            stage_run.c.run_stream_id == run_stream_id,
            stage_run.c.stage == stage.value,
            stage_run.c.status.in_((Status.QUEUED.value, Status.RUNNING.value)),
        )
        .with_for_update()
    ).one_or_none()
    return None if row is None else (row.id, row.parked)


def held(engine: sa.Engine, claim: Claim) -> bool:
    """Whether the claim still holds."""
    with engine.connect() as conn:
        return bool(
            conn.execute(
                sa.select(sa.true()).where(
                    stage_run.c.id == claim.stage_run_id,
                    stage_run.c.fence == claim.fence,
                    stage_run.c.status == Status.RUNNING.value,
                    stage_run.c.parked.is_(False),
                )
            ).scalar()
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
    -- Held: the newest fence, and running; or ended or parked by this very transaction.
    SELECT id FROM pipeline.stage_run
     WHERE id = :id AND fence = :fence
       AND (status = 'running' AND NOT parked OR xmin = CAST(pg_current_xact_id() AS xid))
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


def park(conn: sa.Connection, claim: Claim, parts: int) -> None:
    """Give up the claim of a stage that goes on when its ``parts`` are done.

    See :mod:`atlas.ledger.parts`.

    Raises:
        LostClaim: the claim does not hold.
    """
    guard(conn, claim)
    conn.execute(
        stage_run.update()
        .where(stage_run.c.id == claim.stage_run_id)
        .values(parked=True, parts_left=parts, lease_until=None, holder=None)
    )


def progress(conn: sa.Connection, claim: Claim) -> None:
    """The attempt got on: neither it nor those before it count against the cap any more.

    Raises:
        LostClaim: the claim does not hold.
    """
    guard(conn, claim)  # first, for a row that this transaction has changed passes for held
    conn.execute(
        stage_run.update()
        .where(stage_run.c.id == claim.stage_run_id)
        .values(counts_from=claim.since)
    )


def age(conn: sa.Connection, claim: Claim) -> float:
    """Seconds since the attempt began, parked ones included."""
    return float(
        conn.execute(
            sa.select(
                sa.func.extract("epoch", sa.func.clock_timestamp() - attempt.c.started_at)
            ).where(attempt.c.stage_run_id == claim.stage_run_id, attempt.c.fence == claim.since)
        ).scalar_one()
    )


def failures(conn: sa.Connection, claim: Claim, cause: str, *, ever: bool = False) -> int:
    """How many attempts failed for ``cause`` since the stage got on last; ``ever``: since a user
    asked for it."""
    return int(
        conn.execute(
            sa.select(sa.func.count())
            .select_from(attempt)
            .join(stage_run, stage_run.c.id == attempt.c.stage_run_id)
            .where(
                stage_run.c.id == claim.stage_run_id,
                sa.true() if ever else attempt.c.fence > stage_run.c.counts_from,
                attempt.c.outcome == "retry",
                attempt.c.cause == cause,
            )
        ).scalar_one()
    )


def retry_later(conn: sa.Connection, claim: Claim, *, delay: float, error: str, cause: str) -> None:
    """Give the stage back, to be claimed again no sooner than ``delay`` seconds from now."""
    _give_back(conn, claim, delay=delay, error=error)
    end_attempt(conn, claim, "retry", error, cause)


def hand_back(conn: sa.Connection, claim: Claim) -> None:
    """Give the stage back to be claimed at once, because its worker is to stop; it counts as
    nobody's failure."""
    _give_back(conn, claim, delay=0.0, error=None)
    end_attempt(conn, claim, "handed_back", None)


def _give_back(conn: sa.Connection, claim: Claim, *, delay: float, error: str | None) -> None:
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


def end_attempt(
    conn: sa.Connection, claim: Claim, outcome: str, error: str | None, cause: str | None = None
) -> None:
    """Write down what became of this attempt."""
    given = {"id": claim.stage_run_id, "since": claim.since, "outcome": outcome}
    conn.execute(_END_ATTEMPT, {**given, "error": error, "cause": cause})
    traced.attempts_ended(conn, claim.stage_run_id, outcome)


def lost_before(conn: sa.Connection, claim: Claim) -> bool:
    """Whether the attempt before this one lost its worker."""
    last = (
        sa.select(attempt.c.outcome)
        .where(attempt.c.stage_run_id == claim.stage_run_id, attempt.c.fence < claim.since)
        .order_by(attempt.c.fence.desc())
        .limit(1)
    )
    return bool(conn.execute(last).scalar() == "lost")


def lost_fences(conn: sa.Connection, stage_run_id: int) -> list[int]:
    """Fences of the attempts at a stage whose holders were lost."""
    return list(
        conn.execute(
            sa.select(attempt.c.fence).where(
                attempt.c.stage_run_id == stage_run_id, attempt.c.outcome == "lost"
            )
        ).scalars()
    )
