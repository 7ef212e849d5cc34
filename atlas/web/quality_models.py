"""What the HTTP interface gives of the quality of data, as types."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from atlas.model.checks import Dimension, OnFailure, Outcome
from atlas.web.models import ConnectionName, Count, Cursor, DatasetName, NextCursor, RunId, Time

CheckName = Annotated[
    str, Meta(min_length=1, description="Name of a check.", examples=["completeness.id"])
]
_Score = Annotated[float, Meta(ge=0, le=1)]
Scores = Annotated[
    dict[str, _Score],
    Meta(
        description="By dimension (completeness, uniqueness, timeliness, validity, accuracy, "
        "consistency; without a check: absent), and `overall`."
    ),
]
_Checked = Annotated[
    str, Meta(pattern="^(succeeded|blocked)$", description="What the gate said: go on, or not.")
]


class QualityCheck(msgspec.Struct):
    """A check that was evaluated."""

    name: CheckName
    dimension: Dimension
    column: str | None
    outcome: Outcome
    score: Annotated[float, Meta(ge=0, le=1, description="Share of the rows that satisfy it.")]
    failed_rows: Annotated[
        Count | None, Meta(description="Null: it is about the table, and counts no rows.")
    ]
    definition: Annotated[str, Meta(description="The check as SodaCL.")]
    gate: Annotated[
        OnFailure | None,
        Meta(description="What its failure does to the rows. Null: of a run of an older version."),
    ]
    reason: Annotated[
        str | None, Meta(description="Why it could not be evaluated, where that is known.")
    ]
    rows: Annotated[
        list[int],
        Meta(
            description="Where none were set aside for it: `_atlas_id` in explore of up to a "
            "hundred rows that fail it."
        ),
    ]


class QualityDataset(msgspec.Struct):
    """The quality of a dataset as of a run."""

    dataset: DatasetName
    connection: ConnectionName
    stream: str
    namespace: str | None
    run_id: RunId
    checked_at: Time
    status: _Checked
    scores: Scores
    checks: list[QualityCheck]
    quarantined: Annotated[
        dict[str, Count],
        Meta(description="Rows that each check set aside; several may name the same row."),
    ]
    in_quarantine: Annotated[
        Count, Meta(description="Rows that the run set aside, and that are still there now.")
    ]


class QualityRun(msgspec.Struct):
    """The quality of streams that a run has checked: a page, in their order."""

    run_id: RunId
    datasets: list[QualityDataset]
    next_cursor: NextCursor


class QualityRunFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many streams at once."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Most streams on a page.")] = 200
    cursor: Cursor = None


class QualityFilter(msgspec.Struct, forbid_unknown_fields=True):
    """As of which run."""

    run_id: Annotated[
        RunId | None, Meta(description="As of this run; left out: the last that checked it.")
    ] = None


class QualityHistoryFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Of which check, and how many at once."""

    check: Annotated[
        CheckName | None, Meta(description="Tell also how the check of this name went.")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Most entries on a page.")] = 50
    cursor: Cursor = None


class QualityOfCheck(msgspec.Struct):
    """How a check went in one run."""

    name: CheckName
    outcome: Outcome
    score: _Score
    failed_rows: Count | None


class QualityScores(msgspec.Struct):
    """The scores of a dataset in one run."""

    id: int
    run_id: RunId
    checked_at: Time
    status: _Checked
    scores: Scores
    anomalies: Annotated[
        dict[str, float],
        Meta(description="By dimension whose score is unusually low: the least usual score."),
    ]
    failed: Annotated[
        list[CheckName], Meta(description="Checks that failed or could not be evaluated.")
    ]
    check: Annotated[
        QualityOfCheck | None,
        Meta(description="The check that was asked for; null: none was, or the run had none such."),
    ]


class QualityHistory(msgspec.Struct):
    """A page, newest first."""

    items: list[QualityScores]
    next_cursor: NextCursor


class QualitySuggestion(msgspec.Struct):
    """A check that the data suggest."""

    check: Annotated[str, Meta(description="The check as SodaCL.")]
    dimension: Dimension
    column: Annotated[str | None, Meta(description="Null: it is about the table.")]
    why: str


class QualitySuggestions(msgspec.Struct):
    """Checks that the rows of a dataset suggest."""

    dataset: DatasetName
    connection: ConnectionName
    stream: str
    namespace: str | None
    rows: Annotated[Count, Meta(description="Rows of chart that were looked at.")]
    left_out: Annotated[
        list[str], Meta(description="Columns that there was no time to look at; most often none.")
    ]
    suggestions: list[QualitySuggestion]
    sodacl: Annotated[str, Meta(description="All of them as a file; empty: there are none.")]


class QuarantineFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which rows, and how many at once."""

    run_id: Annotated[RunId | None, Meta(description="Only rows of this run.")] = None
    check: Annotated[
        CheckName | None, Meta(description="Only rows that failed the check of this name.")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Most rows on a page.")] = 50
    cursor: Cursor = None


class QuarantinedRow(msgspec.Struct):
    """A row that was set aside."""

    id: int
    run_id: RunId
    emitted_at: Time
    checks: Annotated[list[CheckName], Meta(description="All checks that it failed.")]
    reasons: Annotated[
        dict[str, str],
        Meta(description="By column, why its value did not fit; never the value."),
    ]
    row: Annotated[
        dict[str, str | None],
        Meta(description="Its values as PostgreSQL writes them, masked as the policy says."),
    ]


class QuarantinePage(msgspec.Struct):
    """A page, newest first."""

    items: list[QuarantinedRow]
    next_cursor: NextCursor
