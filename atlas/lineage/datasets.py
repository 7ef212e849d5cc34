"""Which datasets a stage reads and writes, and which column comes of which.

The staging table is no dataset: it is dropped with its run. What it passes on from ``explore`` to
``chart`` is told as coming from ``explore``, so that the datasets of the four stages that move
data form one chain: source, explore, chart, navigate.

A property of a raw record is the field ``data.<property>`` of the ``explore`` table: flat, since
the consumers of column lineage match an input field by its name in the schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from atlas.lineage.naming import Identity, Place, source_name, source_namespace
from atlas.model.checks import CheckResult
from atlas.model.personal import Operator, Verdict
from atlas.model.stage import Layer, Stage
from atlas.model.stream import Column, ColumnType, StreamKey


@dataclass(frozen=True, slots=True)
class ColumnCounts:
    """What was counted of a column's values; None: not counted. Never a value."""

    nulls: int | None = None
    distinct: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done to a value on its way from a column to another."""

    subtype: str
    masking: bool = False
    description: str | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream of a run, as far as one stage knows it; what is not known yet is left out.

    Attributes:
        connection: name of the connection.
        connector: name of the connector, or the file name (not the path) of its program.
        stream: the stream.
        raw_name: its table in ``explore``.
        table_name: its table in ``chart`` and ``navigate``.
        quarantine_name: its quarantine in ``chart``.
        columns: its typed columns; empty until ``discover`` has answered.
        masked_types: the types of masked columns in ``chart`` where they differ from the columns'.
        verdicts: what the scan found; a column with one that does not keep its value is masked.
        standing: masks that rows of earlier runs bear in ``chart``, and that hold for this one's.
        rows_read: rows that the stage read, None while not counted.
        rows_written: rows that the stage wrote to its output, None while not counted.
        rows_quarantined: rows that ``chart`` set aside, None while not counted.
        checks: results of the ``quality`` stage.
        metrics: what ``quality`` counted, by name of the typed column.
        sql: the statements that moved its data, without values; None: there are none to tell.
        changes: CREATE or ALTER by table (``chart.shop_users``), where the stage did that.
        owner, tags: what people say of its dataset.
        identities: what the naming rules call what the run's streams are at their source, by
            stream; without those of which that is not known.
    """

    connection: str
    connector: str
    stream: StreamKey
    raw_name: str
    table_name: str
    quarantine_name: str
    columns: tuple[Column, ...] = ()
    masked_types: Mapping[str, ColumnType] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    standing: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    rows_read: int | None = None
    rows_written: int | None = None
    rows_quarantined: int | None = None
    checks: tuple[CheckResult, ...] = ()
    metrics: Mapping[str, ColumnCounts] = field(default_factory=dict)
    sql: str | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    tags: tuple[str, ...] = ()
    identities: Mapping[StreamKey, Identity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tag:
    """What a dataset or a field of it is marked with, and by whom: USER or ATLAS."""

    key: str
    value: str
    source: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """A column that a column comes of."""

    namespace: str
    name: str
    field: str
    steps: tuple[Step, ...]


class _Marks(TypedDict):
    change: str | None
    owner: str | None
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as one event shows it.

    Attributes:
        namespace: its namespace.
        name: its name within that.
        description: one line for a reader.
        fields: its columns and their types (None: not said), in order; empty: schema unknown.
        origins: of an output, the columns that each of its columns comes of.
        rows: rows read of an input or written to an output; None: not counted.
        checks: of an input of ``quality``, what was checked on it, by the names of ``fields``.
        metrics: of an input of ``quality``, what was counted of its ``fields``.
        change: CREATE or ALTER, of an output that the stage did that to.
        owner: who answers for it.
        tags: what people mark it with, and which of its ``fields`` hold what personal data.
        identity: its other name, by the naming rules; None: it has none, or that is not known.
    """

    namespace: str
    name: str
    description: str
    fields: tuple[tuple[str, str | None], ...] = ()
    origins: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
    rows: int | None = None
    checks: tuple[CheckResult, ...] = ()
    metrics: Mapping[str, ColumnCounts] = field(default_factory=dict)
    change: str | None = None
    owner: str | None = None
    tags: tuple[Tag, ...] = ()
    identity: Identity | None = None


# The columns of Atlas's own beside a stream's, by layer, in the order of the tables.
_RAW = (
    ("_atlas_id", "bigint"),
    ("_atlas_run_id", "uuid"),
    ("_atlas_emitted_at", "timestamp with time zone"),
    ("_atlas_loaded_at", "timestamp with time zone"),
    ("data", "jsonb"),
)
_CHART = (
    ("_atlas_id", "bigint"),
    ("_atlas_run_id", "uuid"),
    ("_atlas_emitted_at", "timestamp with time zone"),
    ("_atlas_row_hash", "text"),
    ("_atlas_meta", "jsonb"),
)
_QUARANTINE = (
    ("_atlas_id", "bigint"),
    ("_atlas_run_id", "uuid"),
    ("_atlas_emitted_at", "timestamp with time zone"),
    ("_atlas_checks", "text[]"),
    ("_atlas_reasons", "jsonb"),
)
_NAVIGATE = (
    ("surrogate_key", "bigint"),
    ("valid_from", "timestamp with time zone"),
    ("valid_to", "timestamp with time zone"),
    ("is_current", "boolean"),
    ("_atlas_run_id", "uuid"),
    ("_atlas_row_hash", "text"),
)

_IDENTITY = (Step("IDENTITY"),)


def flow(
    stage: Stage, place: Place, streams: Sequence[StreamInfo]
) -> tuple[list[Dataset], list[Dataset]]:
    """The inputs and the outputs of a stage run over ``streams`` (all of the run for ``explore``,
    one for the others). ``pii`` and ``quality`` only read; ``lineage`` moves no data."""
    inputs: list[Dataset] = []
    outputs: list[Dataset] = []
    for stream in streams:
        match stage:
            case Stage.EXPLORE:
                inputs.append(_source(stream, rows=stream.rows_read))
                outputs.append(_explore(place, stream, rows=stream.rows_written))
            case Stage.PII:
                inputs.append(_explore(place, stream, rows=stream.rows_read))
            case Stage.QUALITY:
                inputs.append(_checked(place, stream))
            case Stage.CHART:
                inputs.append(_explore(place, stream, rows=stream.rows_read))
                outputs.append(_chart(place, stream, rows=stream.rows_written))
                outputs.append(_quarantine(place, stream, rows=stream.rows_quarantined))
            case Stage.NAVIGATE:
                inputs.append(_chart(place, stream, rows=stream.rows_read))
                outputs.append(_navigate(place, stream, rows=stream.rows_written))
            case Stage.LINEAGE:
                pass
    return inputs, outputs


def _source(stream: StreamInfo, rows: int | None) -> Dataset:
    return Dataset(
        namespace=source_namespace(stream.connector),
        name=source_name(stream.connection, stream.stream),
        description=f"Stream {stream.stream} of {stream.connector}",
        fields=tuple((column.property, None) for column in stream.columns),
        rows=rows,
        identity=stream.identities.get(stream.stream),
    )


def _explore(place: Place, stream: StreamInfo, rows: int | None) -> Dataset:
    source = source_namespace(stream.connector), source_name(stream.connection, stream.stream)
    fields: tuple[tuple[str, str | None], ...] = ()
    if stream.columns:
        fields = (*_RAW, *((_raw_field(column), None) for column in stream.columns))
    return Dataset(
        namespace=place.namespace,
        name=place.name(Layer.EXPLORE, stream.raw_name),
        description=f"Records of stream {stream.stream} as the source sent them",
        fields=fields,
        origins={
            _raw_field(column): (Origin(*source, column.property, _IDENTITY),)
            for column in stream.columns
        },
        rows=rows,
        owner=stream.owner,
        tags=_tags(stream, {column.name: _raw_field(column) for column in stream.columns}),
    )


def _checked(place: Place, stream: StreamInfo) -> Dataset:
    # Checked is the typed copy, told is the table it copies: so under that one's names.
    names = {column.name: _raw_field(column) for column in stream.columns}
    return replace(
        _explore(place, stream, rows=stream.rows_read),
        checks=tuple(
            replace(check, column=names.get(check.column or "", check.column))
            for check in stream.checks
        ),
        metrics={names.get(name, name): counts for name, counts in stream.metrics.items()},
    )


def _chart(place: Place, stream: StreamInfo, rows: int | None) -> Dataset:
    return Dataset(
        namespace=place.namespace,
        name=place.name(Layer.CHART, stream.table_name),
        description=f"The present of stream {stream.stream}: typed, checked, masked",
        fields=_typed(stream, _CHART),
        origins=_masked_origins(place, stream),
        rows=rows,
        **_marks(stream, Layer.CHART, stream.table_name),
    )


def _quarantine(place: Place, stream: StreamInfo, rows: int | None) -> Dataset:
    return Dataset(
        namespace=place.namespace,
        name=place.name(Layer.CHART, stream.quarantine_name),
        description=f"Rows of stream {stream.stream} that failed a check, masked, with its name",
        fields=_typed(stream, _QUARANTINE),
        origins=_masked_origins(place, stream),
        rows=rows,
        **_marks(stream, Layer.CHART, stream.quarantine_name),
    )


def _masked_origins(place: Place, stream: StreamInfo) -> dict[str, tuple[Origin, ...]]:
    raw = place.namespace, place.name(Layer.EXPLORE, stream.raw_name)
    kept = ("_atlas_id", "_atlas_run_id", "_atlas_emitted_at") if stream.columns else ()
    return {
        **{
            column.name: (Origin(*raw, _raw_field(column), _steps(column.name, stream)),)
            for column in stream.columns
        },
        **{name: (Origin(*raw, name, _IDENTITY),) for name in kept},
    }


def _navigate(place: Place, stream: StreamInfo, rows: int | None) -> Dataset:
    chart = place.namespace, place.name(Layer.CHART, stream.table_name)
    kept = ("_atlas_run_id", "_atlas_row_hash") if stream.columns else ()
    return Dataset(
        namespace=place.namespace,
        name=place.name(Layer.NAVIGATE, stream.table_name),
        description=f"The history of stream {stream.stream}: one row a version",
        fields=_typed(stream, _NAVIGATE),
        origins={
            name: (Origin(*chart, name, _IDENTITY),)
            for name in (*(column.name for column in stream.columns), *kept)
        },
        rows=rows,
        **_marks(stream, Layer.NAVIGATE, stream.table_name),
    )


def _marks(stream: StreamInfo, layer: Layer, table: str) -> _Marks:
    return {
        "change": stream.changes.get(f"{layer}.{table}"),
        "owner": stream.owner,
        "tags": _tags(stream, {column.name: column.name for column in stream.columns}),
    }


def _tags(stream: StreamInfo, fields: Mapping[str, str]) -> tuple[Tag, ...]:
    """Those of people, and what personal data the scan found, by the fields' names here."""
    personal = {(each.column, each.entity_type) for each in stream.verdicts}
    return (
        *(Tag(tag, "true", "USER") for tag in stream.tags),
        *(
            Tag("pii", entity, "ATLAS", fields[column])
            for column, entity in sorted(personal)
            if column in fields
        ),
    )


def _raw_field(column: Column) -> str:
    return f"data.{column.property}"


def _typed(
    stream: StreamInfo, own: tuple[tuple[str, str | None], ...]
) -> tuple[tuple[str, str | None], ...]:
    if not stream.columns:
        return ()
    kinds = {column.name: column.type for column in stream.columns} | dict(stream.masked_types)
    return (*((column.name, str(kinds[column.name])) for column in stream.columns), *own)


def _steps(column: str, stream: StreamInfo) -> tuple[Step, ...]:
    masks = {
        Step(
            "TRANSFORMATION", masking=True, description=f"{verdict.operator} {verdict.entity_type}"
        )
        for verdict in stream.verdicts
        if verdict.column == column and verdict.operator is not Operator.KEEP
    }
    masks.update(stream.standing.get(column, ()))
    return tuple(sorted(masks, key=lambda step: step.description or "")) or _IDENTITY
