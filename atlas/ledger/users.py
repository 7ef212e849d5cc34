"""People who log in: their accounts, their roles, and links that set a password once.

There is no password that Atlas comes with: the first account is made by whoever holds the link
that ``atlas up`` prints. Whatever changes an account is written into the audit log with it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from datetime import timedelta
from itertools import chain, count
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from atlas.errors import Conflict, NotFound, UsageError
from atlas.ledger import audit, passwords, sessions
from atlas.ledger.tables import account as table
from atlas.ledger.tables import login_link
from atlas.model import access
from atlas.roles import Role

LINK_LIFE = timedelta(hours=24)
"""How long a link that sets a password can be used."""

_PROVIDER = "identity provider"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_SHOWN = ("id", "name", "role", "created_at", "password_at", "last_login_at", "disabled_at")


def create(
    conn: sa.Connection, name: str, role: str, password: str | None = None, *, actor: str
) -> dict[str, Any]:
    """A new account, as :func:`all_users` has it.

    Args:
        password: None: it cannot log in before :func:`link` or :func:`set_password`.

    Raises:
        UsageError: the name is none or taken, the role is none, or the password is too weak.
    """
    role = access.named(role)
    if not _NAME.fullmatch(name):
        raise UsageError(
            "name: must be 1 to 64 small letters, digits or any of . _ @ + -, "
            "beginning with a letter or digit"
        )
    values: dict[str, Any] = {"id": str(uuid.uuid4()), "name": name, "role": role}
    if password is not None:
        passwords.check(password, name)
        values |= {
            "password": passwords.hashed(password),
            "password_at": sa.func.clock_timestamp(),
        }
    try:
        with conn.begin_nested():
            conn.execute(table.insert().values(**values))
    except IntegrityError as error:
        raise UsageError(f"there is a user called {name!r} already: choose another name") from error
    audit.put(conn, actor, "user.create", name, {"role": role})
    return get(conn, name)


def any_user(conn: sa.Connection) -> bool:
    """Whether there is an account, be it disabled."""
    return bool(conn.execute(sa.select(sa.exists().where(table.c.id.is_not(None)))).scalar())


def all_users(conn: sa.Connection) -> list[dict[str, Any]]:
    """Every account by name: who may do what, never a password."""
    rows = conn.execute(_shown().order_by(table.c.name.collate("C")))
    return [_document(row) for row in rows]


def get(conn: sa.Connection, name: str) -> dict[str, Any]:
    """The account called ``name``, as :func:`all_users` has it.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(_shown().where(table.c.name == name)).one_or_none()
    if row is None:
        raise _unknown(name)
    return _document(row)


def kept_password(conn: sa.Connection, account_id: str) -> str | None:
    """What is kept of the account's password, or None if it has none."""
    query = sa.select(table.c.password).where(table.c.id == account_id)
    return conn.execute(query).scalar_one_or_none()


def set_role(
    conn: sa.Connection, name: str, role: str, *, actor: str, session_id: str | None = None
) -> str | None:
    """Give the account another role. Its sessions end, but for ``session_id``, which gets another
    token: that is returned.

    Raises:
        NotFound: there is none. UsageError: the role is none. Conflict: nobody would be admin.
    """
    role = access.named(role)
    row = _locked(conn, name)
    if row.role == role:
        return None
    if role != Role.ADMIN:
        _see_admin_left(conn, row)
    conn.execute(table.update().where(table.c.id == row.id).values(role=role))
    audit.put(conn, actor, "user.role", name, {"from": row.role, "to": role})
    return _renew(conn, row.id, session_id)


def disable(conn: sa.Connection, name: str, *, actor: str) -> None:
    """Shut the account out from now on; a second time changes nothing.

    Raises:
        NotFound: there is none. Conflict: nobody would be admin.
    """
    row = _locked(conn, name)
    if row.disabled_at is not None:
        return
    _see_admin_left(conn, row)
    conn.execute(
        table.update().where(table.c.id == row.id).values(disabled_at=sa.func.clock_timestamp())
    )
    conn.execute(login_link.delete().where(login_link.c.account_id == row.id))
    sessions.end_all(conn, row.id)
    audit.put(conn, actor, "user.disable", name)


def enable(conn: sa.Connection, name: str, *, actor: str) -> None:
    """Let the account in again; one that is not shut out stays as it is.

    Raises:
        NotFound: there is none.
    """
    row = _locked(conn, name)
    if row.disabled_at is not None:
        conn.execute(table.update().where(table.c.id == row.id).values(disabled_at=None))
        audit.put(conn, actor, "user.enable", name)


def set_password(
    conn: sa.Connection, name: str, password: str, *, actor: str, session_id: str | None = None
) -> str | None:
    """Give the account another password. Its sessions end, but for ``session_id``, which gets
    another token: that is returned.

    Raises:
        NotFound: there is none. UsageError: the password is too weak.
    """
    passwords.check(password, name)
    kept = passwords.hashed(password)
    row = _locked(conn, name)
    _keep_password(conn, row.id, kept)
    audit.put(conn, actor, "user.password", name)
    return _renew(conn, row.id, session_id)


def link(conn: sa.Connection, name: str | None, *, actor: str) -> str:
    """What stands in a new link that sets the password of the account, or with None makes the first
    account. It can be used once within :data:`LINK_LIFE`; the one before it is void.

    Raises:
        NotFound: there is no such account. Conflict: it is shut out, or there is an account already
            and None was given.
    """
    lock(conn)
    account_id = None
    if name is None:
        if any_user(conn):
            raise Conflict(
                "there are users already: log in, or have `atlas users reset` set a password"
            )
    else:
        row = _locked(conn, name)
        if row.disabled_at is not None:
            raise Conflict(f"user {name!r} is disabled: enable it first")
        account_id = row.id
    text = secrets.token_urlsafe(32)
    conn.execute(
        login_link.delete().where(login_link.c.account_id.is_not_distinct_from(account_id))
    )
    conn.execute(
        login_link.insert().values(
            hash=_hash(text),
            account_id=account_id,
            expires_at=sa.func.clock_timestamp() + LINK_LIFE,
        )
    )
    audit.put(conn, actor, "user.link", name or "first user")
    return text


def linked(conn: sa.Connection, text: str) -> dict[str, Any] | None:
    """``{"name"}`` of the account whose password the link sets, None in it for the first account;
    None: the link is void.
    """
    row = conn.execute(
        sa.select(table.c.name)
        .select_from(login_link.outerjoin(table, table.c.id == login_link.c.account_id))
        .where(login_link.c.hash == _hash(text), _usable())
    ).one_or_none()
    return None if row is None else {"name": row.name}


def use_link(conn: sa.Connection, text: str, name: str, password: str) -> str:
    """Use a link up: make the first account, an admin called ``name``; or set the password of the
    link's account. Returns the account's id.

    Raises:
        NotFound: the link is void. UsageError: the name or the password will not do.
    """
    lock(conn)
    row = conn.execute(
        login_link.delete()
        .where(login_link.c.hash == _hash(text), _usable())
        .returning(login_link.c.account_id)
    ).one_or_none()
    if row is None or (row.account_id is None and any_user(conn)):
        raise NotFound(
            "this link was used or is too old: `atlas users setup-link` prints a new one while "
            "there is no user; else ask an admin for another"
        )
    if row.account_id is None:
        made = create(conn, name, Role.ADMIN, password, actor="set-up link")
        return str(made["id"])
    known = conn.execute(sa.select(table.c.name).where(table.c.id == row.account_id)).scalar_one()
    set_password(conn, known, password, actor=f"user: {known}")
    return str(row.account_id)


def from_provider(conn: sa.Connection, issuer: str, subject: str, name: str, role: str) -> str:
    """Id of the account of whom an identity provider calls ``subject``, with the role that it
    gives; one that is new is made, called ``name`` or like it if that is taken.

    Whoever has another role now is logged out elsewhere. An account of the same name that the
    provider did not make is somebody else's.
    """
    lock(conn)
    row = conn.execute(
        sa.select(table).where(table.c.issuer == issuer, table.c.subject == subject)
    ).one_or_none()
    if row is not None:
        if row.role != role:
            conn.execute(table.update().where(table.c.id == row.id).values(role=role))
            audit.put(conn, _PROVIDER, "user.role", row.name, {"from": row.role, "to": role})
            sessions.end_all(conn, row.id)
        return str(row.id)
    like = sa.select(table.c.name).where(table.c.name.startswith(name, autoescape=True))
    taken = set(conn.execute(like).scalars())
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    free = next(each for each in names if each not in taken)
    made = create(conn, free, role, actor=_PROVIDER)
    conn.execute(
        table.update().where(table.c.id == made["id"]).values(issuer=issuer, subject=subject)
    )
    return str(made["id"])


def lock(conn: sa.Connection) -> None:
    """Let nobody else change accounts before this transaction ends."""
    conn.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('atlas accounts', 7))"))


def _locked(conn: sa.Connection, name: str) -> sa.Row[Any]:
    lock(conn)
    row = conn.execute(sa.select(table).where(table.c.name == name)).one_or_none()
    if row is None:
        raise _unknown(name)
    return row


def _see_admin_left(conn: sa.Connection, row: sa.Row[Any]) -> None:
    """Refuse to take away the last admin who logs in with a password of Atlas's own: what an
    identity provider says may change at any time."""
    others = sa.exists().where(
        table.c.role == Role.ADMIN,
        table.c.disabled_at.is_(None),
        table.c.password.is_not(None),
        table.c.id != row.id,
    )
    if row.role == Role.ADMIN and row.password and not conn.execute(sa.select(others)).scalar():
        raise Conflict(f"user {row.name!r} is the last admin: make somebody else one first")


def _keep_password(conn: sa.Connection, account_id: str, kept: str) -> None:
    conn.execute(
        table.update()
        .where(table.c.id == account_id)
        .values(password=kept, password_at=sa.func.clock_timestamp())
    )
    conn.execute(login_link.delete().where(login_link.c.account_id == account_id))


def _renew(conn: sa.Connection, account_id: str, session_id: str | None) -> str | None:
    sessions.end_all(conn, account_id, but=session_id)
    return None if session_id is None else sessions.rotate(conn, session_id)


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no user {name[:80]!r}: `atlas users list` shows those there are")


def _usable() -> sa.ColumnElement[bool]:
    return login_link.c.expires_at > sa.func.clock_timestamp()


def _shown() -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in _SHOWN), table.c.issuer.is_not(None).label("oidc"))


def _document(row: sa.Row[Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row._mapping.items()}


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
