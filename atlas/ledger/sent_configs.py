"""Configurations that a source sends in the place of the declared one, as when it rotates a token.

What the user declared is kept beside what the source sent, so that declaring it again changes
nothing, and declaring something else changes that and nothing else.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.ledger.secrets import encrypt, reader
from atlas.ledger.tables import connection as table

Config = dict[str, Any]


def keep(conn: sa.Connection, secret: bytes, connection_id: int, was: Config, now: Config) -> bool:
    """Keep the config ``now``, which the source sent for ``was``.

    Returns:
        Whether it was kept: not where the config is another one by now.

    Raises:
        TransientError: the secret key is another one.
    """
    decrypt = reader(conn, secret)
    row = conn.execute(
        sa.select(table.c.config, table.c.declared)
        .where(table.c.id == connection_id)
        .with_for_update(key_share=True)
    ).one_or_none()
    if row is None or decrypt(bytes(row.config)) != was:
        return False
    conn.execute(
        table.update()
        .where(table.c.id == connection_id)
        .values(config=encrypt(conn, secret, now), declared=row.declared or row.config)
    )
    return True


def merged(declared: Config, sent: Config, wanted: Config) -> tuple[Config, Config]:
    """What to store and what to remember as declared, when a user wants the config ``wanted``.

    A part that is as the user declared it, or as the source sent it, is not what the user changed:
    there the source's stays.
    """
    stored = {name: value for name, value in sent.items() if name not in declared}
    remembered: Config = {}
    for name, value in wanted.items():
        before, new = declared.get(name), sent.get(name)
        if isinstance(before, dict) and isinstance(new, dict) and isinstance(value, dict):
            stored[name], remembered[name] = merged(before, new, value)
        elif name in sent and value in (new, before):
            stored[name] = new
            if name in declared:
                remembered[name] = before
        else:
            stored[name] = remembered[name] = value
    return stored, remembered
