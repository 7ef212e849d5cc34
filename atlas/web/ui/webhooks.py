"""Webhooks: who is told of what happens, and what became of it. For admins. The secret that signs
messages stands in the answer to the form that made it, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, g, request

from atlas.errors import Conflict, UsageError
from atlas.ledger import paging
from atlas.ledger import webhooks as ledger
from atlas.model.webhooks import Event
from atlas.roles import Role
from atlas.web.database import settings, transaction
from atlas.web.ui.pages import Page, go, render

_LIST = "/settings/webhooks"
_PER_PAGE = 50
EVENTS = {
    Event.RUN_SUCCEEDED: "a run succeeded",
    Event.RUN_FAILED: "a run failed",
    Event.RUN_BLOCKED: "a check stopped a run",
    Event.RUN_CANCELLED: "somebody cancelled a run",
    Event.SCHEMA_CHANGED: "a source has other columns or streams than before",
    Event.PERSONAL_DATA_FOUND: "a scan found personal data where there were none before",
}
"""What a webhook can be told of, in words."""

ERRORS = {
    "name": "the name cannot be resolved",
    "address-refused": "the address is private",
    "connection": "nobody answers there",
    "tls": "no secure connection",
    "timeout": "no answer in time",
    "no-http": "it speaks no HTTP",
    "redirect": "it leads elsewhere",
}
"""Why an attempt failed, in words."""


def webhooks() -> Response:
    """All of them."""
    return _listed()


def create() -> Response:
    """Make one, and show the secret that signs its messages."""
    from atlas.sync import webhooks as use

    given = _given()
    try:
        with transaction() as conn:
            made = use.create(
                conn, settings(), given["name"], given["url"], given["events"], actor=g.key.actor
            )
    except (UsageError, Conflict) as error:
        return _listed(422, error=str(error), given=given)
    return _listed(made=made)


def webhook(name: str) -> Response:
    """One, with what it was told and what came back."""
    return _one(name)


def change(name: str) -> Response:
    """Send it elsewhere, or tell it of other things."""
    from atlas.sync import webhooks as use

    given = _given()
    try:
        with transaction() as conn:
            changes = {"url": given["url"], "events": given["events"]}
            use.change(conn, settings(), name, changes, actor=g.key.actor)
    except UsageError as error:
        return _one(name, 422, error=str(error), given=given)
    return go(f"{_LIST}/{name}", f"Webhook {name} was changed.")


def enable(name: str) -> Response:
    """Have it told again."""
    return _switched(name, True, "It is told of what happens from now on.")


def disable(name: str) -> Response:
    """Have it told nothing more; what waits for it is given up."""
    return _switched(name, False, f"Webhook {name} gets nothing more.")


def test(name: str) -> Response:
    """Send it a message that means nothing."""
    try:
        with transaction() as conn:
            ledger.test(conn, name, actor=g.key.actor)
    except Conflict as error:
        return go(f"{_LIST}/{name}", f"Not sent: {error}.", "warn")
    return go(f"{_LIST}/{name}", "A test message is on its way: reload to see what became of it.")


def delete(name: str) -> Response:
    """Take it away, with all that waits for it."""
    with transaction() as conn:
        ledger.delete(conn, name, actor=g.key.actor)
    return go(_LIST, f"Webhook {name} is gone.")


def _switched(name: str, enabled: bool, words: str) -> Response:
    from atlas.sync import webhooks as use

    with transaction() as conn:
        use.change(conn, settings(), name, {"enabled": enabled}, actor=g.key.actor)
    return go(f"{_LIST}/{name}", words)


def _given() -> dict[str, Any]:
    form = request.form
    return {
        "name": form.get("name", "").strip(),
        "url": form.get("url", "").strip(),
        "events": form.getlist("event"),
    }


def _listed(status: int = 200, **more: Any) -> Response:
    with transaction() as conn:
        items = ledger.listed(conn)
    context = {"given": {}, "error": None, "made": None, **more}
    return render("settings_webhooks.html", status, items=items, events=EVENTS, **context)


def _one(name: str, status: int = 200, **more: Any) -> Response:
    cursor = request.args.get("cursor") or None
    with transaction() as conn:
        found = ledger.get(conn, name)
        after = paging.before(cursor)
        told = ledger.deliveries(conn, name, limit=_PER_PAGE + 1, after=after)
    page = paging.page(told, _PER_PAGE)
    context = {"given": found, "error": None, **more}
    return render(
        "settings_webhook.html",
        status,
        hook=found,
        events=EVENTS,
        errors=ERRORS,
        deliveries=[{**each, "text": _text(each["payload"])} for each in page["items"]],
        next_cursor=page["next_cursor"],
        first=cursor is None,
        **context,
    )


def _text(payload: Any) -> str:
    return json.dumps(payload, indent=2, ensure_ascii=False)


PAGES = [
    Page(_LIST, Role.ADMIN, webhooks),
    Page(_LIST, Role.ADMIN, create, ("POST",)),
    Page(f"{_LIST}/<name>", Role.ADMIN, webhook),
    Page(f"{_LIST}/<name>", Role.ADMIN, change, ("POST",)),
    Page(f"{_LIST}/<name>/enable", Role.ADMIN, enable, ("POST",)),
    Page(f"{_LIST}/<name>/disable", Role.ADMIN, disable, ("POST",)),
    Page(f"{_LIST}/<name>/test", Role.ADMIN, test, ("POST",)),
    Page(f"{_LIST}/<name>/delete", Role.ADMIN, delete, ("POST",)),
]
