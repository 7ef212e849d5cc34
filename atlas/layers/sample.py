"""A look into a table of a layer: some of its rows, and how many there are."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions
from psycopg2.sql import SQL, Identifier, Literal

from atlas.layers import database

LONGEST = 500
"""Most characters that are shown of a value."""

COUNTED = 100_000
"""Most rows that are counted one by one."""

_RAW = ("_atlas_id", "_atlas_emitted_at", "data")


def rows(cur: extensions.cursor, layer: str, table: str, limit: int) -> list[dict[str, Any]]:
    """Some rows of a table: of explore the last that came, of the other layers any.

    Returns:
        ``{"row": {column: str | None}, "cut": [column]}`` each: values as PostgreSQL writes them;
        those of the columns in ``cut`` go on.
    """
    columns = [
        name
        for name in database.existing(cur, layer, table)
        if (name in _RAW if layer == "explore" else not name.startswith("_atlas_"))
    ]
    cur.execute(
        SQL("SELECT {columns} FROM {table}{order} LIMIT {limit}").format(
            columns=SQL(", ").join(
                # One more than is shown tells whether there are more.
                SQL("left({}::text, {})").format(Identifier(name), Literal(LONGEST + 1))
                for name in columns
            ),
            table=Identifier(layer, table),
            order=SQL(" ORDER BY _atlas_id DESC" if layer == "explore" else ""),
            limit=Literal(limit),
        )
    )
    found = []
    for values in cur.fetchall():
        row = dict(zip(columns, values, strict=True))
        cut = [name for name, value in row.items() if value is not None and len(value) > LONGEST]
        found.append({"row": row | {name: row[name][:LONGEST] for name in cut}, "cut": cut})
    return found


def count(cur: extensions.cursor, layer: str, table: str) -> int | None:
    """How many rows a table has; None: more than :data:`COUNTED`."""
    cur.execute(
        SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) one_by_one").format(
            Identifier(layer, table), Literal(COUNTED + 1)
        )
    )
    row = cur.fetchone()
    found = int(row[0]) if row else 0
    return found if found <= COUNTED else None
