"""Requests of persons: their data found, given out, erased.

What a person is known by stands in bodies of POST alone, in no address, log, flash or title; so an
answer to such a request is the page itself, and only the erasure, which has a number, has its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from flask import Response, g, request

from atlas.errors import NotFound, UsageError
from atlas.ledger import connections, erasures
from atlas.roles import Role
from atlas.web.database import engine, settings, transaction
from atlas.web.ui.pages import Page, go, render

if TYPE_CHECKING:
    from atlas.sync.subjects import Request

_CONNECTIONS = 500
_STREAMS = 200
CONFIRM = "erase"
"""What is typed to have a person's rows erased."""


def form() -> Response:
    """Whom it is about."""
    return _form()


def ask() -> Response:
    """Find, give out or erase a person's rows."""
    from atlas.sync import subjects

    deed = request.form.get("deed", "find")
    try:
        asked = _asked()
        if deed == "erase" and request.form.get("confirm", "").strip().lower() != CONFIRM:
            found = subjects.find(engine(), settings(), asked, actor=g.key.actor)
            return _form(f"nothing was erased: type {CONFIRM} to confirm it", found)
        if deed == "erase":
            done = subjects.erase(engine(), settings(), asked, actor=g.key.actor)
            return go(f"/personal-data/erasures/{done['id']}")
        if deed == "export":
            return _export(subjects.export(engine(), settings(), asked, actor=g.key.actor))
        return _form(None, subjects.find(engine(), settings(), asked, actor=g.key.actor))
    except UsageError as error:
        return _form(str(error))


def erased(number: int) -> Response:
    """What became of an erasure."""
    with transaction() as conn:
        told = erasures.found(conn, number)
    if told is None:
        raise NotFound(f"there is no erasure {number}")
    return render("erasure.html", told=told, streams=told["streams"][:_STREAMS])


def _asked() -> Request:
    from atlas.sync import subjects

    return subjects.request(
        request.form.get("identifiers", "").splitlines(),
        contains=bool(request.form.get("contains")),
        connection=request.form.get("connection") or None,
        columns=request.form.get("columns", "").replace(",", " ").split(),
    )


def _export(found: dict[str, Any]) -> Response:
    # Not through numbers of this language's: what was read comes out to the last digit.
    return Response(
        msgspec.json.encode(found),
        content_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="person.json"'},
    )


def _form(wrong: str | None = None, found: dict[str, Any] | None = None) -> Response:
    with transaction() as conn:
        known = [each["name"] for each in connections.names(conn, limit=_CONNECTIONS)]
    return render(
        "person.html",
        200 if wrong is None else 422,
        form=request.form,
        connections=known,
        wrong=wrong,
        found=found,
        streams=found["streams"][:_STREAMS] if found else [],
        more=max(0, len(found["streams"]) - _STREAMS) if found else 0,
        confirm=CONFIRM,
    )


PAGES = [
    Page("/personal-data/person", Role.PRIVACY, form),
    Page("/personal-data/person", Role.PRIVACY, ask, ("POST",)),
    Page("/personal-data/erasures/<int:number>", Role.PRIVACY, erased),
]
