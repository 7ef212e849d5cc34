"""Pages of what has a number that only grows, newest first: a cursor is the last number given."""

from __future__ import annotations

from typing import Any

from atlas.errors import UsageError


def before(cursor: str | None) -> int | None:
    """The number that those of the next page are smaller than; None: the first page.

    Raises:
        UsageError: the cursor is none that a list returned.
    """
    if cursor is None:
        return None
    # ASCII digits of a bigint: anything longer would be PostgreSQL's to refuse.
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
        raise UsageError("cursor: not one that a list returned; leave it out to begin anew")
    return int(cursor)


def page(items: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """The page of ``items``, of which there is one more than ``limit`` if another page follows."""
    kept = items[:limit]
    return {
        "items": kept,
        "next_cursor": str(kept[-1]["id"]) if len(items) > limit else None,
    }
