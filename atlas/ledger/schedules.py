"""Schedules: when a connection is due next, and taking a due time so that it fires once.

A connection's row has the time for which it fires next (``due_for``) and when that is to be, with
its jitter (``due_at``). Whoever fires locks the row, and moves it on in the transaction in which
the run is recorded; the clock is the ledger's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.ledger import paging
from atlas.ledger.run_documents import rfc3339
from atlas.ledger.tables import connection, run
from atlas.model.schedule import CatchUp, Overlap, Schedule

log = logging.getLogger(__name__)

MISSED = 100
"""Most missed times that ``catch_up: all`` makes up for; of more, the last."""

LATE = timedelta(minutes=1)
"""How late a time may be seen to before it counts as missed."""

_PUT_BACK = timedelta(minutes=5)
"""How far a clock is put back before what it had fired for is forgotten."""

_TIMING = ("cron", "every", "timezone", "start", "end", "paused")
_UPCOMING = 5


@dataclass(frozen=True, slots=True)
class Due:
    """A connection whose time has come; its row is locked.

    Attributes:
        due_at: the time for which it fires.
        missed: whether that has passed by, so that it is not to fire.
    """

    connection_id: int
    name: str
    due_at: datetime
    schedule: Schedule
    now: datetime
    missed: bool


def due(
    conn: sa.Connection, name: str, schedule: dict[str, Any] | None, *, known: bool
) -> dict[str, Any]:
    """``due_for`` and ``due_at`` of a connection that is to have this schedule: for the same time
    as before, unless it goes by other times now.

    Args:
        known: whether there is such a connection.
    """
    if schedule is None:
        return {"due_for": None, "due_at": None}
    of = Schedule.of(schedule)
    before = None
    if known:
        row = conn.execute(
            sa.select(connection.c.document, connection.c.due_for).where(connection.c.name == name)
        ).one()
        if row.due_for is not None and _timing(row.document["schedule"]) == _timing(schedule):
            before = row.due_for
    return _times(of, name, before or of.next(_now(conn)))


def _timing(schedule: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (schedule or {}).items() if key in _TIMING}


def _times(schedule: Schedule, name: str, due_for: datetime | None) -> dict[str, Any]:
    if due_for is None:
        return {"due_for": None, "due_at": None}
    return {"due_for": due_for, "due_at": due_for + schedule.delay(name, due_for)}


def _now(conn: sa.Connection) -> datetime:
    now: datetime = conn.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


# Those that wait for a run's end are left out, or a hundred of them would hold up all others.
_DUE = sa.text(
    """
    SELECT c.id, c.name, c.document -> 'schedule' AS schedule, c.due_at,
           coalesce(c.due_for, c.due_at) AS due_for,
           (SELECT max(r.finished_at) FROM pipeline.run r
             WHERE r.connection_id = c.id AND r.finished_at >= c.due_at) AS free_at
      FROM pipeline.connection c
     WHERE (c.due_at <= :now OR c.fired_at > :later AND c.due_at IS NOT NULL)
       AND c.id <> ALL(CAST(:unread AS bigint[]))
       AND NOT ((coalesce(c.document #>> '{schedule,overlap}', '') = 'queue'
                 OR coalesce(c.document #>> '{schedule,catch_up}', '') = 'all')
                AND EXISTS (SELECT FROM pipeline.run r WHERE r.connection_id = c.id
                               AND r.status IN ('queued', 'running')))
     ORDER BY c.due_at, c.id
     LIMIT :limit
       FOR NO KEY UPDATE OF c SKIP LOCKED
    """
)


def take_due(conn: sa.Connection, limit: int = 100, *, now: datetime | None = None) -> list[Due]:
    """The connections that are due, their rows locked; each is to be moved on by :func:`fired`,
    :func:`passed`, or left as it is.

    Rows that another process is taking are skipped. A clock that was put back far, after it had
    fired, has those connections begin anew from its present time.

    Args:
        now: instead of the ledger's clock.
    """
    now = now or _now(conn)
    asked = {"now": now, "later": now + _PUT_BACK, "limit": limit}
    unread: list[int] = []
    found: list[Due] = []
    while True:
        rows = conn.execute(_DUE, {**asked, "unread": unread}).all()
        before = len(unread)
        for row in rows:
            try:
                found += _due(conn, row, now)
            except (KeyError, ValueError) as error:  # such as a zone that this host does not know
                log.error("schedule of %s: cannot be read here: %s", row.name, type(error).__name__)
                unread.append(row.id)
        # Those that cannot be read stay due, before all others.
        if len(unread) - before < limit:
            return found


def _due(conn: sa.Connection, row: sa.Row[Any], now: datetime) -> list[Due]:
    schedule = Schedule.of(row.schedule)
    if row.due_at > now:
        again = _times(schedule, row.name, schedule.next(now, row.due_for))
        _move(conn, row.id, {**again, "fired_at": now})
        return []
    ready = row.due_at
    if schedule.overlap is Overlap.QUEUE and row.free_at is not None:
        ready = max(ready, row.free_at)
    missed = schedule.catch_up is CatchUp.NONE and now - ready > LATE
    return [Due(row.id, row.name, row.due_for, schedule, now, missed)]


def fired(conn: sa.Connection, taken: Due, run_id: str) -> None:
    """Write down that it fired, and when it is due next."""
    _move(conn, taken.connection_id, {**_after(taken), "fired_at": taken.now, "fired_run": run_id})


def passed(conn: sa.Connection, taken: Due) -> None:
    """Write down that this time was passed over, and when it is due next."""
    _move(conn, taken.connection_id, {**_after(taken), "skipped_at": taken.now})


def _move(conn: sa.Connection, connection_id: int, values: dict[str, Any]) -> None:
    conn.execute(connection.update().where(connection.c.id == connection_id).values(values))


def _after(taken: Due) -> dict[str, Any]:
    schedule, now = taken.schedule, taken.now
    following = schedule.next(now, taken.due_at)
    if schedule.catch_up is CatchUp.ALL:
        missed: list[datetime] = []
        each = schedule.next(taken.due_at, taken.due_at)
        while each is not None and each <= now:
            missed.append(each)
            del missed[:-MISSED]
            each = schedule.next(each, each)
        following = missed[0] if missed else following
    return _times(schedule, taken.name, following)


def page(
    conn: sa.Connection,
    *,
    limit: int,
    after: str | None = None,
    name: str | None = None,
    paused: bool | None = None,
    down: bool = False,
) -> list[dict[str, Any]]:
    """Connections with their schedules, by name; ``down``: the other way.

    Args:
        after: only what comes after this name.
        name: only the schedule of this connection.
        paused: only those that are paused, or that are not.
    """
    block = connection.c.document["schedule"]
    query = (
        sa.select(
            connection.c.name,
            block.label("schedule"),
            connection.c.due_for,
            connection.c.due_at,
            connection.c.fired_at,
            connection.c.fired_run,
            connection.c.skipped_at,
            run.c.status,
        )
        .outerjoin(run, run.c.id == connection.c.fired_run)
        .where(sa.func.jsonb_typeof(block) == "object")
        .limit(limit)
    )
    query = paging.behind(query, connection.c.name.collate("C"), after, down=down)
    if name is not None:
        query = query.where(connection.c.name == name)
    if paused is not None:
        is_paused = sa.func.coalesce(block["paused"].as_boolean(), sa.false())
        query = query.where(is_paused if paused else sa.not_(is_paused))
    return [_document(row) for row in conn.execute(query)]


def find(conn: sa.Connection, name: str) -> dict[str, Any]:
    """The schedule of a connection, as :func:`page` has it.

    Raises:
        NotFound: there is no such connection, or it has none.
    """
    found = page(conn, limit=1, name=name)
    if not found:
        raise NotFound(
            f"there is no schedule of a connection {name[:100]!r}: `atlas schedules list` shows "
            "those there are"
        )
    return found[0]


def _document(row: sa.Row[Any]) -> dict[str, Any]:
    given: dict[str, Any] = row.schedule
    schedule = Schedule.of(given)
    return {
        "connection": row.name,
        "cron": given.get("cron"),
        "every": given.get("every"),
        "timezone": given.get("timezone", "UTC") if "cron" in given else None,
        "paused": schedule.paused,
        "jitter": given.get("jitter"),
        "start": given.get("start"),
        "end": given.get("end"),
        "overlap": schedule.overlap.value,
        "catch_up": schedule.catch_up.value,
        "due_at": rfc3339(row.due_at),
        "next": [rfc3339(each) for each in schedule.upcoming(row.due_for, _UPCOMING)],
        "last_fired_at": rfc3339(row.fired_at),
        "last_run": row.fired_run and {"run_id": row.fired_run, "status": row.status},
        "last_skipped_at": rfc3339(row.skipped_at),
    }
