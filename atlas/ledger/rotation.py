"""Replacing the secret key, and the key that tokens come from.

The secret key: first both open the keys at work, then only the new one does.
In between the processes get the new one, each in its own time, and work goes on. What the secret
key protects is made anew at the end: whoever has the old one, and a copy of the database from
before, reads nothing that is stored later. The identity stays, so no token and no history changes.

The key of tokens: a new one is made beside those before it. Each stream goes on with its own, until
its tables are masked anew; then a key that no stream has any more is forgotten.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger import connections
from atlas.ledger.secrets import (
    Keys,
    encrypt,
    hold,
    key_id,
    keys,
    reader,
    remember_token_keys,
    seal,
)
from atlas.ledger.tables import metadata, run, run_stream, secret_slot, stream_table
from atlas.model.stage import Status

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
    seal(conn, secret, Keys(opened.identity, secrets.token_bytes(32), opened.tokens))
    for column, key, content in found:
        conn.execute(
            sa.update(column.table)
            .where(column.table.c.id == key)
            .values({column.name: encrypt(conn, secret, content)})
        )
    return len(found)


def add_token_key(conn: sa.Connection, secret: bytes) -> int:
    """Make a key that tokens come from in whatever is masked anew from now on; returns its number.

    Raises:
        WrongSecretKey: ``secret`` does not open the keys at work.
        UsageError: the secret key is being replaced.
    """
    hold(conn, alone=True)
    opened = keys(conn, secret)
    _alone(conn)
    number = opened.newest + 1
    _put_tokens(conn, secret, opened, {**opened.tokens, number: secrets.token_bytes(32)})
    return number


def behind(conn: sa.Connection, secret: bytes) -> list[str]:
    """Names of the connections of which tables may hold tokens of an older key than the newest.

    Raises:
        WrongSecretKey: ``secret`` does not open the keys at work.
        UsageError: the secret key is being replaced.
    """
    hold(conn)
    newest = keys(conn, secret).newest
    _alone(conn)
    return list(
        conn.execute(
            sa.select(stream_table.c.connection)
            .where(stream_table.c.token_key < newest)
            .distinct()
            .order_by(stream_table.c.connection)
        ).scalars()
    )


def skip_unused(conn: sa.Connection, secret: bytes, connection: str) -> None:
    """Have the streams of a connection that never came to chart begin with the newest key, unless
    a run of it is at work or may be retried: that one has masked by the key of before.

    Raises:
        NotFound: there is no such connection (any more).
    """
    connection_id = connections.lock(conn, connection)  # from here on no run begins or goes on
    last = conn.execute(
        sa.select(run.c.status)
        .where(run.c.connection_id == connection_id)
        .order_by(run.c.seq.desc())
        .limit(1)
    ).scalar()
    if last in (None, Status.SUCCEEDED.value):
        skip_empty(conn, connection, keys(conn, secret).newest)


def skip_empty(conn: sa.Connection, connection: str, number: int) -> None:
    """Have the streams of a connection that never came to chart begin with the key of this number.
    No run may be at work on them, or be retried."""
    conn.execute(
        stream_table.update()
        .where(
            stream_table.c.connection == connection,
            sa.func.to_regclass(sa.func.format("chart.%I", stream_table.c.table_name)).is_(None),
        )
        .values(token_key=number)
    )


def forget_token_keys(conn: sa.Connection, secret: bytes) -> tuple[list[int], list[int]]:
    """Forget the keys of which no table can hold a token; returns the numbers of those that are
    left, and of those that were forgotten.

    Raises:
        WrongSecretKey: ``secret`` does not open the keys at work.
        UsageError: the secret key is being replaced.
    """
    hold(conn, alone=True)
    opened = keys(conn, secret)
    _alone(conn)
    # Whoever is about to give a stream its key is waited for, and no stream gets one meanwhile.
    conn.execute(sa.text("LOCK TABLE pipeline.stream_table IN SHARE MODE"))
    # A run that masks anew has its own before its tables do, also if it is retried.
    newer = run.alias("newer")
    of_runs = (
        sa.select(run_stream.c.token_key)
        .join(run, run.c.id == run_stream.c.run_id)
        .where(
            run_stream.c.token_key.is_not(None),
            run.c.connection_id.is_not(None),
            run.c.status != Status.SUCCEEDED.value,
            ~sa.exists().where(
                newer.c.connection_id == run.c.connection_id, newer.c.seq > run.c.seq
            ),
        )
    )
    used = set(conn.execute(sa.select(stream_table.c.token_key).union(of_runs)).scalars())
    left = {n: key for n, key in opened.tokens.items() if n in used or n == opened.newest}
    if left != opened.tokens:
        _put_tokens(conn, secret, opened, left)
    return sorted(left), sorted(opened.tokens.keys() - left.keys())


def _alone(conn: sa.Connection) -> None:
    if conn.execute(sa.select(sa.func.count()).select_from(secret_slot)).scalar_one() > 1:
        raise UsageError(
            "the secret key is being replaced, and the other one would not open the new key: run "
            "`atlas keys rotate-secret --finish` first"
        )


def _put_tokens(conn: sa.Connection, secret: bytes, opened: Keys, tokens: dict[int, bytes]) -> None:
    seal(conn, secret, Keys(opened.identity, opened.config, tokens))
    remember_token_keys(conn, tokens)
