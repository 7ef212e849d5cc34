"""The versions of one key in a table of navigate: what it was, from when until when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from atlas.layers import database
from atlas.layers.keys import Key, column_of
from atlas.layers.sample import LONGEST
from atlas.model.stream import ColumnType

_GREATEST = 2**63


def of_key(
    cur: extensions.cursor, table: str, key: Key, version: int, *, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """The versions of the key that ``version`` is one of, newest first, and whether there are more;
    where the stream has no key, those of equal rows. None at all: there is no such version.

    Args:
        version: its surrogate key.

    Returns:
        ``{"version", "valid_from", "valid_to", "run_id", "row": {column: str | None}, "cut":
        [column], "changed": [column] | None}`` each: values as PostgreSQL writes them, those of
        columns in ``cut`` go on; ``changed`` says where it is other than the version before, None:
        there is none before.
    """
    database.settle(cur)
    columns = [name for name in database.existing(cur, "navigate", table) if name not in _ATLAS]
    same: Composable = SQL("n._atlas_row_hash = o._atlas_row_hash")
    if key:
        same = key.equal(column_of("n"), column_of("o"))
    cur.execute(
        SQL(
            "SELECT surrogate_key, valid_from, valid_to, _atlas_run_id::text,"
            " lag(surrogate_key) OVER versions IS NULL{values} FROM"
            " (SELECT n.* FROM {table} o JOIN {table} n ON {same} WHERE o.surrogate_key = {version}"
            # One more than is shown, to be compared with.
            " ORDER BY n.valid_from DESC, n.surrogate_key DESC LIMIT {limit}) v"
            " WINDOW versions AS (ORDER BY valid_from, surrogate_key)"
            " ORDER BY valid_from DESC, surrogate_key DESC"
        ).format(
            values=SQL("").join(_asked(name) for name in columns),
            table=Identifier("navigate", table),
            same=same,
            version=Literal(version),
            limit=Literal(limit + 1),
        )
    )
    found = cur.fetchall()
    return [_document(columns, *each) for each in found[:limit]], len(found) > limit


_ATLAS = {"surrogate_key", "valid_from", "valid_to", "is_current", "_atlas_row_hash"}


def _asked(name: str) -> Composed:
    return SQL(
        ", left({column}::text, {most}),"
        " {column}::text IS DISTINCT FROM lag({column}::text) OVER versions"
    ).format(column=Identifier(name), most=Literal(LONGEST + 1))


def _document(
    columns: Sequence[str],
    version: int,
    valid_from: Any,
    valid_to: Any,
    run_id: str,
    first: bool,
    *asked: Any,
) -> dict[str, Any]:
    row = dict(zip(columns, asked[::2], strict=True))
    cut = [name for name, text in row.items() if text is not None and len(text) > LONGEST]
    changed = [name for name, other in zip(columns, asked[1::2], strict=True) if other]
    return {
        "version": version,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "run_id": run_id,
        "row": row | {name: row[name][:LONGEST] for name in cut},
        "cut": cut,
        "changed": None if first else changed,
    }


def find(cur: extensions.cursor, table: str, key: Key, values: Sequence[str]) -> int | None:
    """The last version of the key whose parts read like ``values``, as they stand in the table;
    None: there is none."""
    parts = []
    for part, text in zip(key.parts, values, strict=True):
        value = part.of(column_of("n"))
        if part.kind is ColumnType.BIGINT:
            # Compared as what it is, for there is an index on it.
            if (number := _whole(text)) is None:
                return None
            parts.append(SQL("{} = {}").format(value, Literal(number)))
        else:
            written = value if part.kind is ColumnType.TEXT else SQL("{}::text").format(value)
            parts.append(SQL("{} = {}").format(written, Literal(text)))
    database.settle(cur)
    for more in ("n.is_current", "NOT n.is_current"):
        cur.execute(
            SQL(
                "SELECT n.surrogate_key FROM {} n WHERE {} AND {} ORDER BY n.valid_from DESC,"
                " n.surrogate_key DESC LIMIT 1"
            ).format(Identifier("navigate", table), SQL(" AND ").join(parts), SQL(more))
        )
        row = cur.fetchone()
        if row:
            return int(row[0])
    return None


def _whole(text: str) -> int | None:
    try:
        number = int(text.strip())
    except ValueError:
        return None
    return number if -_GREATEST <= number < _GREATEST else None
