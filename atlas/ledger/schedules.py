"""Schedules: when a connection is due next, and taking a due time so that it fires once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from croniter import croniter

from atlas.ledger.tables import connection

_EVERY = re.compile(r"(\d{1,8})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Due:
    """A connection whose time has come; its next time is already written down."""

    connection_id: int
    name: str
    due_at: datetime


def interval(text: str) -> timedelta:
    """An interval such as ``90s``, ``10m``, ``2h`` or ``1d``.

    Raises:
        ValueError: it is none, shorter than ten seconds, or longer than a year.
    """
    match = _EVERY.fullmatch(text)
    found = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta(seconds=10) <= found <= timedelta(days=366):
        raise ValueError("must be at least 10s and at most 366d, such as 90s, 10m, 2h or 1d")
    return found


def next_due(schedule: dict[str, Any], after: datetime) -> datetime:
    """The first time after ``after`` (with a time zone) at which ``schedule`` is due, in UTC.

    Args:
        schedule: ``{"cron", "timezone"}`` or ``{"every"}``, as a connections file has it.

    Raises:
        ValueError: there is no such time (31 February).
    """
    if "every" in schedule:
        return after + interval(schedule["every"])
    local = after.astimezone(ZoneInfo(schedule["timezone"]))
    found: datetime = croniter(schedule["cron"], local).get_next(datetime)
    return found.astimezone(UTC)


def take_due(conn: sa.Connection, limit: int = 100) -> list[Due]:
    """The connections that are due, each moved to its next time in this transaction.

    Rows that another process is taking are skipped; one that was down for long fires once, not
    once for each time it missed.
    """
    now: datetime = conn.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    rows = conn.execute(
        sa.select(connection.c.id, connection.c.name, connection.c.document, connection.c.due_at)
        .where(connection.c.due_at <= now)
        .order_by(connection.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    for row in rows:
        conn.execute(
            connection.update()
            .where(connection.c.id == row.id)
            .values(due_at=next_due(row.document["schedule"], now))
        )
    return [Due(row.id, row.name, row.due_at) for row in rows]
