"""Airbyte's streams as Atlas sees them: what a source offers and what a connection selects."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

FieldPath = tuple[str, ...]
"""Path of a property inside a record, outermost first, as in Airbyte's cursor_field."""


class SyncMode(StrEnum):
    """How a stream is read."""

    FULL_REFRESH = "full_refresh"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Identity of a stream within its connection; ``namespace`` is None where there is none."""

    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return self.name if self.namespace is None else f"{self.namespace}.{self.name}"


@dataclass(frozen=True, slots=True)
class AvailableStream:
    """A stream of the catalog that ``discover`` returned."""

    key: StreamKey
    json_schema: dict[str, Any]
    supported_sync_modes: tuple[SyncMode, ...] = (SyncMode.FULL_REFRESH,)
    source_defined_cursor: bool = False
    default_cursor_field: FieldPath = ()
    source_defined_primary_key: tuple[FieldPath, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfiguredStream:
    """A stream as one run reads it: the selection of the connection applied to the catalog."""

    key: StreamKey
    json_schema: dict[str, Any]
    sync_mode: SyncMode
    cursor_field: FieldPath = ()
    primary_key: tuple[FieldPath, ...] = ()
    cut: bool = False
    """Whether properties that the schema does not name are left out of the records."""


@dataclass(frozen=True, slots=True)
class StreamSelection:
    """What a connection file says of one stream; None leaves it to the source.

    At most one of ``columns`` (only these properties are read) and ``exclude`` (all but these) is
    set.
    """

    sync_mode: SyncMode | None = None
    cursor_field: FieldPath | None = None
    primary_key: tuple[FieldPath, ...] | None = None
    columns: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A typed column of a stream: property of the record, column of the table.

    Attributes:
        property: name of the record's top-level property, as the source spells it.
        name: name of the column in ``chart`` and ``navigate`` (normalised, unique, < 63 bytes).
        type: the PostgreSQL type it is read as.
        nullable: whether the stream's schema lets the value be null or absent.
        format: JSON schema's ``format``, for the checks ("email", "date-time", …), or None.
        enum: the values that the schema allows, or empty.
        minimum, maximum: bounds (inclusive) that the schema sets on a number, or None.
        pattern: regular expression that the schema sets on a text, or None.
    """

    property: str
    name: str
    type: ColumnType
    nullable: bool = True
    format: str | None = None
    enum: tuple[str, ...] = field(default=())
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    pattern: str | None = None


class ColumnType(StrEnum):
    """The types that Atlas gives columns. Values are PostgreSQL's names for them."""

    BOOLEAN = "boolean"
    BIGINT = "bigint"
    NUMERIC = "numeric"
    TEXT = "text"
    DATE = "date"
    TIME = "time without time zone"
    TIMETZ = "time with time zone"
    TIMESTAMP = "timestamp without time zone"
    TIMESTAMPTZ = "timestamp with time zone"
    JSONB = "jsonb"


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows of a run in one raw table: those of the run with ``first_id <= _atlas_id <= last_id``.

    Rows of other runs may lie between them.
    """

    first_id: int
    last_id: int
    rows: int
