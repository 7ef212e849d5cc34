"""API keys: who may ask for what. A key is shown once; only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from atlas.errors import NotFound, UsageError
from atlas.ledger import audit
from atlas.ledger.prepared import Prepared
from atlas.ledger.tables import api_key
from atlas.model import access
from atlas.model.access import Asker
from atlas.roles import Role

USED_EVERY = timedelta(minutes=1)
"""How exact the time is at which a key was used last."""


def create(
    conn: sa.Connection, name: str, role: str, expires: timedelta | None = None, *, actor: str
) -> dict[str, str]:
    """A new key: ``{"id", "name", "role", "key"}``; the key itself is not kept.

    Args:
        actor: who makes it, such as ``user: ann``.

    Raises:
        UsageError: the name is taken or the role is none.
    """
    role = access.named(role)
    key = "atlas_" + secrets.token_urlsafe(32)
    key_id = str(uuid.uuid4())
    expires_at = None if expires is None else sa.func.clock_timestamp() + expires
    try:
        with conn.begin_nested():
            conn.execute(
                api_key.insert().values(
                    id=key_id, name=name, role=role, hash=_hash(key), expires_at=expires_at
                )
            )
    except IntegrityError as error:
        raise UsageError(f"there is a key called {name!r} already: choose another name") from error
    audit.put(conn, actor, "key.create", name, {"id": key_id, "role": role})
    return {"id": key_id, "name": name, "role": role, "key": key}


_FIND = Prepared(
    sa.text(
        """
        -- Asked with every request.
        PREPARE atlas_find_key (bytea, interval) AS
        SELECT CAST(id AS text) AS id, name, role,
               coalesce(last_used_at < clock_timestamp() - $2, true) AS stale
          FROM pipeline.api_key
         WHERE hash = $1 AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > clock_timestamp())
        """
    ),
    sa.text("EXECUTE atlas_find_key (:hash, :every)"),
)


def find(conn: sa.Connection, key: str) -> tuple[Asker, bool] | None:
    """The valid key with this text, and whether its use is to be written down; or None."""
    row = _FIND.run(conn, {"hash": _hash(key), "every": USED_EVERY}).one_or_none()
    return None if row is None else (Asker(row.id, row.name, Role(row.role)), row.stale)


def touch(conn: sa.Connection, key_id: str) -> None:
    """Write down that the key is being used; whoever is at it already, does it."""
    mine = sa.select(api_key.c.id).where(api_key.c.id == key_id).with_for_update(skip_locked=True)
    conn.execute(
        api_key.update()
        .where(api_key.c.id.in_(mine.scalar_subquery()))
        .values(last_used_at=sa.func.clock_timestamp())
    )


def all_keys(conn: sa.Connection) -> list[dict[str, Any]]:
    """Every key, also expired and revoked ones, oldest first, without its text."""
    columns = [column for column in api_key.c if column.name != "hash"]
    rows = conn.execute(sa.select(*columns).order_by(api_key.c.created_at))
    # SQLAlchemy's names are no plain texts, which is all that a JSON writer takes.
    return [{str(name): value for name, value in row._mapping.items()} for row in rows]


def revoke(conn: sa.Connection, key_id: str, *, actor: str) -> None:
    """Make a key invalid from now on; a second time changes nothing.

    Args:
        actor: who does it, such as ``user: ann``.

    Raises:
        NotFound: there is no such key.
    """
    try:
        canonical = str(uuid.UUID(key_id))
    except ValueError as error:
        raise NotFound(f"there is no key {key_id!r}: `atlas keys list` shows ids") from error
    row = conn.execute(
        sa.select(api_key.c.name, api_key.c.revoked_at)
        .where(api_key.c.id == canonical)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no key {key_id}: `atlas keys list` shows ids")
    if row.revoked_at is None:
        conn.execute(
            api_key.update()
            .where(api_key.c.id == canonical)
            .values(revoked_at=sa.func.clock_timestamp())
        )
        audit.put(conn, actor, "key.revoke", row.name, {"id": canonical})


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
