"""Webhooks: made and changed by people, told of what happened. Telling never fails a run."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from atlas import traces
from atlas.errors import UsageError
from atlas.ledger import webhooks
from atlas.ledger.webhooks import Due, Turn
from atlas.model.webhooks import Event
from atlas.settings import Settings, secret_key
from atlas.sync.webhook_post import Refused, checked, post
from atlas.traces import Kind

log = logging.getLogger(__name__)

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_ROUND = 5.0
"""Seconds after which a receiver's turn ends: others wait for the same process."""
_GONE = 410


def create(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    url: str,
    events: Sequence[str],
    *,
    actor: str,
) -> dict[str, Any]:
    """A new webhook, with the ``secret`` that signs what it gets; that is shown this once.

    Raises:
        UsageError: name, URL or an event is none that can be. Conflict: the name is taken.
    """
    if not NAME.fullmatch(name):
        raise UsageError("name: it must be [a-z][a-z0-9_-]{0,39}")
    return webhooks.create(
        conn,
        secret_key(settings),
        name,
        checked(url, private=settings.webhook_private),
        _known(events),
        actor=actor,
    )


def change(
    conn: sa.Connection, settings: Settings, name: str, changes: Mapping[str, Any], *, actor: str
) -> dict[str, Any]:
    """Give a webhook another ``url``, other ``events``, or have it ``enabled`` or not; returns it.

    Raises:
        NotFound: there is none. UsageError: URL or an event is none that can be.
    """
    if "url" in changes:
        checked(changes["url"], private=settings.webhook_private)
    if "events" in changes:
        _known(changes["events"])
    webhooks.change(conn, name, changes, actor=actor)
    return webhooks.get(conn, name)


def _known(events: Sequence[str]) -> Sequence[str]:
    known = [each.value for each in Event]
    if strange := sorted(set(events) - set(known)):
        raise UsageError(f"events: there is no {strange[0][:80]!r}; there are {', '.join(known)}")
    if not events:
        raise UsageError("events: name at least one")
    return events


def deliver_webhooks(engine: sa.Engine, settings: Settings) -> int:
    """Deliver what is due, receiver by receiver; returns how many deliveries arrived.

    A process that dies in here, or is slower than its lease, delivers some of them twice.

    Raises:
        WrongSecretKey: the secret key opens no secrets.
    """
    key = secret_key(settings)
    count = 0
    seen: set[int] = set()
    while True:
        with engine.begin() as conn:
            turn = webhooks.take(conn, key, seen)
        if turn is None:
            break
        seen.add(turn.id)
        count += _deliver(engine, settings, turn)
    with engine.begin() as conn:
        webhooks.forget_settled(conn)
    return count


def _deliver(engine: sa.Engine, settings: Settings, turn: Turn) -> int:
    count = 0
    until = time.monotonic() + _ROUND
    while time.monotonic() < until:
        with engine.begin() as conn:
            due = webhooks.next_due(conn, turn)
        if due is None or not _attempt(engine, settings, turn, due):
            break
        count += 1
    with engine.begin() as conn:
        webhooks.release(conn, turn)
    return count


def _attempt(engine: sa.Engine, settings: Settings, turn: Turn, due: Due) -> bool:
    started = time.monotonic()
    refused = None
    status = None
    try:
        with traces.span(
            "deliver webhook",
            {"atlas.webhook": turn.name, "atlas.attempt": due.attempt},
            Kind.CLIENT,
            run_id=due.payload["data"].get("run_id"),
        ):
            status = post(
                turn.url,
                turn.secret,
                due.message_id,
                due.payload,
                private=settings.webhook_private,
            )
    except Refused as error:
        refused, status = error.kind, error.status
        log.warning("webhook %s: attempt %d: %s %s", turn.name, due.attempt, refused, status or "")
    entry = {
        "status": status,
        "milliseconds": round((time.monotonic() - started) * 1000),
        "error": refused,
    }
    with engine.begin() as conn:
        if refused is None:
            return webhooks.arrived(conn, turn, due, entry)
        webhooks.failed(conn, turn, due, entry, gone=status == _GONE)
    return False
