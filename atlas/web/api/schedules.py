"""Schedules by themselves: the same words that a connection has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa
from flask import Response, g

from atlas.ledger import paging
from atlas.ledger import schedules as ledger
from atlas.roles import Role
from atlas.web import etags
from atlas.web.answers import answer
from atlas.web.api import names
from atlas.web.database import settings, transaction
from atlas.web.operations import Operation, Returns
from atlas.web.schedule_models import (
    ScheduleChange,
    ScheduleDocument,
    ScheduleFilter,
    ScheduleGone,
    SchedulePage,
    ScheduleRequest,
)

_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")
_SCHEDULE: dict[str, Any] = {
    "connection": "shop",
    "cron": "0 6 * * 1-5",
    "every": None,
    "timezone": "Europe/Copenhagen",
    "paused": False,
    "jitter": "5m",
    "start": None,
    "end": None,
    "overlap": "skip",
    "catch_up": "one",
    "due_at": "2025-03-03T05:02:11.31Z",
    "next": [f"2025-03-0{day}T05:00:00Z" for day in range(3, 8)],
    "last_fired_at": "2025-02-28T05:01:40Z",
    "last_run": {"run_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "status": "succeeded"},
    "last_skipped_at": None,
}


def list_schedules(query: ScheduleFilter) -> Response:
    """A page of schedules."""
    with transaction() as conn:
        items = ledger.page(
            conn,
            limit=query.limit + 1,
            after=query.cursor,
            paused=query.paused,
            down=query.sort == "-connection",
        )
    return answer(paging.page(items, query.limit, "connection"))


def create_schedule(body: ScheduleRequest) -> Response:
    """Give a connection a schedule."""
    from atlas.sync import schedules

    values = msgspec.to_builtins(body)
    name = values.pop("connection")
    with transaction() as conn:
        made = schedules.create(conn, settings(), name, values, actor=g.key.actor)
    return answer(made, 201, {"Location": f"/api/v1/schedules/{name}", "ETag": _tag(made)})


def get_schedule(name: str) -> Response:
    """The schedule of a connection."""
    with transaction() as conn:
        found = ledger.find(conn, names.connection(name))
    return etags.shown(found, _tag(found))


def change_schedule(name: str, body: ScheduleChange) -> Response:
    """Change, pause or resume a schedule."""
    from atlas.sync import schedules

    values = msgspec.to_builtins(body)
    with transaction() as conn:
        changed = schedules.change(
            conn, settings(), names.connection(name), values, actor=g.key.actor, seen=_seen(name)
        )
    return answer(changed, headers={"ETag": _tag(changed)})


def delete_schedule(name: str) -> Response:
    """Take a schedule away."""
    from atlas.sync import schedules

    with transaction() as conn:
        schedules.delete(
            conn, settings(), names.connection(name), actor=g.key.actor, seen=_seen(name)
        )
    return answer({"connection": name})


# Not when it is due next, or fired last: that is nobody's edit.
_WORDS = (
    "cron",
    "every",
    "timezone",
    "paused",
    "jitter",
    "start",
    "end",
    "overlap",
    "catch_up",
)


def _tag(schedule: dict[str, Any]) -> str:
    return etags.of(schedule, [schedule[word] for word in _WORDS])


def _seen(name: str) -> Callable[[sa.Connection], None] | None:
    if not etags.asked():
        return None
    return lambda conn: etags.see(_tag(ledger.find(conn, name)))


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/schedules",
        role=Role.VIEWER,
        tag="Schedules",
        summary="List schedules",
        order="by the names of their connections",
        handler=list_schedules,
        query=ScheduleFilter,
        returns={
            200: Returns(
                SchedulePage, "A page.", example={"items": [_SCHEDULE], "next_cursor": None}
            )
        },
    ),
    Operation(
        method="POST",
        path="/api/v1/schedules",
        role=Role.OPERATOR,
        tag="Schedules",
        summary="Give a connection a schedule",
        handler=create_schedule,
        body=ScheduleRequest,
        body_example={"connection": "shop", "cron": "0 6 * * 1-5", "timezone": "Europe/Oslo"},
        returns={
            201: Returns(
                ScheduleDocument,
                "The schedule.",
                headers={"Location": "The schedule."},
                example=_SCHEDULE,
            )
        },
        problems=(*_BODY, "not-found", "conflict"),
    ),
    Operation(
        method="GET",
        path="/api/v1/schedules/<name>",
        role=Role.VIEWER,
        tag="Schedules",
        summary="Get the schedule of a connection",
        about="With the next five times, when it fired last and the run that this made.",
        handler=get_schedule,
        edited=True,
        returns={200: Returns(ScheduleDocument, "The schedule.", example=_SCHEDULE)},
        problems=("not-found",),
    ),
    Operation(
        method="PATCH",
        path="/api/v1/schedules/<name>",
        role=Role.OPERATOR,
        tag="Schedules",
        summary="Change, pause or resume a schedule",
        about="The connection's block `schedule` is changed: applying its file again takes that "
        "back. What is paused catches up with nothing when it is resumed.",
        handler=change_schedule,
        edited=True,
        body=ScheduleChange,
        body_example={"paused": True},
        returns={200: Returns(ScheduleDocument, "The schedule, changed.", example=_SCHEDULE)},
        problems=(*_BODY, "not-found"),
    ),
    Operation(
        method="DELETE",
        path="/api/v1/schedules/<name>",
        role=Role.OPERATOR,
        tag="Schedules",
        summary="Take a connection's schedule away",
        handler=delete_schedule,
        edited=True,
        returns={200: Returns(ScheduleGone, "It is gone.", example={"connection": "shop"})},
        problems=("not-found",),
    ),
]
