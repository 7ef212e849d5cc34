"""What each type of PostgreSQL is in JSON, and how it gets there without losing anything.

``row_to_json`` writes most types exactly: numbers digit by digit, dates and times in ISO 8601,
arrays and composite types as JSON, everything it does not know as text. What it would write
otherwise than one wants is cast first: ``money`` and ``oid``, which are numbers, and the types of
extensions, which may bring any cast to JSON (PostGIS, hstore) and are sent as their text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ANY = ["object", "array", "string", "number", "boolean"]
_STRING: dict[str, Any] = {"type": ["string"]}
_INTEGER: dict[str, Any] = {"type": ["number"], "airbyte_type": "integer"}
_NUMBER: dict[str, Any] = {"type": ["number"]}
_JSON: dict[str, Any] = {"type": _ANY}


def _instant(said: str, airbyte: str) -> dict[str, Any]:
    return {"type": ["string"], "format": said, "airbyte_type": airbyte}


_SCHEMAS: dict[str, dict[str, Any]] = {
    "bool": {"type": ["boolean"]},
    "int2": _INTEGER,
    "int4": _INTEGER,
    "int8": _INTEGER,
    "oid": _INTEGER,
    "numeric": _NUMBER,
    "float4": _NUMBER,
    "float8": _NUMBER,
    "money": _NUMBER,
    "json": _JSON,
    "jsonb": _JSON,
    "date": {"type": ["string"], "format": "date"},
    "time": _instant("time", "time_without_timezone"),
    "timetz": _instant("time", "time_with_timezone"),
    "timestamp": _instant("date-time", "timestamp_without_timezone"),
    "timestamptz": _instant("date-time", "timestamp_with_timezone"),
}
_CASTS = {"money": "numeric", "oid": "int8"}

CURSORS = {
    "int2": -(2**15),
    "int4": -(2**31),
    "int8": -(2**63),
    "oid": 0,
    "numeric": None,
    "float4": None,
    "float8": None,
    "date": None,
    "timestamp": None,
    "timestamptz": None,
    "text": None,
    "varchar": None,
    "bpchar": None,
    "uuid": None,
}
"""The types that a cursor may have; of integers the least value."""

ENDLESS = {
    "numeric": "Infinity",
    "float4": "Infinity",
    "float8": "Infinity",
    "date": "infinity",
    "timestamp": "infinity",
    "timestamptz": "infinity",
}
"""Cursor types that have values after which none would ever come (NaN is beyond Infinity)."""


@dataclass(frozen=True, slots=True)
class Type:
    """A row of pg_type, as far as it matters here."""

    name: str
    kind: str
    category: str
    base: int
    element: int
    builtin: bool


@dataclass(frozen=True, slots=True)
class Mapped:
    """A column's type in JSON.

    Attributes:
        schema: its JSON schema, without null.
        cast: the type of pg_catalog that its values are cast to first, or None.
        array: whether that is an array of it.
        base: the type's own name below its domains, "" for one that is not of pg_catalog.
        breaks: whether its JSON may have line breaks between its tokens, as ``json`` keeps them.
        nulls: whether a value that is not NULL may be null in JSON.
    """

    schema: dict[str, Any]
    cast: str | None
    array: bool
    base: str
    breaks: bool
    nulls: bool


def map_type(types: Mapping[int, Type], oid: int) -> Mapped:
    """What the type ``oid`` is in JSON."""
    found = types[oid]
    while found.kind == "d":
        found = types[found.base]
    if found.category == "A" and found.element:
        item = map_type(types, found.element)
        while item.array:  # an array of a domain over arrays: JSON in JSON
            item = Mapped(item.schema, None, False, "", item.breaks, item.nulls)
        schema = {"type": ["array"], "items": _nullable(item.schema)}
        return Mapped(schema, item.cast, True, "", item.breaks, False)
    if found.kind == "c":
        return Mapped({"type": ["object"]}, None, False, "", True, False)
    if not found.builtin:
        # An enum and a range have no cast of their own, and are texts all the same.
        return Mapped(_STRING, "text" if found.kind == "b" else None, False, "", False, False)
    return Mapped(
        _SCHEMAS.get(found.name, _STRING),
        _CASTS.get(found.name),
        False,
        found.name,
        found.name == "json",
        found.name in ("json", "jsonb"),
    )


def json_schema(mapped: Mapped, *, not_null: bool) -> dict[str, Any]:
    """The JSON schema of a column."""
    if not_null and not mapped.nulls:
        kinds = mapped.schema["type"]
        return {**mapped.schema, "type": kinds[0] if len(kinds) == 1 else kinds}
    return _nullable(mapped.schema)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": ["null", *schema["type"]]}
