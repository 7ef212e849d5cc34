"""Pages of lists: what comes after the last item given, in an order that an index serves.

A list is sorted by one column without equals: a number that only grows, or a name.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.errors import UsageError


def before(cursor: str | None) -> int | None:
    """The number that the page before ended with; None: this is the first page.

    Raises:
        UsageError: the cursor is none that a list returned.
    """
    if cursor is None:
        return None
    # ASCII digits of a bigint: anything longer would be PostgreSQL's to refuse.
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
        raise UsageError("cursor: not one that a list returned; leave it out to begin anew")
    return int(cursor)


def behind(
    query: sa.Select[Any], column: sa.ColumnElement[Any], after: int | str | None, *, down: bool
) -> sa.Select[Any]:
    """``query`` sorted by ``column``, from the greatest to the least if ``down``, without what
    comes up to ``after``; None: from the start."""
    if after is not None:
        query = query.where(column < after if down else column > after)
    return query.order_by(column.desc() if down else column)


def page(items: list[dict[str, Any]], limit: int, by: str = "id") -> dict[str, Any]:
    """The page of ``items``, of which there is one more than ``limit`` if another page follows;
    ``by`` is the member that they are sorted by."""
    kept = items[:limit]
    return {
        "items": kept,
        "next_cursor": str(kept[-1][by]) if len(items) > limit else None,
    }
