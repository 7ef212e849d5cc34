"""Webhooks: who is told of what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa
from flask import Response, g

from atlas.ledger import paging
from atlas.ledger import webhooks as ledger
from atlas.roles import Role
from atlas.web import etags
from atlas.web.answers import answer
from atlas.web.database import settings, transaction
from atlas.web.models import NoOptions
from atlas.web.operations import Link, Operation, Returns
from atlas.web.webhook_models import (
    Webhook,
    WebhookChange,
    WebhookDelivery,
    WebhookDeliveryPage,
    WebhookFilter,
    WebhookMade,
    WebhookPage,
    WebhookRemoved,
    WebhookRequest,
)

_AT = "2025-03-01T09:00:01Z"
_HOOK: dict[str, Any] = {
    "name": "pager",
    "kind": "webhook",
    "url": "https://hooks.example.org/atlas",
    "addresses": None,
    "events": ["run.blocked", "run.failed"],
    "group_seconds": None,
    "quiet_hours": None,
    "enabled": True,
    "reason": None,
    "waiting": 0,
    "delivered_at": _AT,
    "failed_attempts": 0,
    "failing_since": None,
    "next_attempt_at": None,
    "created_at": "2025-02-01T08:00:00Z",
    "updated_at": "2025-02-01T08:00:00Z",
}
_MADE = {
    **_HOOK,
    "delivered_at": None,
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAfc9cVr6xJk=",
}
_DELIVERY: dict[str, Any] = {
    "id": 17,
    "message_id": "5c4e1f4e-2f7c-4a52-9a4a-4c5c3a1b9f10",
    "kind": "run.failed",
    "payload": {
        "type": "run.failed",
        "timestamp": "2025-03-01T09:00:00Z",
        "data": {
            "run_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "connection": "shop",
            "status": "failed",
        },
    },
    "recipient": None,
    "group_id": None,
    "status": "delivered",
    "created_at": "2025-03-01T09:00:00Z",
    "settled_at": _AT,
    "next_attempt_at": None,
    "log": [{"at": _AT, "status": 204, "milliseconds": 38, "error": None}],
}
_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")


def list_webhooks(query: WebhookFilter) -> Response:
    """A page of webhooks."""
    with transaction() as conn:
        items = ledger.listed(conn, limit=query.limit + 1, after=query.cursor)
    return answer(paging.page(items, query.limit, "name"))


def create_webhook(body: WebhookRequest) -> Response:
    """Make a webhook."""
    from atlas.sync import webhooks

    given = {"url": None, **msgspec.to_builtins(body)}
    with transaction() as conn:
        made = webhooks.create(conn, settings(), actor=g.key.actor, **given)
    return answer(made, 201, {"Location": f"/api/v1/webhooks/{body.name}"})


def get_webhook(webhook: str) -> Response:
    """One webhook."""
    with transaction() as conn:
        found = ledger.get(conn, webhook)
    return etags.shown(found, _tag(found))


def change_webhook(webhook: str, body: WebhookChange) -> Response:
    """Change a webhook."""
    from atlas.sync import webhooks

    with transaction() as conn:
        changed = webhooks.change(
            conn,
            settings(),
            webhook,
            msgspec.to_builtins(body),
            actor=g.key.actor,
            seen=_seen(conn, webhook),
        )
    return answer(changed, headers={"ETag": _tag(changed)})


def delete_webhook(webhook: str) -> Response:
    """Delete a webhook."""
    with transaction() as conn:
        ledger.delete(conn, webhook, actor=g.key.actor, seen=_seen(conn, webhook))
    return answer({"name": webhook})


# Not what became of the messages.
_WORDS = ("url", "addresses", "events", "enabled", "group_seconds", "quiet_hours")


def _tag(webhook: dict[str, Any]) -> str:
    return etags.of(webhook, [webhook[word] for word in _WORDS])


def _seen(conn: sa.Connection, name: str) -> Callable[[], None] | None:
    if not etags.asked():
        return None
    return lambda: etags.see(_tag(ledger.get(conn, name)))


def test_webhook(webhook: str, body: NoOptions) -> Response:
    """Have it told something that means nothing."""
    with transaction() as conn:
        made = ledger.test(conn, webhook, actor=g.key.actor)
    return answer(made, 202, {"Location": f"/api/v1/webhooks/{webhook}/deliveries"})


def list_webhook_deliveries(webhook: str, query: WebhookFilter) -> Response:
    """What it was told."""
    after = paging.before(query.cursor)
    with transaction() as conn:
        items = ledger.deliveries(conn, webhook, limit=query.limit + 1, after=after)
    return answer(paging.page(items, query.limit))


_LINKS = (
    Link(
        "webhook",
        "/name",
        (
            "get_webhook",
            "change_webhook",
            "test_webhook",
            "list_webhook_deliveries",
            "delete_webhook",
        ),
    ),
)

OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/webhooks",
        role=Role.ADMIN,
        tag="Webhooks",
        summary="List webhooks",
        order="by name",
        handler=list_webhooks,
        query=WebhookFilter,
        returns={
            200: Returns(WebhookPage, "A page.", example={"items": [_HOOK], "next_cursor": None})
        },
    ),
    Operation(
        method="POST",
        path="/api/v1/webhooks",
        role=Role.ADMIN,
        tag="Webhooks",
        summary="Create a webhook",
        about="It is told of what happens from now on. Messages to a program are signed as the "
        "Standard Webhooks specification has it: HMAC-SHA256, keyed with the secret of this "
        "answer. People get one message of what happens within `group_seconds`, outside their "
        "`quiet_hours`.",
        handler=create_webhook,
        links=_LINKS,
        body=WebhookRequest,
        body_example={part: _HOOK[part] for part in ("name", "url", "events")},
        returns={
            201: Returns(
                WebhookMade,
                "The webhook, with its secret.",
                headers={"Location": "The webhook."},
                example=_MADE,
            )
        },
        problems=(*_BODY, "conflict"),
    ),
    Operation(
        method="GET",
        path="/api/v1/webhooks/<webhook>",
        role=Role.ADMIN,
        tag="Webhooks",
        summary="Get a webhook",
        handler=get_webhook,
        edited=True,
        returns={200: Returns(Webhook, "The webhook.", example=_HOOK)},
        problems=("not-found",),
    ),
    Operation(
        method="PATCH",
        path="/api/v1/webhooks/<webhook>",
        role=Role.ADMIN,
        tag="Webhooks",
        summary="Change a webhook",
        about="One that is disabled gets nothing, and what waited for it is given up. Another URL, "
        "or enabling it, ends the wait after failures.",
        handler=change_webhook,
        edited=True,
        body=WebhookChange,
        body_example={"events": ["run.failed"], "enabled": True},
        returns={200: Returns(Webhook, "The webhook, changed.", example=_HOOK)},
        problems=(*_BODY, "not-found"),
    ),
    Operation(
        method="DELETE",
        path="/api/v1/webhooks/<webhook>",
        role=Role.ADMIN,
        tag="Webhooks",
        summary="Delete a webhook",
        about="With all that waits for it.",
        handler=delete_webhook,
        edited=True,
        returns={200: Returns(WebhookRemoved, "It is gone.", example={"name": "pager"})},
        problems=("not-found",),
    ),
    Operation(
        method="POST",
        path="/api/v1/webhooks/<webhook>/test",
        role=Role.ADMIN,
        tag="Webhooks",
        summary="Send a webhook a message that means nothing",
        about="By the way that all messages take; its deliveries tell what became of it.",
        handler=test_webhook,
        body=NoOptions,
        body_example={},
        returns={
            202: Returns(
                WebhookDelivery,
                "The message waits.",
                headers={"Location": "The webhook's messages."},
                example={
                    **_DELIVERY,
                    "kind": "webhook.test",
                    "payload": {
                        "type": "webhook.test",
                        "timestamp": _AT,
                        "data": {"webhook": "pager"},
                    },
                    "status": "waiting",
                    "settled_at": None,
                    "next_attempt_at": _AT,
                    "log": [],
                },
            )
        },
        problems=(*_BODY, "not-found", "conflict"),
    ),
    Operation(
        method="GET",
        path="/api/v1/webhooks/<webhook>/deliveries",
        role=Role.ADMIN,
        tag="Webhooks",
        summary="List what a webhook was told",
        order="newest first",
        about="With each attempt. Settled messages are kept for thirty days.",
        handler=list_webhook_deliveries,
        query=WebhookFilter,
        returns={
            200: Returns(
                WebhookDeliveryPage, "A page.", example={"items": [_DELIVERY], "next_cursor": None}
            )
        },
        problems=("not-found",),
    ),
]
