"""What the HTTP interface takes and gives of schedules, as types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from atlas.model.stage import Status
from atlas.web.models import ConnectionName, Cursor, NextCursor, RunId, Time

_Text = Annotated[str, Meta(min_length=1, max_length=200)]
_Cron = Annotated[
    _Text | None,
    Meta(description="Five fields, or a name such as @daily.", examples=["*/15 * * * *"]),
]
_Every = Annotated[_Text | None, Meta(description="Instead of cron.", examples=["10m"])]
_Zone = Annotated[
    _Text | None, Meta(description="Of cron; UTC where it is left out.", examples=["Europe/Oslo"])
]
_Jitter = Annotated[
    _Text | None, Meta(description="Fires up to so much later, to spread a herd.", examples=["5m"])
]
_Start = Annotated[
    _Text | None,
    Meta(description="Not before; a time with its offset. Where `every` counts from."),
]
_End = Annotated[_Text | None, Meta(description="Not after; a time with its offset.")]
_Overlap = Annotated[
    Literal["skip", "queue"] | None,
    Meta(description="Of a time at which a run still goes: pass over it, or fire at its end."),
]
_CatchUp = Annotated[
    Literal["none", "one", "all"] | None,
    Meta(
        description="Of times that passed while Atlas was down: none, one run for all of them, "
        "or a run for each, the last hundred at most."
    ),
]


class ScheduleChange(msgspec.Struct, forbid_unknown_fields=True):
    """Other values for what it names; null takes one away. `cron` and `every` replace each
    other."""

    cron: _Cron | UnsetType = UNSET
    every: _Every | UnsetType = UNSET
    timezone: _Zone | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    jitter: _Jitter | UnsetType = UNSET
    start: _Start | UnsetType = UNSET
    end: _End | UnsetType = UNSET
    overlap: _Overlap | UnsetType = UNSET
    catch_up: _CatchUp | UnsetType = UNSET


class ScheduleRequest(ScheduleChange, kw_only=True, forbid_unknown_fields=True):
    """A schedule for a connection that has none; give either `cron` or `every`."""

    connection: ConnectionName


class ScheduledRun(msgspec.Struct):
    """A run that a schedule made."""

    run_id: RunId
    status: Annotated[Status | None, Meta(description="Null: the run was deleted.")]


class ScheduleDocument(msgspec.Struct):
    """The schedule of a connection."""

    connection: ConnectionName
    cron: str | None
    every: str | None
    timezone: Annotated[str | None, Meta(description="Of cron.")]
    paused: bool
    jitter: str | None
    start: str | None
    end: str | None
    overlap: Literal["skip", "queue"]
    catch_up: Literal["none", "one", "all"]
    due_at: Annotated[
        Time | None,
        Meta(description="When it fires next, jitter included; null: it is paused, or over."),
    ]
    next: Annotated[list[Time], Meta(description="The next five times, without jitter.")]
    last_fired_at: Time | None
    last_run: Annotated[ScheduledRun | None, Meta(description="The run that it made last.")]
    last_skipped_at: Annotated[Time | None, Meta(description="When it last passed over a time.")]


class SchedulePage(msgspec.Struct):
    """A page of schedules."""

    items: list[ScheduleDocument]
    next_cursor: NextCursor


class ScheduleFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which schedules, and how many of them at once."""

    paused: Annotated[
        bool | None, Meta(description="Only those that are paused, or that are not.")
    ] = None
    sort: Annotated[
        Literal["connection", "-connection"],
        Meta(description="By the names of their connections, or, with a minus, the other way."),
    ] = "connection"
    limit: Annotated[int, Meta(ge=1, le=200, description="Most schedules on a page.")] = 50
    cursor: Cursor = None


class ScheduleGone(msgspec.Struct):
    """The connection that has no schedule any more."""

    connection: ConnectionName
