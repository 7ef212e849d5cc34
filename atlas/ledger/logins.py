"""Logging in with a password, and how often that may be tried.

Tries are counted in PostgreSQL before the password is looked at, so that many at once do not slip
through: by address, by name and address together, and by name from wherever. Whoever has used up
their own tries uses up nobody else's, so that one place alone keeps no owner of a name out. A name
that there is not and a wrong password cost the same and are answered the same.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa

from atlas.errors import AtlasError
from atlas.ledger import audit, passwords, sessions
from atlas.ledger.secrets import derive
from atlas.ledger.tables import account, login_count

log = logging.getLogger(__name__)

WINDOW = timedelta(minutes=15)
PER_NAME_AND_ADDRESS = 10
"""Passwords that may be tried for one name from one address, as :func:`network` has it, within
:data:`WINDOW` without one that fits."""
PER_ADDRESS = 50
"""The same from one address, whatever the names."""
PER_NAME = 200
"""The same for one name, from all addresses together: it takes twenty to keep its owner out."""
PER_SESSION = 10
"""The same of somebody who is logged in and tries their own password."""


class Refused(AtlasError):
    """The name or the password is wrong, or the account is disabled: it is not said which."""

    def __init__(self) -> None:
        super().__init__("the name or the password is wrong")


class TooMany(AtlasError):
    """Too many passwords were tried; ``seconds`` until one may be tried again."""

    def __init__(self, seconds: int) -> None:
        super().__init__("too many passwords were tried: wait a while and try again")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Browser:
    """Where somebody logs in from, and how long that holds at most; ``before``: the token of the
    session that it has already, which ends."""

    address: str
    agent: str | None
    life: timedelta
    before: str | None = field(default=None, repr=False)


def by_password(
    engine: sa.Engine, secret: bytes, name: str, password: str, browser: Browser
) -> str:
    """Token of a new session of the account that the name and the password are of.

    Args:
        secret: the secret key. Names are kept hashed: somebody may type a password as a name.

    Raises:
        TooMany: the password was not looked at. Refused: it does not fit.
        TransientError: PostgreSQL, or this process, cannot do it now.
    """
    # No name is that long, and what is longer is not worth hashing.
    name = name.strip().lower()[:65]
    place = network(browser.address)
    there = _of_name(secret, name) + _key(secret, f"{name} at {place}")[:_HALF]
    # In one order, so that two do not wait for each other.
    counted = {
        _key(secret, f"address {place}"): PER_ADDRESS,
        there: PER_NAME_AND_ADDRESS,
        _of_name(secret, name): PER_NAME,
    }
    with engine.begin() as conn:
        seconds = _count(conn, counted)
    if seconds:
        log.warning("a login is refused unseen: too many were tried")
        raise TooMany(seconds)
    with engine.connect() as conn:
        row = conn.execute(sa.select(account).where(account.c.name == name)).one_or_none()
    usable = row is not None and row.disabled_at is None
    fits = passwords.fits(row.password if row and usable else None, password)
    if row is None or not fits:
        with engine.begin() as conn:
            audit.put(conn, "nobody", "login.failed", "unknown name" if row is None else row.name)
        raise Refused
    renewed = passwords.hashed(password) if passwords.outdated(row.password) else row.password
    with engine.begin() as conn:
        # Held until the session is there: whoever changes the password meanwhile ends it, too.
        same = sa.and_(account.c.id == row.id, account.c.password == row.password)
        if not conn.execute(account.update().where(same).values(password=renewed)).rowcount:
            raise Refused
        _uncount(conn, list(counted))
        conn.execute(login_count.delete().where(login_count.c.who == there))
        return enter(conn, str(row.id), "password", browser)


def enter(conn: sa.Connection, account_id: str, how: str, browser: Browser) -> str:
    """Token of a new session of the account, which has shown by ``how`` that it is who it is.

    Raises:
        Refused: the account is disabled.
    """
    if browser.before is not None:
        sessions.drop(conn, browser.before)
    name = conn.execute(
        account.update()
        .where(account.c.id == account_id, account.c.disabled_at.is_(None))
        .values(last_login_at=sa.func.clock_timestamp())
        .returning(account.c.name)
    ).scalar()
    if name is None:
        raise Refused
    audit.put(conn, f"user: {name}", "login", name, {"by": how})
    return sessions.begin(
        conn, account_id, life=browser.life, address=browser.address, agent=browser.agent
    )


def see(conn: sa.Connection, secret: bytes, session_id: str) -> None:
    """Count that somebody who is logged in tries their own password; strangers count elsewhere.

    Raises:
        TooMany: it is not to be looked at.
    """
    seconds = _count(conn, {_key(secret, f"session {session_id}"): PER_SESSION})
    if seconds:
        raise TooMany(seconds)


def forget(conn: sa.Connection, secret: bytes, name: str, *, session_id: str | None = None) -> None:
    """Let passwords be tried for ``name`` again, from everywhere, and in this session. Whoever
    changes the account, too, does that first: a login takes the two in this order."""
    counts = (
        sa.select(login_count.c.who)
        .where(sa.func.substr(login_count.c.who, 1, _HALF) == _of_name(secret, name))
        # As tries are counted: the name's own last.
        .order_by(sa.func.length(login_count.c.who).desc())
        .with_for_update()
    )
    conn.execute(login_count.delete().where(login_count.c.who.in_(counts.scalar_subquery())))
    if session_id is not None:
        own = _key(secret, f"session {session_id}")
        conn.execute(login_count.delete().where(login_count.c.who == own))


def forget_old(conn: sa.Connection) -> int:
    """Delete counts of long ago; returns how many."""
    old = (
        sa.select(login_count.c.who)
        .where(login_count.c.since <= sa.func.clock_timestamp() - WINDOW)
        .with_for_update(skip_locked=True)
    )
    query = login_count.delete().where(login_count.c.who.in_(old.scalar_subquery()))
    return conn.execute(query).rowcount


def network(address: str) -> str:
    """What counts as one address: of IPv6 the /48, which is the most that a site is usually given,
    so that one machine has no thousands of them; of IPv4 also where IPv6 carries it, as sockets
    that listen on ``::`` say it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 48), strict=False))


_COUNT = sa.text(
    """
    INSERT INTO pipeline.login_count AS c (who, tries, since)
    VALUES (:who, 1, clock_timestamp())
    ON CONFLICT (who) DO UPDATE
       SET tries = CASE WHEN c.since <= clock_timestamp() - CAST(:window AS interval)
                        THEN 1 ELSE c.tries + 1 END,
           since = CASE WHEN c.since <= clock_timestamp() - CAST(:window AS interval)
                        THEN clock_timestamp() ELSE c.since END
    RETURNING tries, CAST(ceil(extract(epoch FROM
              c.since + CAST(:window AS interval) - clock_timestamp())) AS integer) AS seconds
    """
)


def _count(conn: sa.Connection, counted: dict[bytes, int]) -> int:
    """Count a try; seconds to wait if it is one too many, else 0. What is too many for one count is
    not counted by those behind it: no password is looked at for it."""
    for who, most in counted.items():
        row = conn.execute(_COUNT, {"who": who, "window": WINDOW}).one()
        if row.tries > most:
            return max(int(row.seconds), 1)
    return 0


def _uncount(conn: sa.Connection, counted: list[bytes]) -> None:
    """Take back the try that let somebody in."""
    for who in counted:
        query = login_count.update().where(login_count.c.who == who, login_count.c.tries > 0)
        conn.execute(query.values(tries=login_count.c.tries - 1))


_HALF = 16


def _of_name(secret: bytes, name: str) -> bytes:
    """The count of a name, with which its counts at each address begin."""
    return _key(secret, f"name {name}")[:_HALF]


def _key(secret: bytes, text: str) -> bytes:
    return hmac.digest(derive(secret, "login counts"), text.encode(), "sha256")
