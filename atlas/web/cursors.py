"""Cursors of lists: each holds for the list, the order and the filters that it came from.

With another order or other filters the page behind a cursor would leave things out or give them
twice, and nobody would notice. So a mark of what was asked for stands behind each.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from flask import g, request

from atlas.errors import UsageError


def take(query: msgspec.Struct) -> None:
    """Where ``query`` asks for a list, leave of its cursor what the list itself made of it.

    Raises:
        UsageError: the cursor is not of this list, in this order, with these filters.
    """
    if "cursor" not in query.__struct_fields__:
        return
    asked = msgspec.to_builtins(query)
    given = asked.pop("cursor")
    del asked["limit"]
    text = msgspec.json.encode([request.path, sorted(asked.items())])
    g.cursor_mark = hashlib.blake2s(text, digest_size=6).hexdigest()
    if given is None:
        return
    plain, _, mark = given.rpartition(".")
    if mark != g.cursor_mark:
        raise UsageError(
            "cursor: it is no `next_cursor` of this list with the same sort and filters: send "
            "those that it came with, or leave it out to begin anew"
        )
    query.cursor = plain  # type: ignore[attr-defined]  # there is one: see above


def marked(document: Any) -> Any:
    """``document``, with its ``next_cursor`` marked if it answers a request for a list."""
    mark = g.get("cursor_mark")
    if mark is None or document.get("next_cursor") is None:
        return document
    return {**document, "next_cursor": f"{document['next_cursor']}.{mark}"}
