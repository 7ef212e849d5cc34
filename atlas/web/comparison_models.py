"""What the HTTP interface gives of a run beside the one before it, as types."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from atlas.model.stage import Status
from atlas.web.models import Count, Document, RunChange, RunId, Time

_Score = Annotated[float, Meta(ge=0, le=1)]


class Counts(msgspec.Struct):
    """How many now, and before; null: there is nothing to count."""

    now: Count | None
    before: Count | None


class Seconds(msgspec.Struct):
    """How long now, and before; null: it has not begun, or not ended."""

    now: Annotated[float, Meta(ge=0)] | None
    before: Annotated[float, Meta(ge=0)] | None


class Scores(msgspec.Struct):
    """The score now, and before; null: there is none."""

    now: _Score | None
    before: _Score | None


class Statuses(msgspec.Struct):
    """The status now, and before; null: the run had no such stream."""

    now: Status | None
    before: Status | None


class ComparedRows(msgspec.Struct):
    """Rows by what became of them."""

    explore: Counts
    promoted: Counts
    quarantined: Counts
    superseded: Counts
    deleted: Counts


class ComparedFinding(msgspec.Struct):
    """A column, or a part of one, that holds personal data."""

    column: str
    path: str
    entity_type: str
    operator: str


class ComparedFindings(msgspec.Struct):
    """How many findings there are, and those that only one of the runs has."""

    now: Count | None
    before: Count | None
    new: list[ComparedFinding]
    gone: list[ComparedFinding]


class ComparedColumn(msgspec.Struct):
    """A column of the tables that this run changed."""

    column: str
    change: str
    detail: Document


class ComparedStream(msgspec.Struct):
    """A stream of one of the runs, or of both."""

    stream: str
    namespace: str | None
    status: Statuses
    rows: ComparedRows
    stages: Annotated[dict[str, Seconds], Meta(description="By stage.")]
    scores: Annotated[dict[str, Scores], Meta(description="By dimension, and overall.")]
    findings: ComparedFindings
    schema_changes: list[ComparedColumn]


class PreviousRun(msgspec.Struct):
    """The run before."""

    run_id: RunId
    status: Status
    created_at: Time
    finished_at: Time | None


class Comparison(msgspec.Struct):
    """A run beside the one before it."""

    run_id: RunId
    previous: Annotated[PreviousRun | None, Meta(description="Null: it is the first.")]
    seconds: Seconds
    rows: ComparedRows
    stages: Annotated[dict[str, Seconds], Meta(description="Of the run as a whole: explore.")]
    streams: list[ComparedStream]
    source_changes: Annotated[
        list[RunChange], Meta(description="What this run found to be other at the source.")
    ]
