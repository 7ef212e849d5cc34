"""What the HTTP interface takes and gives of runs' logs and of streams of events, as types."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from atlas.model.stage import Stage
from atlas.web.models import Count, Cursor, NextCursor, Time


class Level(Enum):
    """How severe a line is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which lines, and how many of them at once."""

    level: Annotated[
        Level | None, Meta(description="Only lines of this level, and those more severe.")
    ] = None
    q: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(description="Only lines in which this text stands, in upper or lower case."),
    ] = None
    after: Annotated[
        Annotated[int, Meta(ge=0, le=10**18 - 1)] | None,
        Meta(description="Only lines after this number."),
    ] = None
    sort: Annotated[
        Literal["line", "-line"],
        Meta(description="The oldest first, or, with a minus, the newest."),
    ] = "line"
    limit: Annotated[int, Meta(ge=1, le=1000, description="Most lines on a page.")] = 200
    cursor: Cursor = None


class LogLine(msgspec.Struct):
    """A line of a run's log."""

    line: Annotated[int, Meta(ge=1, description="Its number within the run.")]
    at: Time
    level: Level
    origin: Annotated[
        Literal["atlas", "connector"], Meta(description="Who says so: a stage, or the connector.")
    ]
    stage: Annotated[Stage | None, Meta(description="Null: the run as a whole.")]
    stream: Annotated[str | None, Meta(description="Null: of no one stream.")]
    namespace: str | None
    attempt: Count | None
    worker: Annotated[str | None, Meta(description="Host and process of who worked.")]
    message: Annotated[str, Meta(description="One line, without secrets.")]


class LogPage(msgspec.Struct):
    """A page of a run's log."""

    items: list[LogLine]
    next_cursor: NextCursor


class WatchFrom(msgspec.Struct, forbid_unknown_fields=True):
    """From where on a run is watched."""

    after: Annotated[
        Annotated[int, Meta(ge=0, le=10**18 - 1)] | None,
        Meta(
            description="Lines of the log after this number; left out: its last hundred. "
            "`Last-Event-ID` says it better."
        ),
    ] = None
