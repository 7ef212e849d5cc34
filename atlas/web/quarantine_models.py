"""What the HTTP interface takes to mend rows that were set aside, as types."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from atlas.web.models import Count, DatasetName
from atlas.web.quality_models import CheckName

RowId = Annotated[
    int, Meta(ge=0, le=2**63 - 1, description="The row's `id` in the list.", examples=[1042])
]
_Rows = Annotated[
    Annotated[list[RowId], Meta(min_length=1, max_length=1000)] | None,
    Meta(description="These rows."),
]
_Check = Annotated[
    CheckName | None, Meta(description="Instead of `rows`: all that failed the check of this name.")
]
_All = Annotated[bool, Meta(description="Instead of `rows`: all.")]
Why = Annotated[
    str, Meta(min_length=1, max_length=1000, description="The reason, for others to read.")
]


class QuarantinePatch(msgspec.Struct, forbid_unknown_fields=True):
    """Values of a row that are put right."""

    row: RowId
    set: Annotated[
        dict[str, Raw],
        Meta(min_length=1, description="By property, or by column: the value it shall have."),
    ]


class ReprocessRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which rows are taken up, and how. Rows that `patches` name need not be in `rows`."""

    rows: _Rows = None
    check: _Check = None
    all: _All = False
    patches: Annotated[
        Annotated[list[QuarantinePatch], Meta(min_length=1, max_length=1000)] | None,
        Meta(description="What is put right, row by row."),
    ] = None
    overrides: Annotated[
        Annotated[list[CheckName], Meta(min_length=1, max_length=100)] | None,
        Meta(
            description="Checks that are not to hold them, which takes a `why`. Each row must have "
            "failed one, or be put right."
        ),
    ] = None
    why: Why | None = None


class DiscardRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which rows go, and why."""

    why: Why
    rows: _Rows = None
    check: _Check = None
    all: _All = False


class Discarded(msgspec.Struct):
    """What has gone."""

    dataset: DatasetName
    discarded: Count
