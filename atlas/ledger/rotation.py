"""Replacing the secret key: first both open the keys at work, then only the new one does.

In between the processes get the new one, each in its own time, and work goes on. What the secret
key protects is made anew at the end: whoever has the old one, and a copy of the database from
before, reads nothing that is stored later. The identity stays, so no token and no history changes.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger.secrets import Keys, encrypt, hold, key_id, keys, reader, seal
from atlas.ledger.tables import metadata, secret_slot

ENCRYPTED = [
    column for table in metadata.sorted_tables for column in table.c if column.info.get("encrypted")
]
"""Every column that holds what :func:`atlas.ledger.secrets.encrypt` made."""


def admit(conn: sa.Connection, secret: bytes, new: bytes) -> None:
    """Have ``new`` open the keys at work beside ``secret``. Twice is once.

    Raises:
        WrongSecretKey: ``secret`` does not open them.
    """
    hold(conn, alone=True)
    opened = keys(conn, secret)
    seal(conn, new, opened)


def finish(conn: sa.Connection, secret: bytes) -> int:
    """Have ``secret`` alone open the keys at work, and encrypt all that is stored with a new key.
    Returns how many configurations those were.

    Raises:
        WrongSecretKey: ``secret`` does not open them.
        UsageError: it is not the one that was admitted last; nothing was changed.
    """
    hold(conn, alone=True)
    opened = keys(conn, secret)
    newest = sa.select(secret_slot.c.key_id).order_by(secret_slot.c.id.desc()).limit(1)
    if conn.execute(newest).scalar_one() != key_id(secret):
        raise UsageError(
            "another secret key was admitted after this one, and would be shut out: "
            "set ATLAS_SECRET_KEY to that one"
        )
    decrypt = reader(conn, secret)
    found = [
        (column, row.key, decrypt(bytes(row.content)))
        for column in ENCRYPTED
        for row in conn.execute(
            sa.select(column.table.c.id.label("key"), column.label("content"))
            .where(column.is_not(None))
            .with_for_update()
        )
    ]
    conn.execute(sa.delete(secret_slot).where(secret_slot.c.key_id != key_id(secret)))
    seal(conn, secret, Keys(opened.identity, secrets.token_bytes(32)))
    for column, key, content in found:
        conn.execute(
            sa.update(column.table)
            .where(column.table.c.id == key)
            .values({column.name: encrypt(conn, secret, content)})
        )
    return len(found)
