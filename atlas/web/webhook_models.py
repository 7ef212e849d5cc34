"""What the HTTP interface takes and gives of webhooks, as types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from atlas.model.webhooks import Event
from atlas.web.models import Count, Cursor, Document, NextCursor, Time

WebhookName = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Name of a webhook.", examples=["pager"]),
]
_Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2000,
        description="Where messages are posted to: https, and no private address, unless "
        "`ATLAS_WEBHOOK_PRIVATE` says otherwise.",
    ),
]
_Events = Annotated[
    list[Event], Meta(min_length=1, max_length=20, description="What it is told of.")
]


class WebhookRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook."""

    name: WebhookName
    url: _Url
    events: _Events


class WebhookChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a webhook; what is left out stays."""

    url: _Url | UnsetType = UNSET
    events: _Events | UnsetType = UNSET
    enabled: Annotated[
        bool | UnsetType,
        Meta(description="Once it is enabled again it is told of what happens from then on."),
    ] = UNSET


class Webhook(msgspec.Struct, kw_only=True):
    """A webhook, and how it goes with it."""

    name: WebhookName
    url: str
    events: list[Event]
    enabled: bool
    reason: Annotated[str | None, Meta(description="Why Atlas disabled it; null: it did not.")]
    waiting: Annotated[Count, Meta(description="Messages that it has not got yet.")]
    delivered_at: Annotated[Time | None, Meta(description="When it took one last.")]
    failed_attempts: Annotated[Count, Meta(description="In a row, since it took one.")]
    failing_since: Time | None
    next_attempt_at: Annotated[
        Time | None, Meta(description="Until when it is left alone; null: it is not.")
    ]
    created_at: Time
    updated_at: Time


class WebhookMade(Webhook, kw_only=True):
    """A new webhook."""

    secret: Annotated[str, Meta(description="What signs its messages. It is shown this once.")]


class WebhookPage(msgspec.Struct):
    """A page of webhooks, by name."""

    items: list[Webhook]
    next_cursor: NextCursor


class WebhookRemoved(msgspec.Struct):
    """The webhook that is gone."""

    name: WebhookName


class WebhookFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many at once."""

    limit: Annotated[int, Meta(ge=1, le=200, description="Most entries on a page.")] = 50
    cursor: Cursor = None


class WebhookAttempt(msgspec.Struct):
    """An attempt to deliver a message."""

    at: Time
    status: Annotated[int | None, Meta(description="HTTP status; null: it came to no answer.")]
    milliseconds: Count
    error: Annotated[
        str | None,
        Meta(
            description="Null: it was taken. Else name, address-refused, connection, tls, timeout, "
            "no-http, redirect or status."
        ),
    ]


class WebhookDelivery(msgspec.Struct):
    """A message, and what became of it."""

    id: int
    message_id: Annotated[str, Meta(description="Its `webhook-id`, at each attempt the same.")]
    kind: Annotated[str, Meta(description="The event, or `webhook.test`.")]
    payload: Annotated[Document, Meta(description="The body that is posted.")]
    status: Literal["waiting", "delivered", "given_up"]
    created_at: Time
    settled_at: Time | None
    next_attempt_at: Annotated[Time | None, Meta(description="Null: there is no further one.")]
    log: Annotated[list[WebhookAttempt], Meta(max_length=12, description="Oldest first.")]


class WebhookDeliveryPage(msgspec.Struct):
    """A page of messages, newest first."""

    items: list[WebhookDelivery]
    next_cursor: NextCursor
