"""Which type a column gets from a JSON schema, and what it becomes when schemas disagree."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import reduce
from typing import Any

from atlas.model.stream import ColumnType

_DATETIME = {
    "timestamp_with_timezone": ColumnType.TIMESTAMPTZ,
    "timestamp_without_timezone": ColumnType.TIMESTAMP,
    "time_with_timezone": ColumnType.TIMETZ,
    "time_without_timezone": ColumnType.TIME,
}
_FORMAT = {
    "date": ColumnType.DATE,
    "date-time": ColumnType.TIMESTAMPTZ,
    # RFC 3339's full-time, which JSON schema means, has an offset
    "time": ColumnType.TIMETZ,
}
TEMPORAL = frozenset(
    (
        ColumnType.DATE,
        ColumnType.TIME,
        ColumnType.TIMETZ,
        ColumnType.TIMESTAMP,
        ColumnType.TIMESTAMPTZ,
    )
)


def column_type(schema: Any) -> ColumnType:
    """The type that holds every value ``schema`` allows without loss.

    ``null`` never counts. Several types become the widest of them (:func:`widen`); where the
    schema names none, anything may come, and jsonb holds anything.
    """
    found = _types(schema)
    return reduce(widen, found) if found else ColumnType.JSONB


def schema_of(kind: ColumnType) -> dict[str, Any]:
    """A schema whose :func:`column_type` is ``kind``."""
    match kind:
        case ColumnType.BOOLEAN:
            return {"type": "boolean"}
        case ColumnType.BIGINT:
            return {"type": "integer"}
        case ColumnType.NUMERIC:
            return {"type": "number"}
        case ColumnType.TEXT:
            return {"type": "string"}
        case ColumnType.DATE:
            return {"type": "string", "format": "date"}
        case ColumnType.JSONB:
            return {}
    (said,) = (name for name, each in _DATETIME.items() if each == kind)
    return {"type": "string", "airbyte_type": said}


def _types(schema: Any) -> list[ColumnType]:
    """Types of the values that ``schema`` allows besides null."""
    if not isinstance(schema, dict):
        return []
    declared = schema.get("type")
    kinds = [declared] if isinstance(declared, str) else declared
    if isinstance(kinds, list) and any(kind != "null" for kind in kinds):
        return [_type(kind, schema) for kind in kinds if kind != "null"]
    found: list[ColumnType] = []
    for word in ("oneOf", "anyOf", "allOf"):
        options = schema.get(word)
        for option in options if isinstance(options, list) else ():
            if isinstance(option, dict) and option.get("type") == "null":
                continue
            # an option that says nothing allows everything
            found += _types(option) or [ColumnType.JSONB]
    if not found and not kinds:
        found = [_of_value(value) for value in _values(schema) if value is not None]
    return found


def _type(kind: Any, schema: dict[str, Any]) -> ColumnType:
    airbyte = schema.get("airbyte_type")
    match kind:
        case "boolean":
            return ColumnType.BOOLEAN
        case "integer":
            return ColumnType.NUMERIC if airbyte == "big_integer" else ColumnType.BIGINT
        case "number":
            return ColumnType.BIGINT if airbyte == "integer" else ColumnType.NUMERIC
        case "string":
            if airbyte in ("big_integer", "big_number"):
                return ColumnType.NUMERIC
            if isinstance(airbyte, str) and airbyte in _DATETIME:
                return _DATETIME[airbyte]
            said = schema.get("format")
            return _FORMAT.get(said, ColumnType.TEXT) if isinstance(said, str) else ColumnType.TEXT
    return ColumnType.JSONB


def _values(schema: dict[str, Any]) -> list[Any]:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else []


def _of_value(value: Any) -> ColumnType:
    match value:
        case bool():
            return ColumnType.BOOLEAN
        case int():
            return ColumnType.BIGINT
        case float():
            return ColumnType.NUMERIC
        case str():
            return ColumnType.TEXT
    return ColumnType.JSONB


def nullable(schema: Any) -> bool:
    """Whether ``schema`` allows null."""
    if not isinstance(schema, dict):
        return True
    declared = schema.get("type")
    if isinstance(declared, str):
        return declared == "null"
    if isinstance(declared, list):
        return "null" in declared
    options: Iterable[Any] = [
        option
        for word in ("oneOf", "anyOf")
        if isinstance(schema.get(word), list)
        for option in schema[word]
    ]
    if options:
        return any(nullable(option) for option in options)
    values = _values(schema)
    return None in values if values else True


def enum(schema: dict[str, Any]) -> tuple[str, ...]:
    """The values that ``schema`` enumerates, as the texts that a column of texts holds."""
    return tuple(
        value if isinstance(value, str) else json.dumps(value)
        for value in _values(schema)
        if value is not None
    )


def widen(old: ColumnType, new: ColumnType) -> ColumnType:
    """The narrowest type that holds the values of both without loss.

    Whole numbers fit decimals, every scalar has its text, and jsonb holds anything. A date does
    not become a timestamp: it names no instant.
    """
    if old == new:
        return old
    if ColumnType.JSONB in (old, new):
        return ColumnType.JSONB
    if {old, new} == {ColumnType.BIGINT, ColumnType.NUMERIC}:
        return ColumnType.NUMERIC
    return ColumnType.TEXT
