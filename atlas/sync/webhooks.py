"""Webhooks: made and changed by people, told of what happened. Telling never fails a run.

A receiver is a program, which gets each event signed, or people, who get what happened in one
message, in Slack or by mail.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from atlas import addresses, traces
from atlas.errors import UsageError
from atlas.ledger import webhook_turns as turns
from atlas.ledger import webhooks
from atlas.ledger.webhook_turns import Due, Turn
from atlas.model import digest
from atlas.model.quiet import Quiet
from atlas.model.webhooks import Event, Kind
from atlas.settings import Settings, secret_key
from atlas.sync import mail
from atlas.sync.mail import Unsent
from atlas.sync.webhook_post import Refused, checked, post, say

log = logging.getLogger(__name__)

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
MOST_ADDRESSES = 20
LONGEST_GROUP = 3600
_ROUND = 5.0
"""Seconds after which a receiver's turn ends: others wait for the same process."""
_GONE = 410
_PEOPLE = ("group_seconds", "quiet_hours")


def create(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    url: str | None,
    events: Sequence[str],
    *,
    actor: str,
    kind: str = Kind.WEBHOOK.value,
    **more: Any,
) -> dict[str, Any]:
    """A new webhook, with the ``secret`` that signs what it gets, if it is a program; that is shown
    this once.

    Args:
        url: None of mail.
        more: ``addresses`` of mail, ``group_seconds`` and ``quiet_hours`` of people.

    Raises:
        UsageError: name, URL or whatever else is none that can be. Conflict: the name is taken.
    """
    if not NAME.fullmatch(name):
        raise UsageError("name: it must be [a-z][a-z0-9_-]{0,39}")
    if kind not in list(Kind):
        raise UsageError(f"kind: it must be one of {', '.join(Kind)}")
    given = {"events": events, **more, **({} if url is None else {"url": url})}
    values = _checked(settings, Kind(kind), given)
    needed = "addresses" if kind == Kind.EMAIL else "url"
    if needed not in values:
        raise UsageError(f"{needed}: this kind of webhook needs it")
    return webhooks.create(
        conn,
        secret_key(settings),
        name,
        values.pop("url", None),
        values.pop("events"),
        actor=actor,
        kind=Kind(kind),
        **values,
    )


def change(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    seen: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Give a webhook another ``url``, other ``events``, or have it ``enabled`` or not, and whatever
    else :func:`create` takes; returns it. ``seen``: as of :func:`atlas.ledger.webhooks.change`.

    Raises:
        NotFound: there is none. UsageError: URL or whatever else is none that can be.
    """
    kind = Kind(webhooks.get(conn, name)["kind"])
    values = _checked(settings, kind, changes)
    if kind is Kind.SLACK and "url" in values:
        values |= webhooks.hidden(conn, secret_key(settings), values["url"])
    webhooks.change(conn, name, values, actor=actor, seen=seen)
    return webhooks.get(conn, name)


def _checked(settings: Settings, kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a receiver is stored, from what was said of it."""
    values = dict(given)
    for part in ("url",) if kind is Kind.EMAIL else ("addresses",):
        if part in values:
            raise UsageError(f"{part}: a receiver of kind {kind.value} has none")
    if kind is Kind.WEBHOOK and (there := [part for part in _PEOPLE if part in values]):
        raise UsageError(f"{there[0]}: a program is told of each event, when it happens")
    if "url" in values:
        checked(values["url"], private=settings.webhook_private)
    if "addresses" in values:
        values["addresses"] = _addresses(settings, values["addresses"])
    if "events" in values:
        _known(values["events"])
    if not 0 <= values.get("group_seconds", 0) <= LONGEST_GROUP:
        raise UsageError(f"group_seconds: it must be 0 to {LONGEST_GROUP}")
    if "quiet_hours" in values:
        values["quiet"] = _quiet(values.pop("quiet_hours"))
    return values


def _addresses(settings: Settings, given: Sequence[str]) -> list[str]:
    if settings.smtp_host is None:
        raise UsageError("addresses: no mail can be sent: set ATLAS_SMTP_HOST")
    if not 1 <= len(given) <= MOST_ADDRESSES:
        raise UsageError(f"addresses: name one to {MOST_ADDRESSES}")
    try:
        return sorted({addresses.mailbox(each) for each in given})
    except ValueError as error:
        raise UsageError(f"addresses: each {error}") from error


def _quiet(given: Mapping[str, Any] | None) -> dict[str, str] | None:
    try:
        return None if given is None else Quiet.of(given).document()
    except ValueError as error:
        raise UsageError(f"quiet_hours: {error}") from error


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
    post_office = True
    while True:
        with engine.begin() as conn:
            turn = turns.take(conn, key, seen, mail=post_office)
        if turn is None:
            break
        seen.add(turn.id)
        arrived, reached = _deliver(engine, settings, turn)
        count += arrived
        # What nobody answers at for one of them nobody answers at for the next, as slowly.
        post_office &= reached or turn.kind is not Kind.EMAIL
    with engine.begin() as conn:
        turns.forget_settled(conn)
    return count


def _deliver(engine: sa.Engine, settings: Settings, turn: Turn) -> tuple[int, bool]:
    """How many arrived, and whether the receiver could be reached."""
    count = 0
    reached = True
    until = time.monotonic() + _ROUND
    while reached and time.monotonic() < until:
        with engine.begin() as conn:
            due = turns.next_due(conn, turn)
        if due is None:
            break
        arrived, reached = _attempt(engine, settings, turn, due)
        count += arrived
    with engine.begin() as conn:
        turns.release(conn, turn)
    return count, reached


def _attempt(engine: sa.Engine, settings: Settings, turn: Turn, due: Due) -> tuple[bool, bool]:
    """Whether it arrived, and whether to go on with this receiver."""
    started = time.monotonic()
    refused: Refused | Unsent | None = None
    status = None
    try:
        with traces.span(
            "deliver webhook",
            {"atlas.webhook": turn.name, "atlas.attempt": due.attempt},
            traces.Kind.CLIENT,
            run_id=due.payload["data"].get("run_id"),
        ):
            status = _send(settings, turn, due)
    except (Refused, Unsent) as error:
        refused, status = error, error.status
        log.warning(
            "webhook %s: attempt %d: %s %s", turn.name, due.attempt, error.kind, status or ""
        )
    except Exception as error:  # noqa: BLE001 - it is this message's: others get theirs
        refused = Refused("internal")
        log.error("webhook %s: attempt %d: %s", turn.name, due.attempt, type(error).__name__)
    entry = {
        "status": status,
        "milliseconds": round((time.monotonic() - started) * 1000),
        "error": None if refused is None else refused.kind,
    }
    with engine.begin() as conn:
        if refused is None:
            mine = turns.arrived(conn, turn, due, entry)
            return mine, mine
        if isinstance(refused, Unsent):
            alone, over = refused.alone, refused.over
            return False, turns.failed(conn, turn, due, entry, alone=alone, over=over) and alone
        turns.failed(conn, turn, due, entry, gone=status == _GONE, wait=refused.wait)
    return False, False


def _send(settings: Settings, turn: Turn, due: Due) -> int:
    private = settings.webhook_private
    if turn.kind is Kind.WEBHOOK:
        return post(turn.url, turn.secret, due.message_id, due.payload, private=private)
    data = due.payload["data"]
    subject = f"Atlas: {digest.subject(due.kind, data)}"
    text = digest.text(due.kind, data, settings.public_url)
    if turn.kind is Kind.SLACK:
        return say(turn.secret.decode(), f"{subject}\n\n{text}", private=private)
    if settings.smtp_host is None:
        raise Unsent("not-set")
    return mail.send(
        settings,
        str(due.recipient),
        subject,
        text,
        message_id=due.message_id,
        at=due.created_at,
    )
