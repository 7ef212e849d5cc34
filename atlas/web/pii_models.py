"""What the HTTP interface takes and gives of personal data, as types."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from atlas.model.personal import Operator, Says, Scope
from atlas.web.models import ConnectionName, Cursor, DatasetName, NextCursor, RunId, Time

ColumnPlace = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2000,
        description="A column of the table, or a leaf of a JSON column (`address.city`).",
        examples=["email"],
    ),
]
EntityType = Annotated[str, Meta(description="An entity type.", examples=["EMAIL_ADDRESS"])]
_Actor = Annotated[str, Meta(description="Who said it.")]
_Why = Annotated[str, Meta(max_length=1000, description="The reason that was given.")]


class PiiFinding(msgspec.Struct):
    """A verdict on a column or leaf."""

    column: ColumnPlace
    entity_type: EntityType
    score: Annotated[float, Meta(ge=0, le=1)]
    scope: Scope
    operator: Operator
    share: Annotated[
        float, Meta(ge=0, le=1, description="Share of the distinct values that showed it.")
    ]
    examples: Annotated[
        list[str],
        Meta(
            description="How up to three of the values look: in the form of a mask, or each word "
            "as `***` and each digit as `#`."
        ),
    ]
    evidence: Annotated[
        dict[str, Any], Meta(description="Counts and rates by kind of evidence; never a value.")
    ]


class PiiWord(msgspec.Struct):
    """What a person says of a column."""

    column: ColumnPlace
    says: Says
    entity_type: EntityType | None
    operator: Operator | None
    actor: _Actor
    why: _Why
    at: Time


class PiiDataset(msgspec.Struct):
    """What the last scan of a dataset found, and what people say of it."""

    dataset: DatasetName
    connection: ConnectionName
    stream: str
    namespace: str | None
    run_id: RunId | None
    scanned_at: Annotated[Time | None, Meta(description="Null: not scanned yet.")]
    findings: list[PiiFinding]
    overrides: list[PiiWord]


class PiiOverride(PiiWord, kw_only=True):
    """An entry of what was said."""

    id: int


class PiiOverridePage(msgspec.Struct):
    """A page of what was said, newest first."""

    items: list[PiiOverride]
    next_cursor: NextCursor


class PiiOverrideRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to say of a column."""

    dataset: DatasetName
    column: ColumnPlace
    says: Says
    why: Annotated[str, Meta(min_length=1, max_length=1000, description="For others to read.")]
    entity_type: Annotated[
        str | None, Meta(description="With `is`; with `is_not` null means any.")
    ] = None
    operator: Annotated[Operator | None, Meta(description="With `operator`.")] = None


class PiiChange(msgspec.Struct):
    """Where a scan's verdicts were other than those of the scan before."""

    id: int
    column: ColumnPlace
    entity_type: EntityType
    change: Annotated[str, Meta(description="found, gone or changed")]
    detail: Annotated[dict[str, Any], Meta(description="Scope and operator, `from` and `to`.")]
    run_id: RunId
    at: Time


class PiiChangePage(msgspec.Struct):
    """A page of changes, newest first."""

    items: list[PiiChange]
    next_cursor: NextCursor


PolicyName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Name of a policy.", examples=["research"]
    ),
]
_ByEntity = Annotated[
    dict[str, str],
    Meta(description="Operator by entity type, where it is another than the built-in policy's."),
]
_ByColumn = Annotated[
    dict[str, str],
    Meta(description="Operator by column, or by leaf of a JSON column (`address.city`)."),
]


class PiiPolicyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a policy says; what it leaves out is as in the built-in one, which masks everything."""

    entities: _ByEntity = {}
    columns: _ByColumn = {}


class PiiPolicy(msgspec.Struct):
    """A policy."""

    name: PolicyName
    entities: _ByEntity
    columns: _ByColumn
    operators: Annotated[
        dict[str, Operator], Meta(description="What becomes of each entity type under it.")
    ]
    connections: Annotated[list[ConnectionName], Meta(description="Those that go by it.")]
    actor: Annotated[
        str | None, Meta(description="Who gave it its present form; null: it is built in.")
    ]
    created_at: Time | None
    updated_at: Time | None


class PiiPolicyPage(msgspec.Struct):
    """A page of policies, by name."""

    items: list[PiiPolicy]
    next_cursor: NextCursor


class PiiPolicyRemoved(msgspec.Struct):
    """The policy that was deleted."""

    name: PolicyName


class PiiDecryptRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Encrypted values that somebody has to read."""

    dataset: DatasetName
    column: Annotated[str, Meta(min_length=1, max_length=63, description="Where they stand.")]
    values: Annotated[
        list[Annotated[str, Meta(max_length=100_000)]],
        Meta(min_length=1, max_length=100, description="As they stand there: `enc_…`, or in text."),
    ]
    why: Annotated[str, Meta(min_length=1, max_length=1000, description="For others to read.")]


class PiiDecrypted(msgspec.Struct):
    """What they were before they were encrypted, in their order."""

    values: list[str]


class PiiFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many at once."""

    limit: Annotated[int, Meta(ge=1, le=200, description="Most entries on a page.")] = 50
    cursor: Cursor = None
