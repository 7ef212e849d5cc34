"""Receivers of events, and what each is told, in the transaction of the deed.

A delivery commits with what it tells of: one for a program waits to be sent as it is, one for
people is held until what happened is told in one message (:mod:`atlas.ledger.webhook_turns`).
"""

from __future__ import annotations

import base64
import secrets as random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import IntegrityError

from atlas.errors import Conflict, NotFound
from atlas.ledger import audit, secrets
from atlas.ledger.tables import webhook, webhook_delivery
from atlas.model.webhooks import TEST, Event, Kind

_now = sa.func.clock_timestamp()
_hook, _sent = webhook.c, webhook_delivery.c


# --- what is told --------------------------------------------------------------------------------


def wanted(conn: sa.Connection, *kinds: Event) -> bool:
    """Whether anybody is told of events of one of these kinds."""
    asked = sa.cast([kind.value for kind in kinds], ARRAY(sa.Text))
    query = sa.select(_hook.id).where(_hook.enabled, _hook.events.overlap(asked)).limit(1)
    return conn.execute(query).scalar() is not None


def tell(
    conn: sa.Connection,
    kind: Event,
    data: Mapping[str, Any],
    *,
    about: str | None = None,
    once: str | None = None,
) -> None:
    """Have everybody told who wants to know of this kind of event, once this transaction commits.

    Args:
        data: names, ids and counts; no value of a row, no secret, no error's text.
        about: of the same, nothing is told a second time.
        once: the same for those alone who are told in groups.
    """
    each = _hook.kind == Kind.WEBHOOK.value
    listening = (
        sa.select(
            _hook.id,
            sa.func.gen_random_uuid(),
            sa.literal(kind.value),
            sa.case((each, sa.literal(about, sa.Text)), else_=sa.literal(once or about, sa.Text)),
            _payload(kind.value, data),
            sa.case((each, "waiting"), else_="held"),
        )
        .where(_hook.enabled, _hook.events.any(kind.value))
        # One that is being deleted is told nothing, instead of failing whoever tells.
        .with_for_update(read=True, key_share=True)
    )
    names = ["webhook_id", "message_id", "kind", "about", "payload", "status"]
    conn.execute(insert(webhook_delivery).from_select(names, listening).on_conflict_do_nothing())


def test(conn: sa.Connection, name: str, *, actor: str) -> dict[str, Any]:
    """Have a receiver told something that means nothing, quiet hours or not; returns the delivery,
    of several addresses the first one's.

    Raises:
        NotFound: there is no such webhook. Conflict: it is disabled.
    """
    row = _row(conn, name, lock=True)
    if not row.enabled:
        raise Conflict(f"webhook {name} is disabled: enable it first")
    # Somebody looks on: it is tried at once, however long it has failed.
    conn.execute(webhook.update().where(_hook.id == row.id).values(next_attempt_at=_now))
    made = [
        conn.execute(
            insert(webhook_delivery)
            .values(
                webhook_id=row.id,
                message_id=sa.func.gen_random_uuid(),
                kind=TEST,
                payload=_payload(TEST, {"webhook": name}),
                recipient=recipient,
            )
            .returning(webhook_delivery)
        ).one()
        for recipient in row.addresses or (None,)
    ]
    audit.put(conn, actor, "webhooks.test", name)
    return _told(made[0])


def _payload(kind: str, data: Mapping[str, Any]) -> sa.ColumnElement[Any]:
    return sa.func.jsonb_build_object(
        "type", kind, "timestamp", _now, "data", sa.literal(dict(data), JSONB)
    )


# --- who is told ---------------------------------------------------------------------------------


def create(
    conn: sa.Connection,
    key: bytes,
    name: str,
    url: str | None,
    events: Sequence[str],
    *,
    actor: str,
    kind: Kind = Kind.WEBHOOK,
    **more: Any,
) -> dict[str, Any]:
    """A new webhook, with the ``secret`` that signs what it gets, if it is told one by one; that is
    shown this once.

    Args:
        url: None of mail; in Slack it is what is secret.
        more: ``addresses``, ``group_seconds``, ``quiet``.

    Raises:
        Conflict: the name is taken.
    """
    values = {"name": name, "kind": kind.value, "events": sorted(set(events)), **more}
    secret = None
    if kind is Kind.WEBHOOK:
        secret = "whsec_" + base64.b64encode(random.token_bytes(32)).decode()
        values |= {"url": url, "secret": secrets.encrypt(conn, key, {"secret": secret})}
    elif url is not None:
        values |= hidden(conn, key, url)
    try:
        with conn.begin_nested():
            conn.execute(webhook.insert().values(**values))
    except IntegrityError as error:
        raise Conflict(f"there is a webhook called {name} already") from error
    audit.put(conn, actor, "webhooks.create", name, {"events": values["events"]})
    return {**get(conn, name), "secret": secret}


def hidden(conn: sa.Connection, key: bytes, url: str) -> dict[str, Any]:
    """What is stored of a URL that lets whoever knows it write: its host, and all of it
    encrypted."""
    split = urlsplit(url)
    return {
        "url": f"{split.scheme}://{split.netloc}/…",
        "secret": secrets.encrypt(conn, key, {"url": url}),
    }


_ANEW = {"enabled", "url", "secret", "addresses", "group_seconds", "quiet"}


def change(
    conn: sa.Connection,
    name: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    seen: Callable[[], None] | None = None,
) -> None:
    """Give a webhook another ``url``, other ``events``, or have it ``enabled`` or not, and whatever
    else :func:`create` takes. One that is enabled is told of what happens from then on.

    Args:
        seen: called once nobody else can change it any more; raises if it is another than the
            caller saw.

    Raises:
        NotFound: there is none.
    """
    row = _row(conn, name, lock=True)
    if seen is not None:
        seen()
    values = dict(changes)
    if "events" in values:
        values["events"] = sorted(set(values["events"]))
    other = sorted(part for part, value in values.items() if getattr(row, part) != value)
    if not other:
        return
    if _ANEW & set(other):
        # Whoever delivers to it as it was is to stop, and what he finds there counts no more.
        values |= {"next_attempt_at": _now, "fence": _hook.fence + 1, "lease_until": None}
    if {"enabled", "url", "secret", "addresses"} & set(other):
        values |= {"reason": None, "failed_attempts": 0, "failing_since": None}
    if values.get("enabled") is False:
        give_up_waiting(conn, row.id)
    if "addresses" in other:
        gone = _sent.recipient.not_in(values["addresses"])
        conn.execute(
            webhook_delivery.update()
            .where(_sent.webhook_id == row.id, _sent.settled_at.is_(None), gone)
            .values(status="given_up", settled_at=_now)
        )
    conn.execute(webhook.update().where(_hook.id == row.id).values(updated_at=_now, **values))
    audit.put(conn, actor, "webhooks.change", name, {"changed": other})


def give_up_waiting(conn: sa.Connection, webhook_id: int) -> None:
    """What waits for a receiver is not sent any more."""
    conn.execute(
        webhook_delivery.update()
        .where(_sent.webhook_id == webhook_id, _sent.settled_at.is_(None))
        .values(status="given_up", settled_at=_now)
    )


def delete(
    conn: sa.Connection, name: str, *, actor: str, seen: Callable[[], None] | None = None
) -> None:
    """Delete a webhook with all that it was, or was to be, told; ``seen`` as of :func:`change`.

    Raises:
        NotFound: there is none.
    """
    row = _row(conn, name, lock=True)
    if seen is not None:
        seen()
    conn.execute(webhook.delete().where(_hook.id == row.id))
    audit.put(conn, actor, "webhooks.delete", name)


def get(conn: sa.Connection, name: str) -> dict[str, Any]:
    """A webhook, without its secret.

    Raises:
        NotFound: there is none.
    """
    return _document(_row(conn, name))


def listed(
    conn: sa.Connection, *, limit: int | None = None, after: str | None = None
) -> list[dict[str, Any]]:
    """Webhooks by name; ``after``: those whose names come after it."""
    by_name = _hook.name.collate("C")
    query = _LISTED.order_by(by_name).limit(limit)
    if after is not None:
        query = query.where(by_name > after)
    return [_document(row) for row in conn.execute(query)]


def deliveries(
    conn: sa.Connection, name: str, *, limit: int, after: int | None = None
) -> list[dict[str, Any]]:
    """What a webhook was told and is to be told, newest first; ``after``: with a smaller id.

    Raises:
        NotFound: there is no such webhook.
    """
    query = sa.select(webhook_delivery).where(_sent.webhook_id == _row(conn, name).id)
    if after is not None:
        query = query.where(_sent.id < after)
    return [_told(row) for row in conn.execute(query.order_by(_sent.id.desc()).limit(limit))]


_LISTED = sa.select(
    webhook,
    sa.select(sa.func.count())
    .where(_sent.webhook_id == _hook.id, _sent.settled_at.is_(None))
    .scalar_subquery()
    .label("waiting"),
)


def _row(conn: sa.Connection, name: str, *, lock: bool = False) -> sa.Row[Any]:
    query = _LISTED.where(_hook.name == name)
    row = conn.execute(query.with_for_update(of=webhook) if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no webhook {name!r}: `atlas webhooks list` shows those there are")
    return row


def _document(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "url": row.url,
        "addresses": row.addresses,
        "events": row.events,
        "group_seconds": None if row.kind == Kind.WEBHOOK.value else row.group_seconds,
        "quiet_hours": row.quiet,
        "enabled": row.enabled,
        "reason": row.reason,
        "waiting": row.waiting,
        "delivered_at": row.delivered_at,
        "failed_attempts": row.failed_attempts,
        "failing_since": row.failing_since,
        "next_attempt_at": row.next_attempt_at if row.failed_attempts else None,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _told(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "message_id": row.message_id,
        "kind": row.kind,
        "payload": row.payload,
        "recipient": row.recipient,
        "group_id": row.group_id,
        "status": row.status,
        "created_at": row.created_at,
        "settled_at": row.settled_at,
        "next_attempt_at": None if row.settled_at else row.next_attempt_at,
        "log": row.log,
    }
