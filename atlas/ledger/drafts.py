"""Drafts: connections that somebody is putting together, step by step, before there is one.

A draft belongs to who began it and is shown to nobody else. Its configuration is encrypted like a
connection's, and goes with it a day after the last step.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.ledger.secrets import encrypt, reader
from atlas.ledger.tables import draft as table

LIFETIME = timedelta(hours=24)
"""How long a draft is kept after its last step."""
MOST = 20
"""Drafts that one person may have: the oldest goes when another is begun."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A connection in the making.

    Attributes:
        connection: name of the one that is edited; None: a new one.
        connector: name of its connector; None: its source is a program.
        document: what was said in other steps than the configuration's.
    """

    id: str
    connection: str | None
    connector: str | None
    config: dict[str, Any] = field(repr=False)
    document: dict[str, Any] = field(default_factory=dict)


def create(
    conn: sa.Connection,
    secret: bytes,
    *,
    asked_by: str,
    connector: str | None,
    connection: str | None = None,
    config: dict[str, Any] | None = None,
    document: dict[str, Any] | None = None,
) -> str:
    """Begin a draft; returns its id. Those past their time, and the oldest of too many, go."""
    mine = sa.select(table.c.id).where(table.c.asked_by == asked_by)
    newest = mine.order_by(table.c.created_at.desc()).limit(MOST - 1)
    old = table.c.updated_at < sa.func.clock_timestamp() - LIFETIME
    surplus = sa.and_(table.c.asked_by == asked_by, table.c.id.not_in(newest))
    conn.execute(table.delete().where(sa.or_(old, surplus)))
    draft_id = str(uuid.uuid4())
    conn.execute(
        table.insert().values(
            id=draft_id,
            asked_by=asked_by,
            connection=connection,
            connector=connector,
            config=encrypt(conn, secret, config or {}),
            document=document or {},
        )
    )
    return draft_id


def get(
    conn: sa.Connection, secret: bytes, draft_id: str, *, asked_by: str, lock: bool = False
) -> Draft:
    """The draft with this id.

    Args:
        lock: keep it as it is until the transaction ends.

    Raises:
        NotFound: there is none (any more), or it is somebody else's.
    """
    decrypt = reader(conn, secret)
    query = sa.select(table).where(
        # As text: what is no id is no error of the database either.
        sa.cast(table.c.id, sa.Text) == draft_id,
        table.c.asked_by == asked_by,
        table.c.updated_at >= sa.func.clock_timestamp() - LIFETIME,
    )
    row = conn.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("this draft is not there any more: one is kept for a day; begin anew")
    return Draft(
        row.id, row.connection, row.connector, decrypt(bytes(row.config)), dict(row.document)
    )


def save(
    conn: sa.Connection,
    secret: bytes,
    draft: Draft,
    *,
    config: dict[str, Any] | None = None,
    **words: Any,
) -> None:
    """Keep what a step said: another configuration, or values in the document by name."""
    values: dict[str, Any] = {
        "document": {**draft.document, **words},
        "updated_at": sa.func.clock_timestamp(),
    }
    if config is not None:
        values["config"] = encrypt(conn, secret, config)
    conn.execute(table.update().where(table.c.id == draft.id).values(values))


def delete(conn: sa.Connection, draft_id: str) -> None:
    """Forget a draft."""
    conn.execute(table.delete().where(table.c.id == draft_id))
