"""What the HTTP interface takes and gives of webhooks, as types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from atlas.model.webhooks import Event, Kind
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
_Addresses = Annotated[
    list[
        Annotated[
            str, Meta(min_length=3, max_length=254, description="An address, and nothing else.")
        ]
    ],
    Meta(min_length=1, max_length=20, description="Of kind `email`: who gets it, each alone."),
]
_GroupSeconds = Annotated[
    int,
    Meta(
        ge=0,
        le=3600,
        description="Of kinds `slack` and `email`: what happens within them is one message.",
    ),
]
_TimeOfDay = Annotated[
    str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"], description="Local.")
]


class QuietHours(msgspec.Struct, forbid_unknown_fields=True):
    """Hours in which what happens is held, to be told in one message after them."""

    from_: _TimeOfDay = msgspec.field(name="from")
    to: Annotated[
        str,
        Meta(
            pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
            examples=["07:00"],
            description="Local; if it is earlier, of the next day.",
        ),
    ]
    timezone: Annotated[
        str, Meta(max_length=80, description="Such as Europe/Copenhagen.", examples=["UTC"])
    ] = "UTC"


class WebhookRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook. Of kind `email` it has `addresses`, else a `url`."""

    name: WebhookName
    events: _Events
    kind: Annotated[
        Kind,
        Meta(
            description="`webhook`: a program, which gets each event signed. `slack`, `email`: "
            "people, who get what happened in one message."
        ),
    ] = Kind.WEBHOOK
    url: _Url | UnsetType = UNSET
    addresses: _Addresses | UnsetType = UNSET
    group_seconds: _GroupSeconds | UnsetType = UNSET
    quiet_hours: QuietHours | UnsetType = UNSET


class WebhookChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a webhook; what is left out stays."""

    url: _Url | UnsetType = UNSET
    events: _Events | UnsetType = UNSET
    addresses: _Addresses | UnsetType = UNSET
    group_seconds: _GroupSeconds | UnsetType = UNSET
    quiet_hours: Annotated[
        QuietHours | UnsetType | None, Meta(description="Null: none from now on.")
    ] = UNSET
    enabled: Annotated[
        bool | UnsetType,
        Meta(description="Once it is enabled again it is told of what happens from then on."),
    ] = UNSET


class Webhook(msgspec.Struct, kw_only=True):
    """A webhook, and how it goes with it."""

    name: WebhookName
    kind: Kind
    url: Annotated[
        str | None, Meta(description="Of kind `slack` its host alone; null: it is told by mail.")
    ]
    addresses: Annotated[list[str] | None, Meta(description="Null: it is told at its URL.")]
    events: list[Event]
    group_seconds: Annotated[
        int | None, Meta(description="Null: it is told of each event, when it happens.")
    ]
    quiet_hours: QuietHours | None
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

    secret: Annotated[
        str | None,
        Meta(description="What signs its messages, shown this once; null: it is of another kind."),
    ]


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
    status: Annotated[
        int | None, Meta(description="HTTP status or SMTP reply; null: it came to none.")
    ]
    milliseconds: Count
    error: Annotated[
        str | None,
        Meta(
            description="Null: it was taken. Else name, address-refused, connection, tls, timeout, "
            "no-http, redirect, status or internal; by mail also not-set, greeting, login, sender, "
            "recipient, message or unavailable."
        ),
    ]


class WebhookDelivery(msgspec.Struct):
    """A message, and what became of it."""

    id: int
    message_id: Annotated[str, Meta(description="Its `webhook-id`, at each attempt the same.")]
    kind: Annotated[
        str, Meta(description="The event, `webhook.test`, or `digest`: what people are told.")
    ]
    payload: Annotated[
        Document, Meta(description="The body that is posted, or what people are told in words.")
    ]
    recipient: Annotated[str | None, Meta(description="The address that it is sent to by mail.")]
    group_id: Annotated[
        str | None, Meta(description="Events, and the digests that tell of them, have the same.")
    ]
    status: Annotated[
        Literal["waiting", "held", "grouped", "delivered", "given_up"],
        Meta(description="Events are held until a digest is made of them, then grouped."),
    ]
    created_at: Time
    settled_at: Time | None
    next_attempt_at: Annotated[Time | None, Meta(description="Null: there is no further one.")]
    log: Annotated[list[WebhookAttempt], Meta(max_length=12, description="Oldest first.")]


class WebhookDeliveryPage(msgspec.Struct):
    """A page of messages, newest first."""

    items: list[WebhookDelivery]
    next_cursor: NextCursor
