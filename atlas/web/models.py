"""What the HTTP interface takes and gives, as types: checked coming in, documented both ways."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from atlas.model.evolution import Change
from atlas.model.stage import Stage, Status

# NUL cannot be stored, and JSON has a spelling for it. A lone surrogate does not come this far.
_STORABLE = r"^[^\x00]*$"

ConnectionName = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Name of a connection.", examples=["shop"]),
]
StreamName = Annotated[str, Meta(min_length=1, max_length=500, pattern=_STORABLE)]
RunId = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, in UTC.")]
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0, description="Milliseconds.")]


ConnectorName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9.-]{0,99}$",
        description="Name of a connector in the catalog.",
        examples=["source-faker"],
    ),
]
DatasetName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=63,
        pattern=_STORABLE,
        description="Name of a dataset: of its table in chart and navigate.",
        examples=["shop_users"],
    ),
]
UploadName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of a file.",
        examples=["orders.csv"],
    ),
]
Cursor = Annotated[
    str | None,
    Meta(
        description="`next_cursor` of the page before, with the same sort and filters; left out: "
        "the first page."
    ),
]
NextCursor = Annotated[str | None, Meta(description="Where the next page begins; null: the end.")]
Document = dict[str, Any]


class SyncRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to sync; everything the connection selects when empty."""

    streams: Annotated[
        Annotated[list[StreamName], Meta(min_length=1, max_length=10_000)] | None,
        Meta(description="Names of the streams to sync; null: all that the connection selects."),
    ] = None
    full_refresh: Annotated[
        bool, Meta(description="Read from the start this once, whatever the state says.")
    ] = False


class RemaskRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to mask anew; everything that has come to chart when empty."""

    streams: Annotated[
        Annotated[list[StreamName], Meta(min_length=1, max_length=10_000)] | None,
        Meta(description="Names of the streams; null: all that have come to chart."),
    ] = None


class NoOptions(msgspec.Struct, forbid_unknown_fields=True):
    """An empty object: there is nothing to choose."""


class RunAccepted(msgspec.Struct):
    """The run that was asked for; it waits for a worker."""

    run_id: RunId
    status: Status


class RunFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which runs, and how many of them at once."""

    connection: Annotated[
        ConnectionName | None, Meta(description="Only runs of this connection.")
    ] = None
    status: Annotated[Status | None, Meta(description="Only runs in this state.")] = None
    sort: Annotated[
        Literal["created_at", "-created_at"],
        Meta(description="The oldest first, or, with a minus, the newest."),
    ] = "-created_at"
    limit: Annotated[int, Meta(ge=1, le=200, description="Most runs on a page.")] = 50
    cursor: Cursor = None


class StageRun(msgspec.Struct):
    """One stage's work."""

    stage: Stage
    status: Status
    attempt: Count
    started_at: Time | None
    finished_at: Time | None
    rows: Count | None
    error: str | None


class Rows(msgspec.Struct):
    """How many rows went where."""

    explore: Annotated[int, Meta(ge=0, description="Read from the source.")]
    carried: Annotated[
        int, Meta(ge=0, description="Of earlier runs, which never came to chart; taken along.")
    ]
    promoted: Annotated[int, Meta(ge=0, description="Valid, in chart.")]
    quarantined: Annotated[int, Meta(ge=0, description="Set aside by a check.")]
    superseded: Annotated[int, Meta(ge=0, description="Older records of a key of this sync.")]
    tombstones: Annotated[int, Meta(ge=0, description="Records that only say a row is gone.")]
    deleted: Annotated[int, Meta(ge=0, description="Taken out of chart.")]
    erased: Annotated[
        int, Meta(ge=0, description="Of erased people: taken out before they came to chart.")
    ]


class Versions(msgspec.Struct):
    """What happened to the history in navigate."""

    opened: Count
    closed: Count


class Remasked(msgspec.Struct):
    """What a run that masks anew did to a stream."""

    without_raw: Annotated[
        dict[str, Count],
        Meta(
            description="Rows by layer whose raw row is gone from explore: what stood in them was "
            "masked once more; nothing in them can be unmasked."
        ),
    ]
    chart: Annotated[int, Meta(ge=0, description="Rows that read otherwise now.")] = 0
    quarantine: Annotated[int, Meta(ge=0, description="Rows that read otherwise now.")] = 0
    navigate: Annotated[int, Meta(ge=0, description="Versions that read otherwise now.")] = 0


class RunStream(msgspec.Struct):
    """One stream of a run."""

    stream: str
    namespace: str | None
    sync_mode: str
    status: Status
    rows: Rows
    estimated_rows: Annotated[
        Count | None, Meta(description="Rows that the source expects to send; null: not said.")
    ]
    percent: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="How much of it has been read; null: nobody knows."),
    ]
    versions: Versions
    remasked: Annotated[
        Remasked | None, Meta(description="Of a run that masks anew, at the end of chart.")
    ]
    error: str | None
    stages: list[StageRun]


class Run(msgspec.Struct):
    """A run with its streams. ``stages`` holds explore, which belongs to the run as a whole."""

    run_id: RunId
    connection: str
    trigger: Annotated[
        str,
        Meta(
            description="Who asked for it: cli, api or schedule; or remask: it masks anew; or "
            "reprocess: it takes up rows of a quarantine."
        ),
    ]
    status: Status
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    error: str | None
    repaired: Annotated[
        int, Meta(ge=0, description="Values with NUL or lone surrogates that were mended.")
    ]
    ignored: Annotated[int, Meta(ge=0, description="Records of streams that were not asked for.")]
    stages: list[StageRun]
    streams: list[RunStream]
    changes: Annotated[
        list[RunChange], Meta(description="What was other at the source than before.")
    ]


class RunChange(msgspec.Struct):
    """Something that was other at the source than before."""

    stream: str
    namespace: str | None
    property: Annotated[str | None, Meta(description="The column; null: the stream as a whole.")]
    change: Change
    detail: Document


class RunPage(msgspec.Struct):
    """A page of runs."""

    items: list[Run]
    next_cursor: NextCursor


class Health(msgspec.Struct):
    """The process lives."""

    status: Annotated[str, Meta(examples=["alive"])]


class PostgresCheck(msgspec.Struct):
    """PostgreSQL: whether it answers, how fast, and whether its schema is this version's."""

    ok: bool
    round_trip_ms: Milliseconds | None
    revision: Annotated[str | None, Meta(description="The migration that the database is at.")]
    error: str | None


class RedisCheck(msgspec.Struct):
    """Redis: whether it answers, and how fast."""

    ok: bool
    round_trip_ms: Milliseconds | None
    error: str | None


class Checks(msgspec.Struct):
    """What Atlas needs in order to work."""

    postgresql: PostgresCheck
    redis: RedisCheck


class Readiness(msgspec.Struct):
    """Atlas can work."""

    status: Annotated[str, Meta(examples=["ready"])]
    checks: Checks


class ProblemDocument(msgspec.Struct):
    """An RFC 9457 problem document; some kinds have further members."""

    type: Annotated[str, Meta(description="Which kind of problem; stable.")]
    title: Annotated[str, Meta(description="The kind in words.")]
    status: int
    detail: Annotated[str, Meta(description="What is wrong this time, and what helps.")]
    request_id: Annotated[str, Meta(description="Under which the log tells more.")]
    run_id: RunId | msgspec.UnsetType = msgspec.UNSET
    run_status: Status | msgspec.UnsetType = msgspec.UNSET
    required_role: str | msgspec.UnsetType = msgspec.UNSET
    etag: str | msgspec.UnsetType = msgspec.UNSET
    checks: Checks | msgspec.UnsetType = msgspec.UNSET


def schemas(models: list[type[Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """References to the JSON schemas of ``models``, and the schemas by name."""
    references, components = msgspec.json.schema_components(
        models, ref_template="#/components/schemas/{name}"
    )
    return list(references), dict(components)
