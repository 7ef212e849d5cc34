"""What the values of a table in chart are like: counts, and the values of columns that have few."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.layers import database
from atlas.model.profile import ColumnProfile
from atlas.model.stream import ColumnType

MOST_ROWS = 100_000
"""Rows that are looked at: a page here and there of a larger table."""

MOST_VALUES = 20
"""A column with more has no list of values."""

_NUMBERS = (ColumnType.BIGINT, ColumnType.NUMERIC)


def profile(
    cur: extensions.cursor,
    table: str,
    patterns: Mapping[str, str],
    *,
    seconds: float = math.inf,
) -> tuple[int, list[ColumnProfile], list[str]]:
    """How many rows of ``chart.<table>`` were looked at, what its columns are like, and which
    columns were not looked at because the time was over.

    Args:
        patterns: regular expressions of PostgreSQL, by name, that texts may match.
        seconds: after so many no other column is begun.
    """
    until = time.monotonic() + seconds
    columns = database.existing(cur, "chart", table)
    rows = _rows(cur, table)
    found = []
    left_out = []
    counted = 0
    for name, column in columns.items():
        if name.startswith("_atlas_"):
            continue
        if time.monotonic() > until:
            left_out.append(name)
            continue
        kind = column.type
        counted, each = _column(cur, rows, name, kind, patterns if kind is ColumnType.TEXT else {})
        found.append(each)
    return counted, found, left_out


def _rows(cur: extensions.cursor, table: str) -> Composable:
    """The rows to look at: all, or some pages of a large table."""
    cur.execute(
        "SELECT greatest(c.reltuples, 0) FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname = 'chart' AND c.relname = %s",
        (table,),
    )
    row = cur.fetchone()
    about = float(row[0]) if row else 0.0
    some: Composable = SQL("")
    if about > MOST_ROWS:
        # Always the same, so that asking twice suggests the same.
        some = SQL(" TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(
            Literal(100 * MOST_ROWS / about)
        )
    return SQL("(SELECT * FROM {}{} LIMIT {}) looked_at").format(
        Identifier("chart", table), some, Literal(MOST_ROWS)
    )


def _column(
    cur: extensions.cursor,
    rows: Composable,
    name: str,
    kind: ColumnType,
    patterns: Mapping[str, str],
) -> tuple[int, ColumnProfile]:
    column = Identifier(name)
    text = kind is ColumnType.TEXT
    asked: list[Composable] = [
        SQL("count(*)"),
        SQL("count({})").format(column),
        SQL("count(DISTINCT {}::text)").format(column),
        SQL("count(*) FILTER (WHERE {} < 0)").format(column) if kind in _NUMBERS else SQL("0"),
        SQL("min(length({}))").format(column) if text else SQL("NULL"),
        SQL("max(length({}))").format(column) if text else SQL("NULL"),
    ]
    asked += [
        SQL("count(*) FILTER (WHERE {} ~ {})").format(column, Literal(pattern))
        for pattern in patterns.values()
    ]
    cur.execute(SQL("SELECT {} FROM {}").format(SQL(", ").join(asked), rows))
    counted: tuple[Any, ...] = cur.fetchone() or ()
    total, given, distinct, negative, shortest, longest, *matching = counted
    values: dict[str, int] = {}
    if text and 0 < distinct <= MOST_VALUES:
        cur.execute(
            SQL(
                "SELECT {0}, count(*) FROM {1} WHERE {0} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
            ).format(column, rows)
        )
        values = dict(cur.fetchall())
    return total, ColumnProfile(
        name,
        kind,
        given,
        distinct,
        negative,
        shortest,
        longest,
        dict(zip(patterns, matching, strict=True)),
        values,
    )
