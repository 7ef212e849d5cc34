"""Keyed hashes, made in SQL: of rows, and of their keys."""

from __future__ import annotations

import hashlib

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable

_BLOCK = 64


def hash_key(cur: extensions.cursor, secret: bytes) -> None:
    """Set the key of :func:`keyed_hash` for the rest of the transaction.

    Keyed, so that the hash of a masked row cannot be used to guess what it was.
    """
    block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(
        _BLOCK, b"\0"
    )
    # HMAC's two paddings, for SQL has no exclusive or of byte strings
    inner, outer = (bytes(byte ^ pad for byte in block).hex() for pad in (0x36, 0x5C))
    cur.execute(
        "SELECT set_config('atlas.row_hash_inner', %s, true),"
        " set_config('atlas.row_hash_outer', %s, true)",
        (inner, outer),
    )
    cur.execute("SELECT 1")  # so that the key is not what pg_stat_activity shows last


def keyed_hash(text: Composable) -> Composable:
    """HMAC-SHA256 of ``text`` (NULL: of nothing), as hexadecimal digits."""
    return SQL(
        "encode(sha256((SELECT decode(current_setting('atlas.row_hash_outer'), 'hex'))"
        " || sha256((SELECT decode(current_setting('atlas.row_hash_inner'), 'hex'))"
        " || convert_to(coalesce({}, ''), 'UTF8'))), 'hex')"
    ).format(text)
