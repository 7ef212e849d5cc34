"""The parts into which ``pii`` cuts a stream, each claimed, scanned and masked by itself.

A stage that was cut is parked while its parts are worked on, by any worker of any host. Every part
has a fence and a lease of its own, so that a killed scanner costs its part and nothing else. The
transaction that ends a part counts the stage's ``parts_left`` down; whoever brings it to zero
wakes the stage up.

Parts of rows that are committed are studied before the stage begins, while their source is still
being read: the first one, and when its evidence is there, the others. A stage that finds some of
them in work is parked for these as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONPATH

from atlas.errors import LostClaim
from atlas.ledger import claims, outbox
from atlas.ledger.tables import scan_part, stage_run
from atlas.model.stage import Stage, Status
from atlas.model.stream import Segment


class PartStatus(StrEnum):
    """What is to be done with a part, or was."""

    TO_STUDY = "to_study"
    STUDIED = "studied"
    TO_MASK = "to_mask"
    MASKED = "masked"


_NEXT = {PartStatus.TO_STUDY: PartStatus.STUDIED, PartStatus.TO_MASK: PartStatus.MASKED}
_WAITING = tuple(status.value for status in _NEXT)


RESERVED = 10.0
"""Seconds for which a part is left to whoever has studied it."""

REMEMBERED = 60.0
"""Seconds after its study within which a part is left to them at all: who studied it long ahead of
its mask may be gone."""

_first = scan_part.alias("first")
_AHEAD = sa.and_(
    stage_run.c.status == Status.QUEUED.value,
    scan_part.c.status == PartStatus.TO_STUDY.value,
    sa.or_(
        scan_part.c.position == 0,
        sa.exists().where(
            _first.c.run_stream_id == scan_part.c.run_stream_id,
            _first.c.position == 0,
            _first.c.status == PartStatus.STUDIED.value,
        ),
    ),
)

# Their stage is parked, or has yet to begin; they are due and free, or their holder's lease is
# dead.
_FREE = sa.and_(
    stage_run.c.stage == Stage.PII.value,
    sa.or_(stage_run.c.parked, _AHEAD),
    scan_part.c.status.in_(_WAITING),
    sa.func.coalesce(scan_part.c.lease_until, sa.text("'-infinity'")) < sa.func.clock_timestamp(),
    sa.func.coalesce(scan_part.c.next_attempt_at, sa.text("'-infinity'"))
    <= sa.func.clock_timestamp(),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A range of a stream's rows; with a fence, the right to work on it.

    Attributes:
        run_id: the run that read the rows: the stream's own, or an earlier one's carried along.
        evidence: what its study counted, as JSON values; None before.
    """

    id: int
    run_stream_id: int
    position: int
    run_id: str
    segment: Segment
    status: PartStatus
    evidence: list[dict[str, Any]] | None
    fence: int
    failures: int


def plan(conn: sa.Connection, run_stream_id: int, pieces: list[tuple[str, Segment]]) -> None:
    """Cut a stream: each piece with the id of the run that read it, in the order of the rows."""
    forget(conn, run_stream_id)
    extend(conn, run_stream_id, pieces)


def extend(conn: sa.Connection, run_stream_id: int, pieces: list[tuple[str, Segment]]) -> None:
    """Add parts behind those that there are."""
    if not pieces:
        return
    last = sa.select(sa.func.coalesce(sa.func.max(scan_part.c.position), -1)).where(
        scan_part.c.run_stream_id == run_stream_id
    )
    next_one = conn.execute(last).scalar_one() + 1
    conn.execute(
        scan_part.insert(),
        [
            {
                "run_stream_id": run_stream_id,
                "position": position,
                "run_id": run_id,
                "first_id": piece.first_id,
                "last_id": piece.last_id,
                "rows": piece.rows,
            }
            for position, (run_id, piece) in enumerate(pieces, start=next_one)
        ],
    )


def planned(conn: sa.Connection, run_stream_id: int) -> list[tuple[str, Segment]]:
    """The pieces that a stream is cut into so far, as :func:`plan` was given them."""
    rows = conn.execute(
        sa.select(scan_part.c.run_id, scan_part.c.first_id, scan_part.c.last_id, scan_part.c.rows)
        .where(scan_part.c.run_stream_id == run_stream_id)
        .order_by(scan_part.c.position)
    )
    return [(str(row.run_id), Segment(row.first_id, row.last_id, row.rows)) for row in rows]


def take_back(conn: sa.Connection, run_stream_id: int, run_id: str, first_id: int) -> None:
    """Forget the parts with rows of this run from ``first_id`` on: its source sends them again."""
    # The stage's row first, as whoever ends a part.
    claims.lock_unended(conn, run_stream_id, Stage.PII)
    conn.execute(
        scan_part.delete().where(
            scan_part.c.run_stream_id == run_stream_id,
            scan_part.c.run_id == run_id,
            scan_part.c.last_id >= first_id,
        )
    )


def of_stream(conn: sa.Connection, run_stream_id: int) -> list[Part]:
    """The parts of a stream in their order; none: it was not cut yet."""
    rows = conn.execute(
        sa.select(scan_part)
        .where(scan_part.c.run_stream_id == run_stream_id)
        .order_by(scan_part.c.position)
    )
    return [_part(row) for row in rows]


def first_evidence(conn: sa.Connection, run_stream_id: int) -> list[dict[str, Any]]:
    """What the study of the first part counted; the others begin with it."""
    found = conn.execute(
        sa.select(scan_part.c.evidence).where(
            scan_part.c.run_stream_id == run_stream_id, scan_part.c.position == 0
        )
    ).scalar()
    return list(found or ())


def begin(conn: sa.Connection, run_stream_id: int, scanner: str) -> None:
    """An attempt of the stage begins, which holds its row: what went wrong ahead of it is not
    held against it. Parts that failed, and those studied by another scanner, are studied anew.

    Nothing is lost but their evidence: as long as parts are to study, or studied, there are no
    verdicts.

    Args:
        scanner: the fingerprint of this process's.
    """
    lease = sa.func.coalesce(scan_part.c.lease_until, sa.text("'-infinity'"))
    failed = sa.and_(
        scan_part.c.status == PartStatus.TO_STUDY.value,
        scan_part.c.failures + sa.case((scan_part.c.lease_until.is_not(None), 1), else_=0) > 0,
        lease < sa.func.clock_timestamp(),  # and nobody tries it again just now
    )
    others = sa.and_(
        scan_part.c.status == PartStatus.STUDIED.value,
        sa.func.jsonb_path_exists(
            scan_part.c.evidence,
            sa.cast("$[*].scanner ? (@ != $this)", JSONPATH),
            sa.func.jsonb_build_object("this", scanner),
        ),
    )
    conn.execute(
        scan_part.update()
        .where(scan_part.c.run_stream_id == run_stream_id, sa.or_(failed, others))
        .values(
            status=PartStatus.TO_STUDY.value,
            fence=scan_part.c.fence + 1,
            evidence=None,
            studied_by=None,
            reserved_until=None,
            holder=None,
            lease_until=None,
            next_attempt_at=None,
            failures=0,
            error=None,
        )
    )


def count(conn: sa.Connection, run_stream_id: int, status: PartStatus) -> int:
    """How many parts of a stream are in this status."""
    return int(
        conn.execute(
            sa.select(sa.func.count())
            .select_from(scan_part)
            .where(scan_part.c.run_stream_id == run_stream_id, scan_part.c.status == status.value)
        ).scalar_one()
    )


def to_mask(conn: sa.Connection, run_stream_id: int) -> None:
    """All parts are studied and the verdicts are made: their rows are to be masked."""
    now = sa.func.clock_timestamp()
    conn.execute(
        scan_part.update()
        .where(scan_part.c.run_stream_id == run_stream_id)
        .values(
            status=PartStatus.TO_MASK.value,
            failures=0,
            next_attempt_at=None,
            # Until now it said how long the study counts as fresh.
            reserved_until=sa.case(
                (scan_part.c.reserved_until > now, now + timedelta(seconds=RESERVED)), else_=None
            ),
        )
    )


def forget(conn: sa.Connection, run_stream_id: int) -> None:
    """The stage has ended."""
    conn.execute(scan_part.delete().where(scan_part.c.run_stream_id == run_stream_id))


_CLAIM = sa.text(
    """
    -- The next part of a parked stage; where there is none, one to study ahead of a stage that has
    -- yet to begin (the first, and with its evidence the others), for that can wait: of the stream
    -- that the fewest work on now, so that a huge one does not starve the others; of its parts one
    -- that this holder has studied, whose findings it remembers. Streams that are equal so far take
    -- turns: the one whose parts were claimed the fewest times goes first. A part that somebody
    -- else has studied is left to them for a while: to mask it anew takes as long as to study it.
    WITH next AS (
      SELECT p.id
        FROM pipeline.scan_part AS p
        JOIN pipeline.stage_run AS s ON s.run_stream_id = p.run_stream_id AND s.stage = 'pii'
        JOIN (SELECT o.run_stream_id, sum(o.fence) AS claimed,
                     count(*) FILTER (WHERE o.lease_until > clock_timestamp()) AS holders
                FROM pipeline.scan_part AS o GROUP BY o.run_stream_id) AS busy
          ON busy.run_stream_id = p.run_stream_id
       WHERE p.status IN ('to_study', 'to_mask')
         AND coalesce(p.lease_until, '-infinity') < clock_timestamp()
         AND coalesce(p.next_attempt_at, '-infinity') <= clock_timestamp()
         AND p.failures + CASE WHEN p.lease_until IS NULL THEN 0 ELSE 1 END < :max_attempts
         AND (s.status = 'running' AND s.parked
              OR s.status = 'queued' AND p.status = 'to_study'
                 AND (p.position = 0
                      OR EXISTS (SELECT FROM pipeline.scan_part AS f
                                  WHERE f.run_stream_id = p.run_stream_id AND f.position = 0
                                    AND f.status = 'studied')))
         AND (coalesce(p.reserved_until, '-infinity') <= clock_timestamp()
              OR p.studied_by = :holder)
         AND (NOT :own OR p.status = 'to_mask' AND p.studied_by = :holder)
       ORDER BY s.parked DESC, busy.holders, p.studied_by IS NOT DISTINCT FROM :holder DESC,
                busy.claimed, p.run_stream_id, p.position
       LIMIT 1
         FOR UPDATE OF p SKIP LOCKED)
    UPDATE pipeline.scan_part AS p
       SET fence = p.fence + 1, holder = :holder,
           failures = p.failures + CASE WHEN p.lease_until IS NULL THEN 0 ELSE 1 END,
           lease_until = clock_timestamp() + :lease, next_attempt_at = NULL
      FROM next WHERE p.id = next.id
    RETURNING p.*
    """
)


def claim(
    engine: sa.Engine, *, holder: str, lease: float, max_attempts: int, own: bool = False
) -> Part | None:
    """The part to work on next, for ``lease`` seconds; None: there is none.

    Args:
        own: only one to mask that this holder has studied.
    """
    values = {
        "holder": holder,
        "lease": timedelta(seconds=lease),
        "max_attempts": max_attempts,
        "own": own,
    }
    with engine.begin() as conn:
        row = conn.execute(_CLAIM, values).one_or_none()
        return None if row is None else _part(row)


def _remembered() -> sa.ColumnElement[Any]:
    return sa.func.clock_timestamp() + timedelta(seconds=REMEMBERED)


def _held(part: Part) -> sa.ColumnElement[bool]:
    return sa.and_(
        scan_part.c.id == part.id,
        scan_part.c.fence == part.fence,
        scan_part.c.status == part.status.value,
    )


def held(engine: sa.Engine, part: Part) -> bool:
    """Whether the claim still holds."""
    with engine.connect() as conn:
        return is_held(conn, part)


def renew(engine: sa.Engine, part: Part, lease: float) -> bool:
    """Keep the part for another ``lease`` seconds; False when it is lost."""
    with engine.begin() as conn:
        until = sa.func.clock_timestamp() + timedelta(seconds=lease)
        return bool(
            conn.execute(scan_part.update().where(_held(part)).values(lease_until=until)).rowcount
        )


def done(
    conn: sa.Connection,
    part: Part,
    *,
    evidence: list[dict[str, Any]] | None = None,
    holder: str | None = None,
) -> list[int]:
    """End the part as the last thing of its transaction.

    Args:
        evidence: what a study counted.
        holder: who remembers what the study found.

    Returns:
        The outbox messages to send: if this was the last of its parts, what wakes the stage up; if
        it is the first of them, studied ahead of the stage, what has the others looked at.

    Raises:
        LostClaim: the part is not held any more; nothing may be written.
    """
    # The stage's row first: in this order they are locked by whoever ends the stage.
    stage = claims.lock_unended(conn, part.run_stream_id, Stage.PII)
    values: dict[str, Any] = {
        "status": _NEXT[part.status].value,
        "lease_until": None,
        "holder": None,
        "failures": 0,
        "error": None,
    }
    if evidence is not None:
        values |= {"evidence": evidence, "studied_by": holder, "reserved_until": _remembered()}
    if (
        stage is None
        or not conn.execute(scan_part.update().where(_held(part)).values(values)).rowcount
    ):
        raise LostClaim(f"a part of stream {part.run_stream_id} is no longer this worker's")
    stage_run_id, parked = stage
    if not parked:
        # Whoever parks the stage counts, under its lock, what is left then.
        # A message that is being sent may have been counted too early; recovery puts another.
        return outbox.offer(conn, "scan", str(part.run_stream_id)) if part.position == 0 else []
    left = conn.execute(
        stage_run.update()
        .where(stage_run.c.id == stage_run_id)
        .values(parts_left=stage_run.c.parts_left - 1, counts_from=stage_run.c.fence)
        .returning(stage_run.c.parts_left)
    ).scalar_one()
    return [outbox.put(conn, "stream", str(part.run_stream_id))] if left == 0 else []


def own(conn: sa.Connection, part: Part, evidence: list[dict[str, Any]], holder: str) -> None:
    """Write down that the stage's own holder studied the part, under the stage's fence."""
    conn.execute(
        scan_part.update()
        .where(scan_part.c.id == part.id)
        .values(
            status=PartStatus.STUDIED.value,
            evidence=evidence,
            studied_by=holder,
            reserved_until=_remembered(),
            # Of whoever was studying it ahead, and has lost it now.
            holder=None,
            lease_until=None,
            next_attempt_at=None,
            failures=0,
            error=None,
        )
    )


def give_back(
    conn: sa.Connection, part: Part, *, delay: float, error: str | None, failed: bool
) -> list[int]:
    """Have the part done by somebody, no sooner than ``delay`` seconds from now; returns the
    messages to send. Nothing to do when it is lost."""
    released = conn.execute(
        scan_part.update()
        .where(_held(part))
        .values(
            fence=scan_part.c.fence + 1,
            holder=None,
            lease_until=None,
            next_attempt_at=sa.func.clock_timestamp() + timedelta(seconds=delay),
            failures=scan_part.c.failures + (1 if failed else 0),
            error=error,
        )
    ).rowcount
    if not released:
        return []
    return [outbox.put(conn, "scan", str(part.run_stream_id), delay=delay)]


def spoil(conn: sa.Connection, part: Part, *, error: str, max_attempts: int) -> None:
    """Nobody is to try the part again before its stage begins anew (:func:`begin`)."""
    conn.execute(
        scan_part.update()
        .where(_held(part))
        .values(
            fence=scan_part.c.fence + 1,
            holder=None,
            lease_until=None,
            failures=max_attempts,
            next_attempt_at=sa.text("'infinity'"),
            error=error,
        )
    )


def is_held(conn: sa.Connection, part: Part) -> bool:
    """Whether the claim still holds, seen within a transaction."""
    return bool(conn.execute(sa.select(sa.true()).where(_held(part))).scalar())


def claimable(conn: sa.Connection) -> int:
    """How many parts, of all streams, could be taken up now."""
    return int(
        conn.execute(
            sa.select(sa.func.count())
            .select_from(scan_part)
            .join(stage_run, stage_run.c.run_stream_id == scan_part.c.run_stream_id)
            .where(_FREE)
        ).scalar_one()
    )


def waiting(conn: sa.Connection) -> list[int]:
    """Streams with parts that could be taken up now."""
    return list(
        conn.execute(
            sa.select(scan_part.c.run_stream_id)
            .join(stage_run, stage_run.c.run_stream_id == scan_part.c.run_stream_id)
            .where(_FREE)
            .distinct()
            # Their messages are written in one transaction: in the order of everybody.
            .order_by(scan_part.c.run_stream_id)
        ).scalars()
    )


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A part that used up its attempts."""

    run_stream_id: int
    rows: int
    error: str | None


def poisoned(conn: sa.Connection, max_attempts: int) -> list[Poisoned]:
    """Parts that used up their attempts, one a stage; a holder that died counts as one."""
    died = sa.case(
        (scan_part.c.lease_until < sa.func.clock_timestamp(), 1),
        else_=0,
    )
    rows = conn.execute(
        sa.select(scan_part.c.run_stream_id, scan_part.c.rows, scan_part.c.error)
        .join(stage_run, stage_run.c.run_stream_id == scan_part.c.run_stream_id)
        .where(
            stage_run.c.stage == Stage.PII.value,
            stage_run.c.parked,
            scan_part.c.status.in_(_WAITING),
            sa.or_(
                scan_part.c.failures + died >= max_attempts,
                # Spoiled, by whoever allowed other numbers of attempts.
                scan_part.c.next_attempt_at == sa.text("'infinity'"),
            ),
        )
        .order_by(scan_part.c.run_stream_id, scan_part.c.position)
        .distinct(scan_part.c.run_stream_id)
    )
    return [Poisoned(row.run_stream_id, row.rows, row.error) for row in rows]


def _part(row: sa.Row[Any]) -> Part:
    return Part(
        id=row.id,
        run_stream_id=row.run_stream_id,
        position=row.position,
        run_id=str(row.run_id),
        segment=Segment(row.first_id, row.last_id, row.rows),
        status=PartStatus(row.status),
        evidence=row.evidence,
        fence=row.fence,
        failures=row.failures,
    )
