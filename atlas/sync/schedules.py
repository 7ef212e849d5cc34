"""Schedules of connections: how they are written, and how one is changed by itself.

A schedule is part of its connection, wherever it is edited: a file that is applied, the pages and
the HTTP interface change the same words.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from croniter import croniter

from atlas.errors import Conflict, NotFound, UsageError
from atlas.ledger import audit, connections
from atlas.ledger import schedules as ledger
from atlas.model.schedule import CatchUp, Overlap, Schedule, duration, interval
from atlas.settings import Settings, secret_key
from atlas.sync.entries import mapping

KEYS = ("cron", "every", "timezone", "paused", "jitter", "start", "end", "overlap", "catch_up")

_NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# What croniter reads beside these is not meant: a random time, for one.
_FIELD = re.compile(r"(?:[\d*,/#-]|l|jan|feb|ma[ry]|apr|ju[nl]|aug|sep|oct|nov|dec|"
                    r"mon|tue|wed|thu|fri|sat|sun)+", re.IGNORECASE)  # fmt: skip


def block(value: Any, where: str) -> dict[str, Any] | None:
    """A connection's block ``schedule`` as it is stored: what is as usual is left out.

    Raises:
        UsageError: something in it is wrong.
    """
    if value is None:
        return None
    here = f"{where}: schedule"
    entry = {
        key: found for key, found in mapping(value, here, set(KEYS)).items() if found is not None
    }
    found = _times(entry, here)
    if not isinstance(entry.get("paused", False), bool):
        raise UsageError(f"{here}: paused must be true or false")
    if entry.get("paused"):
        found["paused"] = True
    if "jitter" in entry:
        found["jitter"] = _checked(duration, entry["jitter"], f"{here}: jitter")
    for key in ("start", "end"):
        if key in entry:
            found[key] = _moment(entry[key], f"{here}: {key}")
    for key, words in (("overlap", Overlap), ("catch_up", CatchUp)):
        known = [each.value for each in words]
        if entry.get(key, known[0]) not in known:
            raise UsageError(f"{here}: {key} must be one of {', '.join(known)}")
    if entry.get("overlap") == Overlap.QUEUE.value:
        found["overlap"] = Overlap.QUEUE.value
    if entry.get("catch_up", CatchUp.ONE.value) != CatchUp.ONE.value:
        found["catch_up"] = entry["catch_up"]
    _see(found, here)
    return found


def _times(entry: Mapping[str, Any], here: str) -> dict[str, Any]:
    if ("cron" in entry) == ("every" in entry):
        raise UsageError(f'{here}: give either cron ("*/15 * * * *") or every (10m)')
    if "every" in entry:
        if "timezone" in entry:
            raise UsageError(f"{here}: a timezone belongs to cron, not to every")
        return {"every": _checked(interval, entry["every"], f"{here}: every")}
    timezone = str(entry.get("timezone", "UTC"))
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"{here}: unknown timezone {timezone[:80]!r}: write one such as Europe/Copenhagen"
        ) from error
    cron = " ".join(str(entry["cron"]).split())
    fields = _NAMES.get(cron.lower(), cron).split()
    meant = len(fields) == 5 and all(_FIELD.fullmatch(field) for field in fields)
    if not meant or not croniter.is_valid(" ".join(fields)):
        raise UsageError(
            f"{here}: {cron[:80]!r} is no cron expression of five fields "
            "(minute, hour, day, month, weekday), nor one of " + ", ".join(_NAMES)
        )
    return {"cron": " ".join(fields), "timezone": timezone}


def _checked(read: Any, value: Any, here: str) -> str:
    try:
        read(str(value))
    except ValueError as error:
        raise UsageError(f"{here} {error}") from error
    return str(value)


def _moment(value: Any, here: str) -> str:
    """A time with its offset; YAML has read it already where it is not quoted."""
    wrong = f"{here} must be a time with its offset, such as 2026-05-01T00:00:00+02:00"
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise UsageError(wrong) from error
    if found.tzinfo is None:
        raise UsageError(wrong)
    return found.isoformat()


def _see(found: Mapping[str, Any], here: str) -> None:
    """See that it is due at some time, and that its jitter is shorter than its pauses."""
    schedule = replace(Schedule.of(found), paused=False)
    if schedule.start and schedule.end and schedule.start > schedule.end:
        raise UsageError(f"{here}: its end comes before its start")
    # From a start, or a Monday long ago: what has ended was due once.
    first = schedule.start or datetime(2024, 1, 1, tzinfo=UTC)
    try:
        times = schedule.upcoming(replace(schedule, end=None).next(first), 50)
    except ValueError as error:
        raise UsageError(f"{here}: {found.get('cron')!r} is never due") from error
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    if schedule.jitter and min(pauses, default=timedelta.max) <= schedule.jitter:
        raise UsageError(f"{here}: jitter must be shorter than the time from one run to the next")


def create(
    conn: sa.Connection, settings: Settings, name: str, values: Mapping[str, Any], *, actor: str
) -> dict[str, Any]:
    """Give a connection that has no schedule this one; returns it (:func:`ledger.page`).

    Raises:
        NotFound: there is no such connection. UsageError: something in it is wrong.
        Conflict: it has one.
    """

    def made(before: dict[str, Any] | None) -> dict[str, Any]:
        if before is not None:
            raise Conflict(f"connection {name} has a schedule already: change that")
        return dict(values)

    return _put(conn, settings, name, made, actor, "create")


def change(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    values: Mapping[str, Any],
    *,
    actor: str,
    seen: Callable[[sa.Connection], None] | None = None,
) -> dict[str, Any]:
    """Give a schedule other values for what is named; None takes one away; returns it.

    Args:
        seen: asked once nobody else can change the schedule; may refuse by an exception.

    Raises:
        NotFound: there is no such connection, or it has none. UsageError: as :func:`block`.
    """

    def changed(before: dict[str, Any] | None) -> dict[str, Any]:
        found = dict(_there(before, name))
        if values.get("cron") is not None:
            found.pop("every", None)
        if values.get("every") is not None:
            found.pop("cron", None)
            found.pop("timezone", None)
        return {key: value for key, value in {**found, **values}.items() if value is not None}

    return _put(conn, settings, name, changed, actor, "change", seen)


def give(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    values: Mapping[str, Any] | None,
    *,
    actor: str,
) -> None:
    """Have a connection run by just this schedule, or (None) by none, whatever it had before.

    Raises:
        NotFound: there is no such connection. UsageError: as :func:`block`.
    """
    _put(conn, settings, name, lambda before: values, actor, "change")


def delete(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    *,
    actor: str,
    seen: Callable[[sa.Connection], None] | None = None,
) -> None:
    """Take a connection's schedule away; ``seen`` as for :func:`change`.

    Raises:
        NotFound: there is no such connection, or it has none.
    """

    def gone(before: dict[str, Any] | None) -> None:
        _there(before, name)

    _put(conn, settings, name, gone, actor, "delete", seen)


def _there(before: dict[str, Any] | None, name: str) -> dict[str, Any]:
    if before is None:
        raise NotFound(f"connection {name} has no schedule")
    return before


def _put(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    edit: Any,
    actor: str,
    what: str,
    seen: Callable[[sa.Connection], None] | None = None,
) -> dict[str, Any]:
    secret = secret_key(settings)
    connections.lock(conn, name)
    if seen is not None:
        seen(conn)
    stored = connections.get(conn, secret, name)
    wanted = edit(stored.connection.schedule)
    after = block(wanted, f"connection {name}")
    # As its user wrote its config, so that what the source has sent since stays beside it.
    declared = replace(stored.connection, config=stored.declared, schedule=after)
    if connections.put(conn, secret, declared, actor=actor) != "unchanged":
        audit.put(
            conn, actor, f"schedule.{what}", name, {"from": stored.connection.schedule, "to": after}
        )
    return {} if after is None else ledger.find(conn, name)
