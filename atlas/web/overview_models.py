"""What the HTTP interface gives as the overview, as types."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from atlas.model.stage import Stage, Status
from atlas.web.models import ConnectionName, Count, RunId, Time

_Score = Annotated[float, Meta(ge=0, le=1)]
_Counts = list[Count]


class RowTotals(msgspec.Struct):
    """Rows of all streams of a run together, so far."""

    explore: Annotated[int, Meta(ge=0, description="Read from the source.")]
    promoted: Annotated[int, Meta(ge=0, description="Valid, in chart.")]
    quarantined: Annotated[int, Meta(ge=0, description="Set aside by a check.")]


class ActiveRun(msgspec.Struct):
    """A run that waits or is worked on."""

    run_id: RunId
    connection: ConnectionName
    trigger: str
    status: Status
    created_at: Time
    started_at: Time | None
    stages: Annotated[list[Stage], Meta(description="That are worked on now.")]
    rows: RowTotals
    percent: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="How much of its streams has been read; null: nobody knows."),
    ]


class ActiveRuns(msgspec.Struct):
    """What runs now."""

    count: Annotated[int, Meta(ge=0, description="All of them.")]
    items: Annotated[list[ActiveRun], Meta(description="The 20 newest.")]


class FailedRun(msgspec.Struct):
    """A run that failed or was blocked."""

    run_id: RunId
    connection: ConnectionName
    trigger: str
    status: Status
    finished_at: Time
    error: str | None


class LastRun(msgspec.Struct):
    """The newest run of a connection."""

    run_id: RunId
    status: Status
    created_at: Time
    finished_at: Time | None
    error: str | None


class ConnectionHealth(msgspec.Struct):
    """How a connection fares."""

    name: ConnectionName
    connector: Annotated[str | None, Meta(description="Null: an executable of its own.")]
    datasets: Count
    due_at: Annotated[Time | None, Meta(description="When its schedule fires next.")]
    last_run: LastRun | None
    fresh_at: Annotated[
        Time | None,
        Meta(description="When its last sync that succeeded was read from the source."),
    ]
    score: Annotated[
        _Score | None,
        Meta(
            description="Mean of the overall scores of its streams in the last of its 20 newest "
            "runs that was checked; null: none was."
        ),
    ]
    lowest_score: Annotated[_Score | None, Meta(description="The lowest among them.")]
    scored_in: Annotated[RunId | None, Meta(description="The run that the scores are of.")]


class ConnectionsHealth(msgspec.Struct):
    """How the connections fare."""

    count: Annotated[int, Meta(ge=0, description="All of them.")]
    items: Annotated[
        list[ConnectionHealth],
        Meta(description="At most 200, by name; before them those whose last run failed."),
    ]


class DailyRows(msgspec.Struct):
    """What came day by day, in the order of ``days``."""

    runs: Annotated[_Counts, Meta(description="Runs that ended on that day.")]
    explore: Annotated[_Counts, Meta(description="Rows that these had read.")]
    promoted: Annotated[_Counts, Meta(description="Rows that these had brought to chart.")]
    quarantined: Annotated[_Counts, Meta(description="Rows that these had set aside.")]


class DailyRowsOf(DailyRows):
    """What came of a connection day by day, in the order of ``days``."""

    connection: ConnectionName


class RowsOverTime(msgspec.Struct):
    """Rows of the last 30 days."""

    days: Annotated[list[str], Meta(description="In UTC, oldest first; today is the last.")]
    total: DailyRows
    connections: Annotated[list[DailyRowsOf], Meta(description="The 20 that read the most.")]


class Queue(msgspec.Struct):
    """A queue of the broker."""

    queue: str
    depth: Annotated[int, Meta(ge=0, description="Messages that wait.")]
    oldest_seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="How long the oldest has waited; null: none waits, or it does not say."),
    ]


class Queues(msgspec.Struct):
    """What waits in the broker."""

    items: Annotated[list[Queue] | None, Meta(description="Null: nobody knows.")]
    reason: Annotated[str | None, Meta(description="Why nobody knows.")]


class Worker(msgspec.Struct):
    """A worker that showed within the last day that it lives."""

    name: Annotated[str, Meta(description="Its Celery node.", examples=["scan@host"])]
    queues: list[str]
    beat_at: Annotated[Time, Meta(description="When one of its processes last said so.")]
    alive: Annotated[bool, Meta(description="Whether that was less than 45 seconds ago.")]


class Overview(msgspec.Struct):
    """What runs, what failed, how fresh and how good the data are."""

    at: Annotated[Time, Meta(description="By the clock of the ledger.")]
    running: ActiveRuns
    failed: Annotated[
        list[FailedRun],
        Meta(description="The 20 newest that failed or were blocked in the last 7 days."),
    ]
    connections: ConnectionsHealth
    rows: RowsOverTime
    queues: Queues
    workers: list[Worker]
