"""What there is to read in a database: tables and views, their columns and keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import extensions

from atlas.connectors.sources.postgres_types import CURSORS, Mapped, Type, json_schema, map_type
from atlas.connectors.sources.speak import SourceError

_TYPES = """
SELECT oid, typname, typtype, typcategory, typbasetype, typelem,
       typnamespace = 'pg_catalog'::regnamespace
FROM pg_catalog.pg_type
"""
# Tables, views, materialized views, foreign and partitioned tables; a partition is read through its
# parent. What may not be read is no stream.
_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, a.atttypid, a.attnotnull, coalesce(i.place, 0)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
     AND NOT a.attisdropped AND has_column_privilege(c.oid, a.attnum, 'SELECT')
LEFT JOIN LATERAL (
    SELECT k.place FROM pg_catalog.pg_index x, unnest(x.indkey) WITH ORDINALITY k(attnum, place)
    WHERE x.indrelid = c.oid AND x.indisprimary AND k.attnum = a.attnum
      AND k.place <= x.indnkeyatts) i ON true
WHERE n.nspname = ANY(%(schemas)s) AND (%(table)s::text IS NULL OR c.relname = %(table)s)
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (NOT c.relispartition OR %(table)s::text IS NOT NULL)
  AND has_schema_privilege(n.oid, 'USAGE')
  AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'))
ORDER BY n.nspname, c.relname, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that may be read."""

    name: str
    mapped: Mapped
    not_null: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view that may be read; ``key`` are the columns of its primary key, in order."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def stream(self) -> dict[str, Any]:
        """As an AirbyteStream."""
        modes = ["full_refresh"]
        if any(column.mapped.base in CURSORS for column in self.columns):
            modes.append("incremental")
        return {
            "name": self.name,
            "namespace": self.schema,
            "json_schema": {
                "type": "object",
                "properties": {
                    column.name: json_schema(column.mapped, not_null=column.not_null)
                    for column in self.columns
                },
            },
            "supported_sync_modes": modes,
            "source_defined_primary_key": [[name] for name in self.key],
        }


def relations(
    cur: extensions.cursor, schemas: Sequence[str], table: str | None = None
) -> list[Relation]:
    """The relations of ``schemas`` that may be read, or the one called ``table``."""
    cur.execute(_TYPES)
    types = {oid: Type(*rest) for oid, *rest in cur.fetchall()}
    cur.execute(_COLUMNS, {"schemas": list(schemas), "table": table})
    columns: dict[tuple[str, str], list[Column]] = defaultdict(list)
    keys: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for schema, name, column, type_oid, not_null, place in cur.fetchall():
        found = columns[schema, name]
        if column is None:
            continue
        found.append(Column(column, map_type(types, type_oid), not_null))
        if place:
            keys[schema, name][place] = column
    return [
        Relation(schema, name, tuple(found), _key(keys[schema, name]))
        for (schema, name), found in columns.items()
    ]


def relation(cur: extensions.cursor, schema: str, name: str) -> Relation:
    """One relation.

    Raises:
        SourceError: it is not there, or may not be read.
    """
    found = relations(cur, [schema], name)
    if not found:
        raise SourceError(
            f"table {schema}.{name}: it does not exist, or this user may not read it: "
            "GRANT SELECT, or leave the stream out"
        )
    return found[0]


def missing(cur: extensions.cursor, schemas: Sequence[str]) -> list[str]:
    """Those of ``schemas`` that are not there or may not be used."""
    cur.execute(
        "SELECT wanted FROM unnest(%s::text[]) wanted WHERE NOT EXISTS (SELECT FROM"
        " pg_catalog.pg_namespace n WHERE n.nspname = wanted"
        " AND has_schema_privilege(n.oid, 'USAGE'))",
        (list(schemas),),
    )
    return [name for (name,) in cur.fetchall()]


def _key(places: dict[int, str]) -> tuple[str, ...]:
    return tuple(places[place] for place in sorted(places))
