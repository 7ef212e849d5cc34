"""Telling receivers: whose turn it is, what is due, and how each attempt went.

Whoever delivers takes the receiver for a while, counts the attempt before it is made, and writes
its outcome down only if it still has the receiver: one who dies in between, or wakes up too late,
costs a second delivery under the same message id.

What people are told is held, and gathered by whoever has the receiver: then, and no earlier, it is
one message with an id of its own, for each address of mail, which is tried as it is until it
arrives. While a receiver cannot be reached nothing more is gathered, so that an outage of its own
ends with one message as well. In quiet hours nothing is gathered or sent but a test.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from atlas.ledger import audit, secrets
from atlas.ledger.tables import webhook, webhook_delivery
from atlas.ledger.webhooks import give_up_waiting
from atlas.model import digest
from atlas.model.quiet import Quiet
from atlas.model.webhooks import DIGEST, TEST, Kind

LEASE = 60.0
"""Seconds that a receiver is one deliverer's alone; far above the time of one delivery."""
MOST_ATTEMPTS = 12
"""After so many a delivery to a program is given up."""
LONGEST_FAILING = 3 * 24 * 3600.0
"""Seconds of nothing but failures after which a receiver is disabled, and a message to people
given up."""
KEPT_DAYS = 30
"""Days that settled deliveries can be looked up."""

_LONGEST = 3600.0
_LONGEST_AWAY = 300.0
_MOST_GATHERED = 5000
_LOGGED = 50
_now = sa.func.clock_timestamp()
_hook, _sent = webhook.c, webhook_delivery.c


@dataclass(frozen=True, slots=True)
class Turn:
    """A receiver that this process delivers to for now.

    Attributes:
        url: as it is shown.
        secret: what signs, or the URL that is secret.
    """

    id: int
    name: str
    kind: Kind
    url: str
    fence: int
    addresses: tuple[str, ...]
    group_seconds: int
    quiet: Quiet | None
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be made.

    Attributes:
        old: whether it is given up if it does not arrive now.
    """

    id: int
    message_id: str
    kind: str
    payload: dict[str, Any]
    attempt: int
    created_at: datetime
    recipient: str | None
    old: bool


# Neither is settled: said beside it, for the index of those that are not.
_DUE = sa.and_(
    _sent.webhook_id == _hook.id,
    _sent.settled_at.is_(None),
    _sent.status == "waiting",
    _sent.next_attempt_at <= _now,
)
_RIPE = sa.and_(
    _sent.webhook_id == _hook.id,
    _sent.settled_at.is_(None),
    _sent.status == "held",
    _sent.created_at <= _now - sa.func.make_interval(0, 0, 0, 0, 0, 0, _hook.group_seconds),
)


def take(
    conn: sa.Connection, key: bytes, but: Collection[int] = (), *, mail: bool = True
) -> Turn | None:
    """A receiver that something is due for, to be this process's own for :data:`LEASE` seconds;
    none of those with the ids ``but``, and none by mail if not ``mail``.

    Raises:
        WrongSecretKey: as :func:`atlas.ledger.secrets.keys`.
    """
    open_ = secrets.reader(conn, key)
    free = sa.or_(_hook.lease_until.is_(None), _hook.lease_until < _now)
    chosen = (
        sa.select(_hook.id)
        .where(
            _hook.enabled,
            free,
            _hook.next_attempt_at <= _now,
            sa.or_(sa.exists().where(_DUE), sa.exists().where(_RIPE)),
            _hook.id.not_in(but),
        )
        .order_by(_hook.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if not mail:
        chosen = chosen.where(_hook.kind != Kind.EMAIL.value)
    row = conn.execute(
        webhook.update()
        .where(_hook.id.in_(chosen))
        .values(fence=_hook.fence + 1, lease_until=_after(LEASE))
        .returning(webhook)
    ).one_or_none()
    if row is None:
        return None
    opened = {} if row.secret is None else open_(bytes(row.secret))
    return Turn(
        id=row.id,
        name=row.name,
        kind=Kind(row.kind),
        url=row.url or "",
        fence=row.fence,
        addresses=tuple(row.addresses or ()),
        group_seconds=row.group_seconds,
        quiet=None if row.quiet is None else Quiet.of(row.quiet),
        secret=_bytes(opened["secret"]) if "secret" in opened else opened.get("url", "").encode(),
    )


def next_due(conn: sa.Connection, turn: Turn) -> Due | None:
    """The oldest delivery that is due, its attempt counted; None: there is none, or the receiver is
    another's by now. What is held becomes one first, where its time has come."""
    if not _holds(conn, turn, renew=True):
        return None
    until = None if turn.quiet is None else turn.quiet.until(_clock(conn))
    found = _oldest(conn, turn, only=None if until is None else TEST)
    if found is None and until is None and _gather(conn, turn):
        found = _oldest(conn, turn)
    if found is None and until is not None:
        conn.execute(webhook.update().where(_hook.id == turn.id).values(next_attempt_at=until))
    return found


def _oldest(conn: sa.Connection, turn: Turn, *, only: str | None = None) -> Due | None:
    oldest = (
        sa.select(_sent.id)
        .where(
            _sent.webhook_id == turn.id,
            _sent.status == "waiting",
            # Beside it, for the index of those that wait.
            _sent.settled_at.is_(None),
            _sent.next_attempt_at <= _now,
        )
        .order_by(_sent.id)
        .limit(1)
    )
    if only is not None:
        oldest = oldest.where(_sent.kind == only)
    row = conn.execute(
        webhook_delivery.update()
        .where(_sent.id == oldest.scalar_subquery())
        .values(attempts=_sent.attempts + 1, next_attempt_at=_after(LEASE))
        .returning(
            _sent.id,
            _sent.message_id,
            _sent.kind,
            _sent.payload,
            _sent.attempts,
            _sent.created_at,
            _sent.recipient,
            _sent.created_at < _after(-LONGEST_FAILING),
        )
    ).one_or_none()
    return None if row is None else Due(*row)


def _gather(conn: sa.Connection, turn: Turn) -> bool:
    """Make one message of what is held, if the oldest of it was held for long enough; of a great
    many the oldest."""
    held = sa.and_(_sent.webhook_id == turn.id, _sent.status == "held", _sent.settled_at.is_(None))
    ripe = sa.select(_sent.id).where(held, _sent.created_at <= _after(-turn.group_seconds))
    if conn.execute(ripe.limit(1)).scalar() is None:
        return False
    group = str(uuid.uuid4())
    some = sa.select(_sent.id).where(held).order_by(_sent.id).limit(_MOST_GATHERED)
    rows = conn.execute(
        webhook_delivery.update()
        .where(_sent.id.in_(some))
        .values(status="grouped", settled_at=_now, group_id=group)
        .returning(_sent.id, _sent.payload)
    ).all()
    told = digest.gather([row.payload for row in sorted(rows)])
    payload = sa.func.jsonb_build_object(
        "type", DIGEST, "timestamp", _now, "data", sa.literal(told, JSONB)
    )
    for recipient in turn.addresses or (None,):
        conn.execute(
            webhook_delivery.insert().values(
                webhook_id=turn.id,
                message_id=str(uuid.uuid4()),
                kind=DIGEST,
                payload=payload,
                recipient=recipient,
                group_id=group,
            )
        )
    return True


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
    conn: sa.Connection,
    turn: Turn,
    due: Due,
    entry: Mapping[str, Any],
    *,
    gone: bool = False,
    alone: bool = False,
    over: bool = False,
    wait: float = 0.0,
) -> bool:
    """It did not arrive, and is tried again after a growing delay: to a program up to
    :data:`MOST_ATTEMPTS` times, to people for :data:`LONGEST_FAILING` seconds; so long the receiver
    gets nothing. Returns False, and writes nothing, if the receiver is another's.

    Args:
        gone: the receiver says that it wants nothing more.
        alone: it is about this address alone; the others of the receiver get theirs.
        over: to try again would not help.
        wait: seconds in which the receiver wants nothing more; it is given at most the longest
            delay that there is.
    """
    if not _holds(conn, turn):
        return False
    wait = min(wait, _LONGEST)
    people = turn.kind is not Kind.WEBHOOK
    if over or (due.old if people else due.attempt >= MOST_ATTEMPTS):
        _log(conn, due, entry, status="given_up", settled_at=_now)
    else:
        # People get what is older first: so that it is due whenever their receiver is.
        longest = _LONGEST_AWAY if people and not alone else _LONGEST
        delay = max(_delay(due.attempt, longest), wait)
        _log(conn, due, entry, next_attempt_at=_after(delay))
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
    elif not alone:
        delay = max(_delay(row.failed_attempts, _LONGEST_AWAY), wait)
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
    # One that is tried for days keeps the last of its attempts.
    kept = sa.case(
        (sa.func.jsonb_array_length(_sent.log) >= _LOGGED, _sent.log.op("-")(0)), else_=_sent.log
    )
    conn.execute(
        webhook_delivery.update().where(_sent.id == due.id).values(log=kept.concat(said), **values)
    )


def _disable(conn: sa.Connection, turn: Turn, reason: str) -> None:
    give_up_waiting(conn, turn.id)
    conn.execute(
        webhook.update()
        .where(_hook.id == turn.id)
        .values(enabled=False, reason=reason, updated_at=_now)
    )
    audit.put(conn, "atlas", "webhooks.disable", turn.name, {"reason": reason})


def _clock(conn: sa.Connection) -> datetime:
    now: datetime = conn.execute(sa.select(_now)).scalar_one()
    return now


def _bytes(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _delay(failed: int, longest: float) -> float:
    return min(5.0 * 2.0 ** min(failed - 1, 20), longest)


def _after(seconds: float) -> Any:
    return _now + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
