"""Notifications: who is told of what happens, and what became of it. For admins. The secret that
signs messages stands in the answer to the form that made it, and nowhere else; the URL of Slack
nowhere."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, g, request

from atlas.errors import Conflict, UsageError
from atlas.ledger import paging
from atlas.ledger import webhooks as ledger
from atlas.model import digest
from atlas.model.webhooks import DIGEST, TEST, Event, Kind
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
    Event.RUN_RECOVERED: "a run succeeded after one that failed or was stopped",
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
    "not-set": "no mail server is set",
    "greeting": "the mail server takes nothing",
    "unavailable": "the mail server takes nothing now",
    "login": "the mail server does not let us in",
    "sender": "the mail server does not take our sender",
    "recipient": "the mail server does not take the address",
    "message": "the mail server does not take the message",
    "redirect": "it leads elsewhere",
    "internal": "an error of Atlas itself: see the log of the worker on queue control",
}
"""Why an attempt failed, in words."""


def webhooks() -> Response:
    """All of them."""
    return _listed()


def create() -> Response:
    """Make one, and show the secret that signs its messages."""
    from atlas.sync import webhooks as use

    given = _given()
    kind = request.form.get("kind", Kind.WEBHOOK.value)
    given["kind"] = kind
    try:
        values = {"url": None, **_values(kind)}
        with transaction() as conn:
            made = use.create(
                conn, settings(), given["name"], actor=g.key.actor, kind=kind, **values
            )
    except (UsageError, Conflict) as error:
        if kind == Kind.SLACK:  # it is a secret
            given["url"] = ""
        return _listed(422, error=_said(error, kind), given=given)
    return _listed(made=made)


def webhook(name: str) -> Response:
    """One, with what it was told and what came back."""
    return _one(name)


def change(name: str) -> Response:
    """Send it elsewhere, or tell it of other things."""
    from atlas.sync import webhooks as use

    try:
        with transaction() as conn:
            kind = ledger.get(conn, name)["kind"]
            changes = _values(kind)
            if kind == Kind.SLACK and not changes["url"]:  # it stays as it is
                del changes["url"]
            if kind != Kind.WEBHOOK:
                changes.setdefault("quiet_hours", None)
            use.change(conn, settings(), name, changes, actor=g.key.actor)
    except UsageError as error:
        given = _given() | ({"url": ""} if kind == Kind.SLACK else {})
        return _one(name, 422, error=_said(error, kind), given=given)
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
    said = {part: form.get(part, "").strip() for part in ("name", "url", "to", "group", *_QUIET)}
    return {**said, "events": form.getlist("event")}


_LABELS = {
    "name": "Name",
    "url": "URL",
    "addresses": "Addresses",
    "events": "Told when",
    "group_seconds": "Seconds that are one message",
    "quiet_hours": "Quiet hours",
}


def _said(error: Exception, kind: str) -> str:
    """An error by what the form calls its field."""
    field, colon, what = str(error).partition(": ")
    if not colon or field not in _LABELS:
        return str(error)
    if field == "name":
        what = "it must be a small letter, then up to 39 small letters, digits, _ or -"
    of_slack = field == "url" and kind == Kind.SLACK
    return f"{_LABELS[field]}{' of the incoming webhook' if of_slack else ''}: {what}"


_QUIET = ("quiet_from", "quiet_to", "quiet_zone")


def _values(kind: str) -> dict[str, Any]:
    """What a form says of a receiver of this kind; fields that are for others are passed over."""
    said = _given()
    values: dict[str, Any] = {"events": said["events"]}
    if kind == Kind.EMAIL:
        values["addresses"] = said["to"].replace(",", " ").split()
    else:
        values["url"] = said["url"]
    if kind == Kind.WEBHOOK:
        return values
    if said["group"]:
        if not (said["group"].isascii() and said["group"].isdecimal()):
            raise UsageError("group_seconds: it must be a whole number of seconds")
        values["group_seconds"] = int(said["group"][:9])
    start, end, zone = (said[part] for part in _QUIET)
    if (start == "") != (end == ""):
        raise UsageError("quiet_hours: say both From and To, or neither")
    if start:
        values["quiet_hours"] = {"from": start, "to": end, "timezone": zone or "UTC"}
    return values


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """What stands in the fields of one that is there."""
    quiet = found["quiet_hours"] or {}
    return {
        **found,
        "url": "" if found["kind"] == Kind.SLACK else found["url"],
        "to": " ".join(found["addresses"] or ()),
        "group": found["group_seconds"],
        **{part: quiet.get(word, "") for part, word in zip(_QUIET, _WORDS, strict=True)},
    }


_WORDS = ("from", "to", "timezone")


def _listed(status: int = 200, **more: Any) -> Response:
    with transaction() as conn:
        items = ledger.listed(conn)
    context = {"given": {}, "error": None, "made": None, **more}
    kind = context["given"].get("kind") or request.args.get("kind", "")
    return render(
        "settings_webhooks.html",
        status,
        items=items,
        events=EVENTS,
        kind=kind if kind in list(Kind) else Kind.WEBHOOK.value,
        mail=settings().smtp_host is not None,
        **context,
    )


def _one(name: str, status: int = 200, **more: Any) -> Response:
    cursor = request.args.get("cursor") or None
    with transaction() as conn:
        found = ledger.get(conn, name)
        after = paging.before(cursor)
        told = ledger.deliveries(conn, name, limit=_PER_PAGE + 1, after=after)
    page = paging.page(told, _PER_PAGE)
    context = {"given": _shown(found), "error": None, **more}
    return render(
        "settings_webhook.html",
        status,
        hook=found,
        events=EVENTS,
        errors=ERRORS,
        deliveries=[{**each, "text": _text(found, each)} for each in page["items"]],
        next_cursor=page["next_cursor"],
        first=cursor is None,
        **context,
    )


def _text(found: dict[str, Any], delivery: dict[str, Any]) -> str:
    """What is sent."""
    kind, payload = delivery["kind"], delivery["payload"]
    if found["kind"] == Kind.WEBHOOK or kind not in (DIGEST, TEST):
        return json.dumps(payload, indent=2, ensure_ascii=False)
    data = payload["data"]
    words = digest.text(kind, data, settings().public_url)
    return f"Atlas: {digest.subject(kind, data)}\n\n{words}"


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
