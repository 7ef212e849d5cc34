"""Receivers of events: what each is told, in the transaction of the deed, and how telling went.

A delivery commits with what it tells of. Whoever delivers takes the receiver for a while, counts
the attempt before it is made, and writes its outcome down only if it still has the receiver: one
who dies in between, or wakes up too late, costs a second delivery under the same message id.
"""

from __future__ import annotations

import base64
import secrets as random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import IntegrityError

from atlas.errors import Conflict, NotFound
from atlas.ledger import audit, secrets
from atlas.ledger.tables import webhook, webhook_delivery
from atlas.model.webhooks import TEST, Event

LEASE = 60.0
"""Seconds that a receiver is one deliverer's alone; far above the time of one delivery."""
MOST_ATTEMPTS = 12
"""After so many a delivery is given up."""
LONGEST_FAILING = 3 * 24 * 3600.0
"""Seconds of nothing but failures after which a receiver is disabled."""
KEPT_DAYS = 30
"""Days that settled deliveries can be looked up."""

_LONGEST = 3600.0
_LONGEST_AWAY = 300.0
_now = sa.func.clock_timestamp()
_hook, _sent = webhook.c, webhook_delivery.c


@dataclass(frozen=True, slots=True)
class Turn:
    """A receiver that this process delivers to for now."""

    id: int
    name: str
    url: str
    fence: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be made."""

    id: int
    message_id: str
    payload: dict[str, Any]
    attempt: int


# --- what is told --------------------------------------------------------------------------------


def wanted(conn: sa.Connection, *kinds: Event) -> bool:
    """Whether anybody is told of events of one of these kinds."""
    asked = sa.cast([kind.value for kind in kinds], ARRAY(sa.Text))
    query = sa.select(_hook.id).where(_hook.enabled, _hook.events.overlap(asked)).limit(1)
    return conn.execute(query).scalar() is not None


def tell(
    conn: sa.Connection, kind: Event, data: Mapping[str, Any], *, about: str | None = None
) -> None:
    """Have everybody told who wants to know of this kind of event, once this transaction commits.

    Args:
        data: names, ids and counts; no value of a row, no secret, no error's text.
        about: of the same, nothing is told a second time.
    """
    listening = (
        sa.select(
            _hook.id,
            sa.func.gen_random_uuid(),
            sa.literal(kind.value),
            sa.literal(about, sa.Text),
            _payload(kind.value, data),
        )
        .where(_hook.enabled, _hook.events.any(kind.value))
        # One that is being deleted is told nothing, instead of failing whoever tells.
        .with_for_update(read=True, key_share=True)
    )
    names = ["webhook_id", "message_id", "kind", "about", "payload"]
    conn.execute(insert(webhook_delivery).from_select(names, listening).on_conflict_do_nothing())


def test(conn: sa.Connection, name: str, *, actor: str) -> dict[str, Any]:
    """Have a receiver told something that means nothing; returns the delivery.

    Raises:
        NotFound: there is no such webhook. Conflict: it is disabled.
    """
    row = _row(conn, name, lock=True)
    if not row.enabled:
        raise Conflict(f"webhook {name} is disabled: enable it first")
    # Somebody looks on: it is tried at once, however long it has failed.
    conn.execute(webhook.update().where(_hook.id == row.id).values(next_attempt_at=_now))
    made = conn.execute(
        insert(webhook_delivery)
        .values(
            webhook_id=row.id,
            message_id=sa.func.gen_random_uuid(),
            kind=TEST,
            payload=_payload(TEST, {"webhook": name}),
        )
        .returning(webhook_delivery)
    ).one()
    audit.put(conn, actor, "webhooks.test", name)
    return _told(made)


def _payload(kind: str, data: Mapping[str, Any]) -> sa.ColumnElement[Any]:
    return sa.func.jsonb_build_object(
        "type", kind, "timestamp", _now, "data", sa.literal(dict(data), JSONB)
    )


# --- who is told ---------------------------------------------------------------------------------


def create(
    conn: sa.Connection, key: bytes, name: str, url: str, events: Sequence[str], *, actor: str
) -> dict[str, Any]:
    """A new webhook, with the ``secret`` that signs what it gets; that is shown this once.

    Raises:
        Conflict: the name is taken.
    """
    secret = "whsec_" + base64.b64encode(random.token_bytes(32)).decode()
    values = {"name": name, "url": url, "events": sorted(set(events))}
    sealed = secrets.encrypt(conn, key, {"secret": secret})
    try:
        with conn.begin_nested():
            conn.execute(webhook.insert().values(secret=sealed, **values))
    except IntegrityError as error:
        raise Conflict(f"there is a webhook called {name} already") from error
    audit.put(conn, actor, "webhooks.create", name, {"events": values["events"]})
    return {**get(conn, name), "secret": secret}


def change(conn: sa.Connection, name: str, changes: Mapping[str, Any], *, actor: str) -> None:
    """Give a webhook another ``url``, other ``events``, or have it ``enabled`` or not. One that is
    enabled is told of what happens from then on.

    Raises:
        NotFound: there is none.
    """
    row = _row(conn, name, lock=True)
    values = dict(changes)
    if "events" in values:
        values["events"] = sorted(set(values["events"]))
    other = sorted(part for part, value in values.items() if getattr(row, part) != value)
    if not other:
        return
    if "enabled" in other or "url" in other:
        values |= {"reason": None, "failed_attempts": 0, "failing_since": None}
        # Whoever delivers to it as it was is to stop, and what he finds there counts no more.
        values |= {"next_attempt_at": _now, "fence": _hook.fence + 1, "lease_until": None}
    if values.get("enabled") is False:
        _give_up_waiting(conn, row.id)
    conn.execute(webhook.update().where(_hook.id == row.id).values(updated_at=_now, **values))
    audit.put(conn, actor, "webhooks.change", name, {"changed": other})


def delete(conn: sa.Connection, name: str, *, actor: str) -> None:
    """Delete a webhook with all that it was, or was to be, told.

    Raises:
        NotFound: there is none.
    """
    row = _row(conn, name, lock=True)
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
        "url": row.url,
        "events": row.events,
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
        "status": row.status,
        "created_at": row.created_at,
        "settled_at": row.settled_at,
        "next_attempt_at": None if row.settled_at else row.next_attempt_at,
        "log": row.log,
    }


# --- telling -------------------------------------------------------------------------------------

_DUE = sa.and_(
    _sent.webhook_id == _hook.id, _sent.settled_at.is_(None), _sent.next_attempt_at <= _now
)


def take(conn: sa.Connection, key: bytes, but: Collection[int] = ()) -> Turn | None:
    """A receiver that something is due for, to be this process's own for :data:`LEASE` seconds;
    none of those with the ids ``but``.

    Raises:
        WrongSecretKey: as :func:`atlas.ledger.secrets.keys`.
    """
    open_ = secrets.reader(conn, key)
    free = sa.or_(_hook.lease_until.is_(None), _hook.lease_until < _now)
    chosen = (
        sa.select(_hook.id)
        .where(_hook.enabled, free, _hook.next_attempt_at <= _now, sa.exists().where(_DUE))
        .where(_hook.id.not_in(but))
        .order_by(_hook.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = conn.execute(
        webhook.update()
        .where(_hook.id.in_(chosen))
        .values(fence=_hook.fence + 1, lease_until=_after(LEASE))
        .returning(webhook)
    ).one_or_none()
    if row is None:
        return None
    return Turn(row.id, row.name, row.url, row.fence, _bytes(open_(bytes(row.secret))["secret"]))


def next_due(conn: sa.Connection, turn: Turn) -> Due | None:
    """The oldest delivery that is due, its attempt counted; None: there is none, or the receiver is
    another's by now."""
    if not _holds(conn, turn, renew=True):
        return None
    oldest = (
        sa.select(_sent.id)
        .where(
            _sent.webhook_id == turn.id, _sent.settled_at.is_(None), _sent.next_attempt_at <= _now
        )
        .order_by(_sent.id)
        .limit(1)
    )
    row = conn.execute(
        webhook_delivery.update()
        .where(_sent.id == oldest.scalar_subquery())
        .values(attempts=_sent.attempts + 1, next_attempt_at=_after(LEASE))
        .returning(_sent.id, _sent.message_id, _sent.payload, _sent.attempts)
    ).one_or_none()
    return None if row is None else Due(*row)


def arrived(conn: sa.Connection, turn: Turn, due: Due, entry: Mapping[str, Any]) -> bool:
    """The receiver took it. Returns False, and writes nothing, if the receiver is another's."""
    if not _holds(conn, turn):
        return False
    _log(conn, due, entry, status="delivered", settled_at=_now)
    conn.execute(
        webhook.update()
        .where(_hook.id == turn.id)
        .values(delivered_at=_now, failed_attempts=0, failing_since=None, next_attempt_at=_now)
    )
    return True


def failed(
    conn: sa.Connection, turn: Turn, due: Due, entry: Mapping[str, Any], *, gone: bool = False
) -> bool:
    """It did not arrive, and is tried again after a growing delay, up to :data:`MOST_ATTEMPTS`; so
    long the receiver gets nothing. ``gone``: it says that it wants nothing more. Returns False, and
    writes nothing, if the receiver is another's."""
    if not _holds(conn, turn):
        return False
    if due.attempt >= MOST_ATTEMPTS:
        _log(conn, due, entry, status="given_up", settled_at=_now)
    else:
        _log(conn, due, entry, next_attempt_at=_after(_delay(due.attempt, _LONGEST)))
    row = conn.execute(
        webhook.update()
        .where(_hook.id == turn.id)
        .values(
            failed_attempts=_hook.failed_attempts + 1,
            failing_since=sa.func.coalesce(_hook.failing_since, _now),
        )
        .returning(_hook.failed_attempts, (_now - _hook.failing_since).label("failing"))
    ).one()
    if gone:
        _disable(conn, turn, "the receiver answered 410 Gone")
    elif row.failing.total_seconds() > LONGEST_FAILING:
        days = round(LONGEST_FAILING / 86400)
        _disable(conn, turn, f"nothing arrived for {days} days; the last deliveries tell why")
    else:
        delay = _delay(row.failed_attempts, _LONGEST_AWAY)
        conn.execute(
            webhook.update().where(_hook.id == turn.id).values(next_attempt_at=_after(delay))
        )
    return True


def release(conn: sa.Connection, turn: Turn) -> None:
    """Let others deliver to the receiver."""
    conn.execute(
        webhook.update()
        .where(_hook.id == turn.id, _hook.fence == turn.fence)
        .values(lease_until=None)
    )


def forget_settled(conn: sa.Connection) -> int:
    """Delete deliveries that were settled long ago; returns how many."""
    limit = _now - sa.func.make_interval(0, 0, 0, KEPT_DAYS)
    return conn.execute(webhook_delivery.delete().where(_sent.settled_at < limit)).rowcount


def _holds(conn: sa.Connection, turn: Turn, *, renew: bool = False) -> bool:
    """Whether the receiver is this turn's still; it stays so until the transaction ends."""
    mine = sa.and_(_hook.id == turn.id, _hook.fence == turn.fence, _hook.enabled)
    if renew:
        statement = webhook.update().where(mine).values(lease_until=_after(LEASE))
        return conn.execute(statement.returning(_hook.id)).scalar() is not None
    return conn.execute(sa.select(_hook.id).where(mine).with_for_update()).scalar() is not None


def _log(conn: sa.Connection, due: Due, entry: Mapping[str, Any], **values: Any) -> None:
    said = sa.func.jsonb_build_array(
        sa.func.jsonb_build_object("at", _now).concat(sa.literal(dict(entry), JSONB))
    )
    conn.execute(
        webhook_delivery.update()
        .where(_sent.id == due.id)
        .values(log=_sent.log.concat(said), **values)
    )


def _disable(conn: sa.Connection, turn: Turn, reason: str) -> None:
    _give_up_waiting(conn, turn.id)
    conn.execute(
        webhook.update()
        .where(_hook.id == turn.id)
        .values(enabled=False, reason=reason, updated_at=_now)
    )
    audit.put(conn, "atlas", "webhooks.disable", turn.name, {"reason": reason})


def _give_up_waiting(conn: sa.Connection, webhook_id: int) -> None:
    conn.execute(
        webhook_delivery.update()
        .where(_sent.webhook_id == webhook_id, _sent.settled_at.is_(None))
        .values(status="given_up", settled_at=_now)
    )


def _bytes(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _delay(failed: int, longest: float) -> float:
    return min(5.0 * 2.0 ** min(failed - 1, 20), longest)


def _after(seconds: float) -> Any:
    return _now + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
