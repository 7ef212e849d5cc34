"""Which sink has which lineage event, what it still waits for, and how it goes with each.

A sink that is away is left alone for a while, as a whole. One that refuses an event is offered that
event again later; until then it gets none of the same run that came after it, so that the events of
a run arrive in their order. After :data:`HELD` refusals the others go on without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.ledger.tables import lineage_delivery, lineage_event, lineage_sink

HELD = 8
"""Refusals of an event up to which the later ones of its run wait for it."""

_LONGEST = 3600.0
_LONGEST_AWAY = 300.0
_LOCK = 0x41746C61_00000013
_now = sa.func.clock_timestamp()

_sink, _got, _event = lineage_sink.c, lineage_delivery.c, lineage_event.c


def use(conn: sa.Connection, targets: Mapping[str, str]) -> None:
    """Have these sinks be the ones that events go to: their targets by name. What waited for
    another one alone waits no more; a new one gets what has yet to be delivered, and so does one
    that is elsewhere now, whatever was refused where it was before."""
    known = {
        row.name: row.target
        for row in conn.execute(sa.select(lineage_sink).where(_sink.removed_at.is_(None)))
    }
    if known == dict(targets):
        return
    # One that comes back after it was removed is judged by where it was then.
    were = {row.name: row.target for row in conn.execute(sa.select(lineage_sink))}
    moved = [name for name, target in targets.items() if were.get(name, target) != target]
    conn.execute(lineage_delivery.delete().where(_got.sink.in_(moved), _got.delivered_at.is_(None)))
    for name, target in targets.items():
        values: dict[str, Any] = {"target": target, "removed_at": None, "next_attempt_at": _now}
        if name in moved:
            values |= {"failed_attempts": 0, "error": None}
        conn.execute(
            insert(lineage_sink)
            .values(name=name, **values)
            .on_conflict_do_update(index_elements=[_sink.name], set_=values)
        )
    conn.execute(
        lineage_sink.update()
        .where(_sink.removed_at.is_(None), _sink.name.not_in(list(targets)))
        .values(removed_at=_now)
    )
    conn.execute(_SETTLE)


def take(conn: sa.Connection, sink: str) -> bool:
    """Be the only one who delivers until the transaction ends; False: somebody does, or this sink
    is to be left alone for now.

    One for all sinks: of two who deliver one event to two of them at once, neither would see that
    both have it.
    """
    if not conn.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))):
        return False
    due = sa.select(_sink.next_attempt_at <= _now).where(_sink.name == sink)
    return bool(conn.scalar(due))


_WAITING = sa.text(
    """
    SELECT e.id, e.run_id, e.event, coalesce(d.failed_attempts, 0) AS failed_attempts
      FROM pipeline.lineage_event e
      LEFT JOIN pipeline.lineage_delivery d ON d.event_id = e.id AND d.sink = :sink
     WHERE e.delivered_at IS NULL AND d.delivered_at IS NULL
       AND coalesce(d.next_attempt_at, '-infinity') <= clock_timestamp()
       AND NOT EXISTS (
           SELECT FROM pipeline.lineage_event p
             JOIN pipeline.lineage_delivery r ON r.event_id = p.id AND r.sink = :sink
            WHERE p.run_id = e.run_id AND p.id < e.id AND p.delivered_at IS NULL
              AND r.delivered_at IS NULL AND r.failed_attempts < :held
              AND r.next_attempt_at > clock_timestamp())
     ORDER BY e.id
     LIMIT :limit
    """
)


def waiting(conn: sa.Connection, sink: str, limit: int = 200) -> list[sa.Row[Any]]:
    """Events that are due for a sink, oldest first."""
    return list(conn.execute(_WAITING, {"sink": sink, "held": HELD, "limit": limit}))


# In one statement, for it is made for each event. A sink that has the event already, in a process
# that died before it could say so, takes it again.
_DELIVERED = sa.text(
    """
    WITH got AS (
      INSERT INTO pipeline.lineage_delivery AS d (event_id, sink, delivered_at)
      VALUES (:id, :sink, clock_timestamp())
      ON CONFLICT (event_id, sink) DO UPDATE
         SET delivered_at = excluded.delivered_at, next_attempt_at = NULL, error = NULL),
    sink AS (
      UPDATE pipeline.lineage_sink
         SET delivered_at = clock_timestamp(), failed_attempts = 0, error = NULL
       WHERE name = :sink)
    UPDATE pipeline.lineage_event e SET delivered_at = clock_timestamp()
     WHERE e.id = :id AND e.delivered_at IS NULL
       AND NOT EXISTS (
           SELECT FROM pipeline.lineage_sink s
            WHERE s.removed_at IS NULL AND s.name <> :sink
              AND NOT EXISTS (
                  SELECT FROM pipeline.lineage_delivery d
                   WHERE d.event_id = e.id AND d.sink = s.name AND d.delivered_at IS NOT NULL))
    """
)


def delivered(conn: sa.Connection, sink: str, event_id: int) -> None:
    """The sink took the event; when all sinks have it, it is delivered."""
    conn.execute(_DELIVERED, {"sink": sink, "id": event_id})


def refused(conn: sa.Connection, sink: str, event: sa.Row[Any], error: str) -> None:
    """The sink refused the event, which is offered again after a growing delay."""
    failed = event.failed_attempts + 1
    values = {
        "failed_attempts": failed,
        "next_attempt_at": _after(failed, _LONGEST),
        "error": error,
    }
    conn.execute(
        insert(lineage_delivery)
        .values(event_id=event.id, sink=sink, **values)
        .on_conflict_do_update(index_elements=[_got.event_id, _got.sink], set_=values)
    )


def away(conn: sa.Connection, sink: str, error: str) -> None:
    """The sink could not be reached; it is left alone for a growing delay."""
    failed = conn.execute(
        lineage_sink.update()
        .where(_sink.name == sink)
        .values(failed_attempts=_sink.failed_attempts + 1, error=error)
        .returning(_sink.failed_attempts)
    ).scalar_one()
    conn.execute(
        lineage_sink.update()
        .where(_sink.name == sink)
        .values(next_attempt_at=_after(failed, _LONGEST_AWAY))
    )


def _after(failed: int, longest: float) -> Any:
    delay = min(5.0 * 2 ** min(failed - 1, 20), longest)
    return _now + sa.func.make_interval(0, 0, 0, 0, 0, 0, delay)


# Which events all sinks have, of all that wait.
_SETTLE = sa.text(
    """
    UPDATE pipeline.lineage_event e SET delivered_at = clock_timestamp()
     WHERE e.delivered_at IS NULL
       AND NOT EXISTS (
           SELECT FROM pipeline.lineage_sink s
            WHERE s.removed_at IS NULL
              AND NOT EXISTS (
                  SELECT FROM pipeline.lineage_delivery d
                   WHERE d.event_id = e.id AND d.sink = s.name AND d.delivered_at IS NOT NULL))
    """
)


_LISTED = sa.text(
    """
    SELECT s.name, s.target, s.delivered_at, s.failed_attempts, s.next_attempt_at, s.error,
           w.waiting, w.since, w.refused, w.refusal
      FROM pipeline.lineage_sink s
     CROSS JOIN LATERAL (
           SELECT count(*) AS waiting, min(e.created_at) AS since, count(d.event_id) AS refused,
                  (array_agg(d.error ORDER BY e.id DESC) FILTER (WHERE d.event_id IS NOT NULL))[1]
                  AS refusal
             FROM pipeline.lineage_event e
             LEFT JOIN pipeline.lineage_delivery d ON d.event_id = e.id AND d.sink = s.name
            WHERE e.delivered_at IS NULL AND d.delivered_at IS NULL) w
     WHERE s.removed_at IS NULL
     ORDER BY s.name
    """
)


def listed(conn: sa.Connection) -> list[dict[str, Any]]:
    """Each sink: when it took an event last, how many it has not got and since when the first of
    them waits, how many of those it refused, and what went wrong last (None: nothing does)."""
    return [
        {
            "name": row.name,
            "target": row.target,
            "delivered_at": row.delivered_at,
            "waiting": row.waiting,
            "waiting_since": row.since,
            "refused": row.refused,
            "failed_attempts": row.failed_attempts,
            "next_attempt_at": row.next_attempt_at if row.failed_attempts else None,
            "error": row.error or row.refusal,
        }
        for row in conn.execute(_LISTED)
    ]


def events(
    conn: sa.Connection, run_id: str, *, limit: int | None = None, after: int = 0
) -> list[dict[str, Any]]:
    """The events of a run, oldest first, with what became of each at each sink; ``after``: those
    with a larger id."""
    rows = conn.execute(
        sa.select(lineage_event)
        .where(_event.run_id == run_id, _event.id > after)
        .order_by(_event.id)
        .limit(limit)
    ).all()
    found: dict[int, list[dict[str, Any]]] = {row.id: [] for row in rows}
    for row in conn.execute(
        sa.select(lineage_delivery)
        .join(lineage_event, _event.id == _got.event_id)
        .where(_event.run_id == run_id, _event.id > after)
        .order_by(_got.sink)
    ):
        if row.event_id in found:
            found[row.event_id].append(
                {
                    "sink": row.sink,
                    "delivered_at": row.delivered_at,
                    "failed_attempts": row.failed_attempts,
                    "error": row.error,
                }
            )
    return [
        {
            "id": row.id,
            "delivered_at": row.delivered_at,
            "deliveries": found[row.id],
            "event": row.event,
        }
        for row in rows
    ]
