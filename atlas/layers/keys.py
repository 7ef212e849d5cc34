"""The primary key and the cursor as SQL over whichever table holds the values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from atlas.errors import TerminalError
from atlas.layers.database import exists, index_names
from atlas.layers.names import fitted
from atlas.model.stream import Column, ColumnType, FieldPath

MOST_BYTES = 2000
"""Longest key, in bytes of its text: an index of PostgreSQL holds no entry above a third of a
page."""

Refer = Callable[[str], Composable]


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a key (or a cursor): a column, or a place inside a jsonb column."""

    column: str
    path: tuple[str, ...]
    kind: ColumnType

    def of(self, refer: Refer) -> Composable:
        """Its value, where ``refer`` gives the expression for a column; text if in a jsonb."""
        return self._inside("({} #>> ARRAY[{}]::text[])", refer)

    def ordered(self, refer: Refer) -> Composable:
        """Its value for comparing which is higher; numbers in a jsonb stay numbers, and texts
        are compared as bytes whatever the database's collation."""
        if self.kind is ColumnType.TEXT:
            return SQL('({} COLLATE "C")').format(refer(self.column))
        return self._inside("nullif({} #> ARRAY[{}]::text[], 'null')", refer)

    def _inside(self, text: str, refer: Refer) -> Composable:
        value = refer(self.column)
        if self.kind is not ColumnType.JSONB:
            return value
        return SQL(text).format(value, SQL(", ").join(Literal(step) for step in self.path))


@dataclass(frozen=True, slots=True)
class Key:
    """A primary key, or none (falsy): then a row is its own key."""

    parts: tuple[Part, ...]

    def __bool__(self) -> bool:
        return bool(self.parts)

    def of(self, refer: Refer) -> list[Composable]:
        """The key's values."""
        return [part.of(refer) for part in self.parts]

    def equal(self, left: Refer, right: Refer) -> Composed:
        """Condition that two rows have the same key, none of it NULL."""
        return SQL(" AND ").join(
            SQL("{} = {}").format(one, other)
            for one, other in zip(self.of(left), self.of(right), strict=True)
        )

    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the key is made of."""
        return tuple(part.column for part in self.parts)

    def index(self, table: str) -> str:
        """Name of the unique index on this key: another key, another name."""
        text = repr(
            [(part.column, part.path, part.kind is ColumnType.JSONB) for part in self.parts]
        )
        return fitted(table, table, "$key_" + hashlib.sha256(text.encode()).hexdigest()[:8])


def key(
    primary_key: tuple[FieldPath, ...],
    columns: tuple[Column, ...],
    types: Mapping[str, ColumnType],
) -> Key:
    """``primary_key`` over a table whose columns have ``types``.

    Raises:
        TerminalError: a field is no property of the stream, or lies inside what is no object.
    """
    return Key(tuple(part(path, columns, types, "primary key") for path in primary_key))


def part(
    path: FieldPath,
    columns: tuple[Column, ...],
    types: Mapping[str, ColumnType],
    what: str,
) -> Part:
    """One field; ``what`` names its use in the error."""
    for column in columns:
        if path and column.property == path[0]:
            kind = types[column.name]
            if len(path) > 1 and kind is not ColumnType.JSONB:
                break
            return Part(column.name, tuple(path[1:]), kind)
    raise TerminalError(
        f"{what} {'.'.join(path) or '(empty)'} is no field of the stream's schema: "
        "set another in the connections file"
    )


def column_of(alias: str) -> Refer:
    """Refers to the columns of the table called ``alias`` in a statement."""

    def refer(name: str) -> Composable:
        return Identifier(alias, name)

    return refer


def bare(name: str) -> Composable:
    """Refers to a column without naming a table, as an index does."""
    return Identifier(name)


def secure(cur: extensions.cursor, schema: str, table: str, key: Key) -> None:
    """Create the unique index on ``key``, in navigate of the current versions, unless it is there.

    Raises:
        psycopg2.errors.UniqueViolation: two rows have the same key.
    """
    if exists(cur, schema, key.index(table)):
        return
    cur.execute(
        SQL("CREATE UNIQUE INDEX {} ON {} ({}){}").format(
            Identifier(key.index(table)),
            Identifier(schema, table),
            SQL(", ").join(SQL("({})").format(value) for value in key.of(bare)),
            SQL(" WHERE is_current" if schema == "navigate" else ""),
        )
    )


def stale_indexes(cur: extensions.cursor, schema: str, table: str, keep: str | None) -> list[str]:
    """Indexes of an earlier primary key."""
    return [name for name in index_names(cur, schema, table) if "$key_" in name and name != keep]
