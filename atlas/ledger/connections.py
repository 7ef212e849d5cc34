"""Connections as the ledger keeps them: configurations encrypted, changes noticed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.errors import NotFound
from atlas.ledger.schedules import next_due
from atlas.ledger.secrets import decrypt, encrypt, fingerprint
from atlas.ledger.tables import connection as table
from atlas.ledger.tables import connector_state
from atlas.model.connection import Connection


@dataclass(frozen=True, slots=True)
class Stored:
    """A connection with its row's id; ``checked``: its source said that this very config works."""

    id: int
    connection: Connection
    checked: bool


def put(conn: sa.Connection, secret: bytes, connection: Connection) -> str:
    """Create or update; returns ``created``, ``updated`` or ``unchanged`` (no write then).

    The state of another connector means nothing to this one: it goes (and stays in the history).
    """
    document = connection.document()
    mark = _mark(secret, connection)
    present = _present(conn, connection.name)
    if present == mark:
        return "unchanged"
    values = {
        "connector": connection.connector,
        "executable": connection.executable,
        "config": encrypt(secret, connection.config),
        "document": document,
        "fingerprint": mark,
        "due_at": _due(conn, connection, present is not None),
    }
    changed = sa.select(table.c.id).where(
        table.c.name == connection.name,
        table.c.connector.is_distinct_from(connection.connector),
    )
    conn.execute(connector_state.delete().where(connector_state.c.connection_id.in_(changed)))
    statement = insert(table).values(name=connection.name, **values)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[table.c.name],
            set_={**values, "updated_at": sa.func.clock_timestamp()},
        )
    )
    return "created" if present is None else "updated"


def _due(conn: sa.Connection, connection: Connection, known: bool) -> datetime | None:
    """When the connection is due next: as before, unless its schedule is another one now."""
    if connection.schedule is None:
        return None
    if known:
        row = conn.execute(
            sa.select(table.c.document, table.c.due_at).where(table.c.name == connection.name)
        ).one()
        if row.document["schedule"] == connection.schedule and row.due_at is not None:
            due: datetime = row.due_at
            return due
    now: datetime = conn.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return next_due(connection.schedule, now)


def unchanged(conn: sa.Connection, secret: bytes, connection: Connection) -> bool:
    """Whether the connection is stored just so."""
    return _present(conn, connection.name) == _mark(secret, connection)


def get(conn: sa.Connection, secret: bytes, name: str) -> Stored:
    """The connection called ``name``.

    Raises:
        NotFound: there is none. TerminalError: the secret key is another one.
    """
    return _stored(secret, _row(conn, table.c.name == name, name))


def of_run(conn: sa.Connection, secret: bytes, connection_id: int | None) -> Stored:
    """The connection with this id, for a run of it.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    return _stored(secret, _row(conn, table.c.id == connection_id, "of this run"))


def id_of(conn: sa.Connection, name: str) -> int:
    """The id of the connection called ``name``.

    Raises:
        NotFound: there is none.
    """
    return int(_row(conn, table.c.name == name, name).id)


def checked(conn: sa.Connection, connection_id: int) -> None:
    """The source was asked with the present config, and said that it works."""
    conn.execute(
        table.update().where(table.c.id == connection_id).values(checked=table.c.fingerprint)
    )


def selects(conn: sa.Connection, name: str) -> list[str] | None:
    """Names of the streams that the connection selects; None: whatever the source has."""
    streams = _row(conn, table.c.name == name, name).document["streams"]
    return None if streams is None else list(streams)


def source(conn: sa.Connection, connection_id: int | None) -> tuple[str | None, str | None]:
    """Connector and executable of the connection, both None when it was deleted."""
    row = conn.execute(
        sa.select(table.c.connector, table.c.executable).where(table.c.id == connection_id)
    ).one_or_none()
    return (None, None) if row is None else (row.connector, row.executable)


def names(conn: sa.Connection) -> list[dict[str, Any]]:
    """All connections, by name, without their configurations."""
    rows = conn.execute(sa.select(table).order_by(table.c.name))
    return [
        {
            "name": row.name,
            "connector": row.connector,
            "executable": row.executable,
            **row.document,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
        for row in rows
    ]


def _row(conn: sa.Connection, condition: sa.ColumnElement[bool], shown: str) -> sa.Row[Any]:
    row = conn.execute(sa.select(table).where(condition)).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no connection {shown}: `atlas connections list` shows those there are"
        )
    return row


def _stored(secret: bytes, row: sa.Row[Any]) -> Stored:
    return Stored(
        id=row.id,
        connection=Connection.restore(
            name=row.name,
            connector=row.connector,
            executable=row.executable,
            config=decrypt(secret, row.config),
            document=row.document,
        ),
        checked=row.checked == row.fingerprint,
    )


def _mark(secret: bytes, connection: Connection) -> str:
    return fingerprint(
        secret,
        [connection.connector, connection.executable, connection.config, connection.document()],
    )


def _present(conn: sa.Connection, name: str) -> str | None:
    return conn.execute(sa.select(table.c.fingerprint).where(table.c.name == name)).scalar()
