"""The audit log as a page."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from atlas.ledger import audit, paging
from atlas.roles import Role
from atlas.web.database import transaction
from atlas.web.ui.pages import Page, render

_PER_PAGE = 50
_WORDS = ("actor", "action", "subject")


def show_audit() -> Response:
    """Who did what, newest first; filtered by what the query names."""
    wanted = {name: request.args.get(name, "").strip().replace("\x00", "") for name in _WORDS}
    filters = {name: value for name, value in wanted.items() if value}
    cursor = request.args.get("cursor")
    after = paging.before(cursor)
    with transaction() as conn:
        items = audit.entries(conn, limit=_PER_PAGE + 1, after=after, **filters)
    page = paging.page(items, _PER_PAGE)
    return render(
        "audit.html",
        items=[{**each, "told": _told(each["detail"])} for each in page["items"]],
        next_cursor=page["next_cursor"],
        first=cursor is None,
        wanted=wanted,
        filtered=bool(filters),
        base="/audit" + (f"?{urlencode(filters)}" if filters else ""),
    )


def _told(detail: dict[str, Any]) -> list[tuple[str, str]]:
    """What an entry says beside; a zero, a no and an empty list are said, too."""
    return [
        (name.replace("_", " "), _text(value))
        for name, value in detail.items()
        if value is not None
    ]


def _text(value: Any) -> str:
    """A value as people read it; lists of words without their quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return str(value)
    if not value:
        return "none"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


PAGES = [Page("/audit", Role.PRIVACY, show_audit)]
