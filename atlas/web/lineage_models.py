"""What the HTTP interface gives of lineage, as types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from atlas.web.models import Count, Cursor, Document, NextCursor, RunId, Time

NodeName = Annotated[
    str,
    Meta(
        min_length=1,
        description="A dataset's table in navigate, or a table of it in another layer.",
        examples=["shop_users", "chart.shop_users", "source.shop_users"],
    ),
]
_Cut = Annotated[bool, Meta(description="Whether there is more than is told.")]
_NodeId = Annotated[
    str, Meta(description="Id of a node.", examples=["dataset:airbyte://source-faker:shop.users"])
]
_Run = Annotated[RunId | None, Meta(description="As of this run; null: of the last.")]
_LastRun = Annotated[RunId, Meta(description="The run that said so last.")]


class LineageNode(msgspec.Struct):
    """A dataset, or a column of it."""

    id: _NodeId
    namespace: Annotated[str, Meta(description="As OpenLineage names it.")]
    name: str
    dataset: Annotated[
        str | None,
        Meta(description="What it is called here; null: it is none of Atlas's datasets."),
    ]
    layer: Literal["source", "explore", "chart", "navigate"] | None
    column: Annotated[str | None, Meta(description="Null: the dataset as a whole.")]
    masks: Annotated[
        list[str],
        Meta(
            description="Of a column: what masks values on the way between it and the column that "
            "was asked for."
        ),
    ]
    masked: Annotated[bool, Meta(description="Whether no way leads around those masks.")]


class LineageStep(msgspec.Struct):
    """What is done to values, as OpenLineage has it."""

    type: str | None
    subtype: str | None
    masking: bool
    description: Annotated[str | None, Meta(examples=["mask EMAIL_ADDRESS"])]


class LineageColumns(msgspec.Struct):
    """A column that comes of another."""

    source: str | None
    target: str | None
    steps: list[LineageStep]


class LineageEdge(msgspec.Struct):
    """A dataset or column that comes of another."""

    source: _NodeId
    target: _NodeId
    job: str
    run_id: _LastRun
    at: Time
    masking: Annotated[bool, Meta(description="Whether values of one of the columns are masked.")]
    columns: Annotated[
        list[LineageColumns],
        Meta(description="Between datasets: all in which one comes of the other."),
    ]


class LineageGraph(msgspec.Struct):
    """Where a dataset or column comes from and where it goes."""

    dataset: str
    column: str | None
    direction: Literal["upstream", "downstream", "both"]
    depth: int
    run_id: _Run
    nodes: Annotated[list[LineageNode], Meta(description="What was asked for comes first.")]
    edges: list[LineageEdge]
    cut: _Cut


class LineageFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which column, how far and which way."""

    column: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Of this column alone; called as in its layer."),
    ] = None
    depth: Annotated[int, Meta(ge=1, le=20, description="Most steps away.")] = 10
    direction: Annotated[
        Literal["upstream", "downstream", "both"],
        Meta(description="Where it comes from, where it goes, or both."),
    ] = "both"
    run: Annotated[RunId | None, Meta(description="As of this run; left out: of the last.")] = None


class LineageDelivery(msgspec.Struct):
    """What became of an event at a sink."""

    sink: str
    delivered_at: Annotated[Time | None, Meta(description="Null: it has been refused so far.")]
    failed_attempts: Count


class LineageEvent(msgspec.Struct):
    """An event, and who has got it."""

    id: int
    delivered_at: Annotated[
        Time | None, Meta(description="When the last of all sinks had it; null: not all have.")
    ]
    deliveries: Annotated[list[LineageDelivery], Meta(description="Sinks that took or refused it.")]
    event: Annotated[Document, Meta(description="The OpenLineage event as it is sent.")]


class LineageSink(msgspec.Struct):
    """A place that events go to."""

    name: str
    target: Annotated[str, Meta(description="Where it is.")]
    delivered_at: Annotated[Time | None, Meta(description="When it took an event last.")]
    waiting: Annotated[Count, Meta(description="Events that it has not got.")]
    waiting_since: Annotated[Time | None, Meta(description="How old the oldest of them is.")]
    refused: Annotated[Count, Meta(description="Those of them that it refused.")]
    failed_attempts: Annotated[
        Count, Meta(description="Times in a row that it could not be reached.")
    ]
    next_attempt_at: Annotated[
        Time | None, Meta(description="Until when it is left alone; null: it is not.")
    ]
    error: Annotated[str | None, Meta(description="What went wrong last; null: nothing does.")]


class LineageSinks(msgspec.Struct):
    """All places that events go to, by name."""

    items: list[LineageSink]


class LineageRun(msgspec.Struct):
    """What a run moved from dataset to dataset, and a page of its events, oldest first."""

    run_id: RunId
    nodes: list[LineageNode]
    edges: list[LineageEdge]
    cut: _Cut
    items: list[LineageEvent]
    next_cursor: NextCursor


class LineageRunFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many events at once."""

    limit: Annotated[int, Meta(ge=1, le=200, description="Most events on a page.")] = 50
    cursor: Cursor = None
