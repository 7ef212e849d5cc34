"""What the HTTP interface takes and gives of the catalog of datasets, as types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from atlas.model.personal import Operator
from atlas.model.stage import Status
from atlas.model.stream import ColumnType
from atlas.web.models import ConnectionName, Count, Cursor, DatasetName, NextCursor, RunId, Time
from atlas.web.pii_models import ColumnPlace, EntityType

Layer = Literal["explore", "chart", "navigate"]
TableName = Annotated[
    str, Meta(description="Name of its table in the layer.", examples=["shop_users"])
]
_Description = Annotated[
    str | None, Meta(description="What people say it is; where they do not, what its source says.")
]
_Source = Annotated[str | None, Meta(description="What its source says it is.")]
_Owner = Annotated[str | None, Meta(description="Who answers for it.")]
_Tags = Annotated[list[str], Meta(description="In the order of the alphabet.")]
_Personal = Annotated[list[EntityType], Meta(description="What its last scan found.")]
_Estimate = Annotated[
    Count | None, Meta(description="PostgreSQL's estimate of its rows; null: it has none yet.")
]
_LoadedAt = Annotated[
    Time | None, Meta(description="When a run last ended bringing this table up to date.")
]
_Score = Annotated[
    Annotated[float, Meta(ge=0, le=1)] | None,
    Meta(description="Overall score of the last run that checked it."),
]
_Status = Annotated[Status | None, Meta(description="Of its stream in the last run.")]
_By = Annotated[str | None, Meta(description="Who said last what people say.")]


class DatasetSummary(msgspec.Struct):
    """A table that holds a dataset."""

    dataset: DatasetName
    layer: Layer
    name: TableName
    connection: ConnectionName
    stream: str
    namespace: str | None
    description: _Description
    owner: _Owner
    tags: _Tags
    estimated_rows: _Estimate
    loaded_at: _LoadedAt
    status: _Status
    quality_score: _Score
    personal: _Personal


class DatasetPage(msgspec.Struct):
    """A page of datasets."""

    items: list[DatasetSummary]
    next_cursor: NextCursor


class DatasetFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which datasets, and how many at once."""

    layer: Annotated[Layer | None, Meta(description="Only those of this layer.")] = None
    connection: Annotated[str | None, Meta(description="Only those of this connection.")] = None
    q: Annotated[
        Annotated[str, Meta(max_length=1000)] | None,
        Meta(
            description="Only those with these words in names, columns, descriptions, owner or "
            'tags, the best match first. `"a phrase"`, `-not` and `or` as in a web search.',
        ),
    ] = None
    tag: Annotated[str | None, Meta(description="Only those with this tag.")] = None
    owner: Annotated[str | None, Meta(description="Only those of this owner.")] = None
    sort: Annotated[
        Literal["name", "-name"] | None,
        Meta(
            description="By name, then by layer, or, with a minus, the other way; left out: by "
            "name, or, with `q`, the best match first."
        ),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Most entries on a page.")] = 50
    cursor: Cursor = None


class DatasetLayer(msgspec.Struct):
    """The dataset's table in a layer."""

    layer: Layer
    name: TableName
    rows: Annotated[Count | None, Meta(description="Counted; null: more than 100,000.")]
    estimated_rows: _Estimate
    loaded_at: _LoadedAt


class DatasetPersonal(msgspec.Struct):
    """Something personal in a column, by the last scan."""

    column: ColumnPlace
    entity_type: EntityType
    operator: Operator


class DatasetColumn(msgspec.Struct):
    """A column of the stream. In explore it is a property of `data`."""

    name: str
    property: Annotated[str, Meta(description="What its source calls it.")]
    type: ColumnType
    description: _Description
    source_description: _Source
    described_by: _By
    described_at: Time | None
    personal: list[DatasetPersonal]


class DatasetQuality(msgspec.Struct):
    """How good it was when it was last checked."""

    score: _Score
    run_id: RunId
    checked_at: Time
    status: Annotated[str, Meta(pattern="^(succeeded|blocked)$", description="Of the gate.")]


class DatasetRunRows(msgspec.Struct):
    """Rows that a run read, promoted and set aside, as it counted them."""

    explore: Count
    promoted: Count
    quarantined: Count


class DatasetRun(msgspec.Struct):
    """A run of the stream."""

    run_id: RunId
    trigger: str
    status: Annotated[Status, Meta(description="Of the stream.")]
    created_at: Time
    finished_at: Time | None
    rows: DatasetRunRows


class Dataset(msgspec.Struct):
    """What is known and said of a dataset."""

    dataset: DatasetName
    connection: ConnectionName
    stream: str
    namespace: str | None
    description: _Description
    source_description: _Source
    owner: _Owner
    tags: _Tags
    described_by: _By
    described_at: Time | None
    layers: Annotated[list[DatasetLayer], Meta(description="The one that was asked for.")]
    columns: list[DatasetColumn]
    personal: _Personal
    quality: DatasetQuality | None
    status: _Status
    runs: Annotated[list[DatasetRun], Meta(description="The last ones, newest first.")]


class DatasetChange(msgspec.Struct, forbid_unknown_fields=True):
    """What to say of a dataset; what is left out stays, null takes back what was said."""

    description: Annotated[str | UnsetType | None, Meta(description="Up to 5,000 characters.")] = (
        UNSET
    )
    owner: Annotated[str | UnsetType | None, Meta(description="Up to 200 characters.")] = UNSET
    tags: Annotated[
        list[str] | UnsetType,
        Meta(
            description="All that there shall be, up to 50: lower-case letters, digits and `. _ : "
            "-`, up to 50 each."
        ),
    ] = UNSET
    columns: Annotated[
        dict[str, str | None] | UnsetType, Meta(description="Descriptions of these columns.")
    ] = UNSET


class DatasetSampleFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many rows, and of explore why."""

    limit: Annotated[int, Meta(ge=1, le=100, description="Most rows.")] = 10
    why: Annotated[
        Annotated[str, Meta(max_length=1000)] | None,
        Meta(
            description="Of explore, which is not masked: the reason, for others to read.",
        ),
    ] = None


class DatasetRow(msgspec.Struct):
    """A row."""

    row: Annotated[dict[str, str | None], Meta(description="Its values as PostgreSQL writes them.")]
    cut: Annotated[
        list[str], Meta(description="Columns of which only the first 500 characters are shown.")
    ]


class DatasetSample(msgspec.Struct):
    """Some rows of a dataset in a layer."""

    dataset: DatasetName
    layer: Layer
    name: TableName
    masked: Annotated[bool, Meta(description="False: as their source sent them.")]
    items: list[DatasetRow]
