"""Messages that wait to be sent, and stages that lost theirs.

A row here commits with the fact that makes it necessary. Whoever sends it deletes it after the
broker took it; when that one dies in between, it is sent twice, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.ledger import claims
from atlas.ledger.tables import operation, outbox, stage_run
from atlas.model.stage import Stage


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent: ``kind`` "run" (its explore), "stream" (the rest of its chain), "scan"
    (its parts that wait) or "operation"."""

    id: int
    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A stage that nobody works on although it is due, or whose holder's lease is dead.

    ``lost``: how many of its attempts in a row lost their worker, the present one among them.
    """

    stage_run_id: int
    run_id: str
    run_stream_id: int | None
    stage: Stage
    status: str
    parked: bool
    lost: int
    attempt: int

    @property
    def claim(self) -> claims.Claim:
        """Of this stage, to tell of it; nothing can be written by it."""
        return claims.Claim(
            stage_run_id=self.stage_run_id,
            run_id=self.run_id,
            run_stream_id=self.run_stream_id,
            stage=self.stage,
            fence=0,
            since=0,
            attempt=self.attempt,
            holder="",
        )


def put(conn: sa.Connection, kind: str, ref: str, *, delay: float = 0.0) -> int:
    """Have a message sent, no sooner than ``delay`` seconds from now; returns its id.

    One that waits already is enough: it is sent at the sooner of the two times.
    """
    due_at = sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, delay)
    statement = insert(outbox).values(kind=kind, ref=ref, due_at=due_at)
    message: int = conn.execute(
        statement.on_conflict_do_update(
            index_elements=[outbox.c.kind, outbox.c.ref],
            set_={"due_at": sa.func.least(outbox.c.due_at, statement.excluded.due_at)},
        ).returning(outbox.c.id)
    ).scalar_one()
    return message


def offer(conn: sa.Connection, kind: str, ref: str) -> list[int]:
    """Have a message sent, but wait for nobody: one that waits already, or that somebody is just
    sending to a broker that does not answer, is left as it is.

    Returns:
        Its id, or that of the one that is there; nothing if somebody else has just written one.
    """
    mine = sa.and_(outbox.c.kind == kind, outbox.c.ref == ref)
    there = conn.execute(sa.select(outbox.c.id).where(mine)).scalar()
    if there is None:
        there = conn.execute(
            insert(outbox)
            .values(kind=kind, ref=ref, due_at=sa.func.clock_timestamp())
            .on_conflict_do_nothing(index_elements=[outbox.c.kind, outbox.c.ref])
            .returning(outbox.c.id)
        ).scalar()
    return [] if there is None else [there]


def due(
    conn: sa.Connection, *, limit: int = 100, ids: list[int] | None = None
) -> Iterator[Message]:
    """Messages that are due, locked against other senders until the transaction ends."""
    query = (
        sa.select(outbox.c.id, outbox.c.kind, outbox.c.ref)
        .where(outbox.c.due_at <= sa.func.clock_timestamp())
        .order_by(outbox.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if ids is not None:
        query = query.where(outbox.c.id.in_(ids))
    for row in conn.execute(query).all():
        yield Message(row.id, row.kind, row.ref)


def sent(conn: sa.Connection, message: Message) -> None:
    """The broker took it."""
    conn.execute(outbox.delete().where(outbox.c.id == message.id))
    if message.kind == "scan":
        return
    if message.kind == "operation":
        conn.execute(
            operation.update()
            .where(operation.c.id == message.ref)
            .values(dispatched_at=sa.func.clock_timestamp())
        )
        return
    waiting = sa.select(stage_run.c.id).where(
        sa.or_(stage_run.c.status == "queued", stage_run.c.parked)
    )
    if message.kind == "run":
        waiting = waiting.where(
            stage_run.c.run_id == message.ref, stage_run.c.run_stream_id.is_(None)
        )
    else:
        earlier = stage_run.alias("earlier")
        waiting = waiting.where(
            stage_run.c.run_stream_id == int(message.ref),
            # Those after it were not sent: the one before each hands it on.
            ~sa.exists().where(
                earlier.c.run_stream_id == stage_run.c.run_stream_id,
                earlier.c.position < stage_run.c.position,
                earlier.c.status != "succeeded",
            ),
        )
    conn.execute(
        stage_run.update()
        .where(stage_run.c.id.in_(waiting.with_for_update(skip_locked=True)))
        .values(dispatched_at=sa.func.clock_timestamp(), dispatches=stage_run.c.dispatches + 1)
    )


def taken_up(conn: sa.Connection, run_id: str) -> int:
    """A message of the run's explore was taken up, and it has to wait for others: none was lost.

    Returns:
        How many more of its messages are on their way.
    """
    found: int | None = conn.execute(
        stage_run.update()
        .where(
            stage_run.c.run_id == run_id,
            stage_run.c.run_stream_id.is_(None),
            stage_run.c.status == "queued",
        )
        .values(dispatches=sa.func.greatest(stage_run.c.dispatches - 1, 0))
        .returning(stage_run.c.dispatches)
    ).scalar()
    return found or 0


def lost(conn: sa.Connection, stage_run_id: int) -> None:
    """No message waits in the stage's queue: none of those that were sent is on its way."""
    conn.execute(stage_run.update().where(stage_run.c.id == stage_run_id).values(dispatches=0))


def put_off(conn: sa.Connection, message: Message, seconds: float) -> None:
    """It could not be sent, for a reason of its own: others go first."""
    conn.execute(
        outbox.update()
        .where(outbox.c.id == message.id)
        .values(due_at=sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds))
    )


_ORPHANS = sa.text(
    """
    -- Per run or stream the first stage that has not succeeded, if it could be claimed now and
    -- either lost its holder or was not taken up within :patience after it was sent, and whose
    -- message is not about to be sent anyway. Where messages wait in its queue, workers may only
    -- be busy: then it is twice the patience after the second time, and so on.
    SELECT s.id, s.run_id, s.run_stream_id, s.stage, s.status, s.parked, s.attempt,
           (SELECT count(*) + 1 FROM pipeline.attempt AS a
             WHERE a.stage_run_id = s.id AND a.outcome = 'lost' AND a.fence > s.counts_from)
             AS lost
      FROM pipeline.stage_run AS s
      JOIN pipeline.run AS r ON r.id = s.run_id AND r.status IN ('queued', 'running')
      LEFT JOIN pipeline.run_stream AS p ON p.id = s.run_stream_id
     WHERE s.status IN ('queued', 'running')
       AND (p.id IS NULL
            OR p.explored_at IS NOT NULL AND p.status IN ('queued', 'running'))
       AND NOT EXISTS (SELECT FROM pipeline.stage_run AS e
                        WHERE e.run_stream_id = s.run_stream_id AND e.position < s.position
                          AND e.status <> 'succeeded')
       AND (s.status = 'running' AND s.lease_until < clock_timestamp()
            OR (s.status = 'queued' OR s.parked AND s.parts_left = 0)
               AND coalesce(s.next_attempt_at, '-infinity') <= clock_timestamp()
               AND greatest(s.dispatched_at, s.next_attempt_at, r.created_at,
                            (SELECT max(e.finished_at) FROM pipeline.stage_run AS e
                              WHERE e.run_stream_id = s.run_stream_id
                                AND e.position < s.position))
                   < clock_timestamp()
                     - make_interval(secs => :patience * CASE
                         WHEN s.stage = ANY(:idle) THEN 1
                         ELSE power(2, greatest(least(s.dispatches, 6) - 1, 0)) END)
               AND NOT EXISTS (SELECT FROM pipeline.outbox AS o
                                WHERE o.kind = 'run' AND s.run_stream_id IS NULL
                                      AND o.ref = CAST(s.run_id AS text)
                                   OR o.kind = 'stream'
                                      AND o.ref = CAST(s.run_stream_id AS text)))
       FOR UPDATE OF s SKIP LOCKED
    """
)


def orphans(conn: sa.Connection, patience: float, idle: Collection[Stage] = ()) -> list[Orphan]:
    """Stages to be sent again, their rows locked.

    Args:
        patience: seconds a sent stage may wait.
        idle: stages for which no message waits in the broker.
    """
    values = {"patience": patience, "idle": [stage.value for stage in idle]}
    return [
        Orphan(
            stage_run_id=row.id,
            run_id=str(row.run_id),
            run_stream_id=row.run_stream_id,
            stage=Stage(row.stage),
            status=row.status,
            parked=row.parked,
            lost=row.lost,
            attempt=row.attempt,
        )
        for row in conn.execute(_ORPHANS, values)
    ]


_FORSAKEN = sa.text(
    """
    SELECT r.connection, r.id,
           greatest(r.created_at, max(s.finished_at), max(s.next_attempt_at)) AS since
      FROM pipeline.run AS r JOIN pipeline.stage_run AS s ON s.run_id = r.id
     WHERE r.status IN ('queued', 'running')
     GROUP BY r.id
    HAVING greatest(r.created_at, max(s.finished_at), max(s.next_attempt_at))
           < clock_timestamp() - make_interval(secs => :patience)
       AND NOT bool_or(s.status = 'running' AND (s.parked OR s.lease_until > clock_timestamp()))
     ORDER BY since LIMIT 100
    """
)


def forsaken(conn: sa.Connection, patience: float) -> list[str]:
    """The active runs at which nobody has worked for ``patience`` seconds, however often their
    messages were sent: connection and id, those first that wait longest."""
    found = conn.execute(_FORSAKEN, {"patience": patience})
    return [f"{row.connection} ({row.id})" for row in found]


def release(conn: sa.Connection, orphan: Orphan) -> None:
    """Free a dead lease, so that the stage can be claimed at once, and its former holder can no
    longer write."""
    claims.end_open_attempts(conn, orphan.stage_run_id, "lost")
    conn.execute(
        stage_run.update()
        .where(stage_run.c.id == orphan.stage_run_id)
        .values(
            status="queued",
            fence=stage_run.c.fence + 1,
            holder=None,
            lease_until=None,
            next_attempt_at=None,
        )
    )
