"""Browsers that are logged in. A session is known by a random token, which the browser holds in a
cookie; here stands its hash. It ends by itself when it is not used, and at the latest after a
fixed time; and at once when its account is disabled.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.ledger.tables import session as table
from atlas.model.access import Asker
from atlas.roles import Role

SEEN_EVERY = timedelta(minutes=1)
"""How exact the time is at which a session was used last."""
_AGENT = 200


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is valid now.

    Attributes:
        stale: whether that it is being used is to be written down.
    """

    id: str
    asker: Asker
    token: str = field(repr=False)
    stale: bool = False


def begin(
    conn: sa.Connection,
    account_id: str,
    *,
    life: timedelta,
    address: str | None = None,
    agent: str | None = None,
) -> str:
    """A new session of the account; returns its token, which is not kept.

    Args:
        life: how long it can last at most.
        address, agent: of the browser, for its owner to know it by.
    """
    token = secrets.token_urlsafe(32)
    conn.execute(
        table.insert().values(
            id=str(uuid.uuid4()),
            account_id=account_id,
            hash=_hash(token),
            address=address,
            agent=agent[:_AGENT] if agent else None,
            expires_at=sa.func.clock_timestamp() + life,
        )
    )
    return token


_FIND = sa.text(
    """
    -- Asked with every request of a browser.
    SELECT CAST(s.id AS text) AS id, CAST(a.id AS text) AS account, a.name, a.role,
           s.seen_at < clock_timestamp() - CAST(:every AS interval) AS stale
      FROM pipeline.session s JOIN pipeline.account a ON a.id = s.account_id
     WHERE s.hash = :hash AND a.disabled_at IS NULL
       AND s.expires_at > clock_timestamp()
       AND s.seen_at > clock_timestamp() - CAST(:idle AS interval)
    """
)


def find(conn: sa.Connection, token: str, idle: timedelta) -> Session | None:
    """The valid session with this token, or None.

    Args:
        idle: how long it may go unused.
    """
    row = conn.execute(
        _FIND, {"hash": _hash(token), "idle": idle, "every": SEEN_EVERY}
    ).one_or_none()
    if row is None:
        return None
    return Session(row.id, Asker(row.account, row.name, Role(row.role), "user"), token, row.stale)


def touch(conn: sa.Connection, session_id: str) -> None:
    """Write down that the session is being used; whoever is at it already, does it."""
    mine = sa.select(table.c.id).where(table.c.id == session_id).with_for_update(skip_locked=True)
    conn.execute(
        table.update()
        .where(table.c.id.in_(mine.scalar_subquery()))
        .values(seen_at=sa.func.clock_timestamp())
    )


def rotate(conn: sa.Connection, session_id: str) -> str:
    """Give the session another token and return it; the old one is void.

    Raises:
        NotFound: it has ended meanwhile.
    """
    token = secrets.token_urlsafe(32)
    changed = conn.execute(
        table.update().where(table.c.id == session_id).values(hash=_hash(token))
    ).rowcount
    if not changed:
        raise NotFound("this session has ended: log in again")
    return token


def end(conn: sa.Connection, account_id: str, session_id: str) -> None:
    """End one session of the account.

    Raises:
        NotFound: it has no such session.
    """
    gone = conn.execute(
        table.delete().where(table.c.id == session_id, table.c.account_id == account_id)
    ).rowcount
    if not gone:
        raise NotFound("there is no such session: it may have ended by itself")


def drop(conn: sa.Connection, token: str) -> None:
    """End the session with this token, if there is one."""
    conn.execute(table.delete().where(table.c.hash == _hash(token)))


def end_all(conn: sa.Connection, account_id: str, *, but: str | None = None) -> int:
    """End the account's sessions, but for that with the id ``but``; returns how many."""
    query = table.delete().where(table.c.account_id == account_id)
    return conn.execute(query if but is None else query.where(table.c.id != but)).rowcount


def of(conn: sa.Connection, account_id: str, idle: timedelta) -> list[dict[str, Any]]:
    """The account's valid sessions, the one used last first."""
    now = sa.func.clock_timestamp()
    columns = [column for column in table.c if column.name not in {"hash", "account_id"}]
    rows = conn.execute(
        sa.select(*columns)
        .where(
            table.c.account_id == account_id, table.c.expires_at > now, table.c.seen_at > now - idle
        )
        .order_by(table.c.seen_at.desc())
    )
    return [dict(row._mapping) for row in rows]


def forget_ended(conn: sa.Connection, idle: timedelta) -> int:
    """Delete the sessions that ended by themselves; returns how many."""
    now = sa.func.clock_timestamp()
    ended = (
        sa.select(table.c.id)
        .where(sa.or_(table.c.expires_at <= now, table.c.seen_at <= now - idle))
        .with_for_update(skip_locked=True)
    )
    return conn.execute(table.delete().where(table.c.id.in_(ended.scalar_subquery()))).rowcount


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
