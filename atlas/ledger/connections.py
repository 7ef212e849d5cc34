"""Connections as the ledger keeps them: configurations encrypted, changes noticed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.errors import Conflict, NotFound, UsageError
from atlas.ledger import audit, lineage, outages, paging, sent_configs, state
from atlas.ledger.schedules import due
from atlas.ledger.secrets import encrypt, fingerprint, hold, reader
from atlas.ledger.state_basis import chosen_anew, reset_command
from atlas.ledger.state_changes import Change
from atlas.ledger.tables import connection as table
from atlas.ledger.tables import pii_override, run, run_stream, source_change
from atlas.model.connection import Connection, selection
from atlas.model.evolution import SchemaPolicy
from atlas.model.quality import Quality
from atlas.model.source_code import SourceCode


@dataclass(frozen=True, slots=True)
class Stored:
    """A connection with its row's id; ``checked``: its source said that this very config works;
    ``declared``: the config as its user wrote it, whatever the source has sent since;
    ``source_code``: the file that it was applied from, where that stands in a repository."""

    id: int
    connection: Connection
    checked: bool
    created_at: datetime
    updated_at: datetime
    declared: dict[str, Any] = field(repr=False)
    source_code: SourceCode | None


def put(
    conn: sa.Connection,
    secret: bytes,
    connection: Connection,
    *,
    actor: str = "cli",
    reset_state: bool = False,
    source_code: SourceCode | None = None,
) -> str:
    """Create or update; returns ``created``, ``updated`` or ``unchanged`` (no write then).

    What the source has sent for its config (:mod:`atlas.ledger.sent_configs`) stays where the user
    changed nothing. The state of another connector means nothing to this one: it goes (and stays
    in the history).

    Args:
        actor: who does it, for the history of the state.
        reset_state: forget the state of streams that are to have another cursor or key.
        source_code: the file that it is applied from, where that stands in a repository. Of a
            connection that is unchanged an earlier commit of the file tells as much.

    Raises:
        UsageError: a stream has a state and is to have another cursor or key.
        ActiveRun: it is to have another connector or lose a state, and has an active run.
    """
    if unchanged(conn, secret, connection):
        return _moved(conn, connection, source_code, actor)
    decrypt = reader(conn, secret)
    row = conn.execute(
        sa.select(table).where(table.c.name == connection.name).with_for_update(key_share=True)
    ).one_or_none()
    declared = None
    config_before = None if row is None else decrypt(bytes(row.config))
    source = (connection.connector, connection.executable)
    if row is not None and row.declared is not None and (row.connector, row.executable) == source:
        before, sent = decrypt(bytes(row.declared)), decrypt(bytes(row.config))
        config, declared = sent_configs.merged(before, sent, connection.config)
        mark = _mark(conn, secret, replace(connection, config=declared))
        connection = replace(connection, config=config)
        declared = None if declared == config else declared
        if row.fingerprint == mark:
            return _moved(conn, connection, source_code, actor)
    else:
        mark = _mark(conn, secret, connection)
    values = _values(conn, secret, connection, mark, known=row is not None)
    values["declared"] = None if declared is None else encrypt(conn, secret, declared)
    values["source_code"] = sa.null() if source_code is None else source_code.document()
    if row is not None and row.connector != connection.connector:
        change = Change(conn, connection.name, actor=actor, what="you give it another connector")
        if state.get(conn, row.id):
            change.reset(None, action="connector")
    elif row is not None:
        _see_to_states(conn, row, connection, actor=actor, reset=reset_state)
    statement = insert(table).values(name=connection.name, **values)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[table.c.name],
            set_={**values, "updated_at": sa.func.clock_timestamp()},
        )
    )
    if row is None:
        audit.put(conn, actor, "connection.create", connection.name, _source(connection))
        return "created"
    _tell_update(conn, actor, row.document, connection, config=config_before != connection.config)
    return "updated"


def _moved(
    conn: sa.Connection, connection: Connection, source_code: SourceCode | None, actor: str
) -> str:
    """See that a connection that is unchanged is known to stand in ``source_code``'s file."""
    if source_code is None:
        return "unchanged"
    known = table.c.source_code
    there = sa.and_(
        known["repository"].as_string() == source_code.repository,
        known["path"].as_string() == source_code.path,
    )
    moved = conn.execute(
        table.update()
        .where(table.c.name == connection.name, sa.func.coalesce(there, sa.false()).is_(sa.false()))
        .values(source_code=source_code.document(), updated_at=sa.func.clock_timestamp())
    )
    if not moved.rowcount:
        return "unchanged"
    detail = {**_source(connection), "changed": ["source_code"]}
    audit.put(conn, actor, "connection.update", connection.name, detail)
    return "updated"


def _source(connection: Connection) -> dict[str, Any]:
    # A program's path is the operator's business.
    return {"source": connection.connector or "a program"}


def _tell_update(
    conn: sa.Connection,
    actor: str,
    before: dict[str, Any],
    connection: Connection,
    *,
    config: bool,
) -> None:
    """What changed is named, never what it was or is: either may hold a secret."""
    changed = [key for key, value in connection.document().items() if before.get(key) != value]
    changed += ["config"] if config else []
    detail = {**_source(connection), "changed": sorted(changed)}
    audit.put(conn, actor, "connection.update", connection.name, detail)


def _see_to_states(
    conn: sa.Connection, row: sa.Row[Any], connection: Connection, *, actor: str, reset: bool
) -> None:
    """See that no stream would go on from a state that another cursor or key made."""
    former = row.document["streams"]
    before = None if former is None else {name: selection(each) for name, each in former.items()}
    name, present = connection.name, state.get(conn, row.id)
    for owner, key, words in chosen_anew(before, connection.streams, present):
        if not reset:
            raise UsageError(
                f"connection {name}: stream {key}: {words}, so it cannot go on from its state: "
                f"`{reset_command(name, owner, key)}` forgets that, or `atlas apply --reset-state`"
            )
        alone = key in owner.streams
        Change(conn, name, actor=actor).reset(key if alone else None)
        if not alone:  # there is none left
            return


def create(conn: sa.Connection, secret: bytes, connection: Connection, *, actor: str) -> None:
    """Create a connection of a name that is free.

    Raises:
        Conflict: it is not.
    """
    mark = _mark(conn, secret, connection)
    values = _values(conn, secret, connection, mark, known=False)
    made = conn.execute(
        insert(table)
        .values(name=connection.name, **values)
        .on_conflict_do_nothing(index_elements=[table.c.name])
        .returning(table.c.id)
    ).scalar()
    if made is None:
        raise Conflict(
            f"there is a connection {connection.name} already: change that, or choose another name"
        )
    audit.put(conn, actor, "connection.create", connection.name, _source(connection))


def lock(conn: sa.Connection, name: str) -> int:
    """Keep the connection as it is, and from being synced anew, until the transaction ends;
    returns its id.

    Raises:
        NotFound: there is none.
    """
    hold(conn)  # before any row, as whoever replaces the key does
    return int(_row(conn, table.c.name == name, name, lock=True).id)


def delete(conn: sa.Connection, connection_id: int) -> None:
    """Delete a connection with its states and their history; its runs and tables stay."""
    outages.forget(conn, connection_id)
    conn.execute(table.delete().where(table.c.id == connection_id))


def streams_read(conn: sa.Connection, name: str) -> list[int]:
    """Ids of all streams of all runs of connections of this name."""
    return list(
        conn.execute(
            sa.select(run_stream.c.id)
            .join(run, run.c.id == run_stream.c.run_id)
            .where(run.c.connection == name)
        ).scalars()
    )


def forget_runs(conn: sa.Connection, name: str) -> None:
    """Delete all runs of connections of this name, with all that is written about them."""
    conn.execute(source_change.delete().where(source_change.c.connection == name))
    conn.execute(pii_override.delete().where(pii_override.c.connection == name))
    lineage.forget(conn, name)
    conn.execute(run.delete().where(run.c.connection == name))


def _values(
    conn: sa.Connection, secret: bytes, connection: Connection, mark: str, *, known: bool
) -> dict[str, Any]:
    return {
        "connector": connection.connector,
        "executable": connection.executable,
        "config": encrypt(conn, secret, connection.config),
        "document": connection.document(),
        "fingerprint": mark,
        **due(conn, connection.name, connection.schedule, known=known),
    }


def unchanged(conn: sa.Connection, secret: bytes, connection: Connection) -> bool:
    """Whether the connection is stored just so."""
    return _present(conn, connection.name) == _mark(conn, secret, connection)


def get(conn: sa.Connection, secret: bytes, name: str) -> Stored:
    """The connection called ``name``.

    Raises:
        NotFound: there is none. WrongSecretKey: as it says.
    """
    return _stored(conn, secret, table.c.name == name, name)


def of_run(conn: sa.Connection, secret: bytes, connection_id: int | None) -> Stored:
    """The connection with this id, for a run of it.

    Raises:
        NotFound: it was deleted meanwhile. WrongSecretKey: as it says.
    """
    return _stored(conn, secret, table.c.id == connection_id, "of this run")


def checked(conn: sa.Connection, connection_id: int) -> None:
    """The source was asked with the present config, and said that it works."""
    conn.execute(
        table.update().where(table.c.id == connection_id).values(checked=table.c.fingerprint)
    )


def selects(conn: sa.Connection, name: str) -> list[str] | None:
    """Names of the streams that the connection selects; None: whatever the source has."""
    streams = _row(conn, table.c.name == name, name).document["streams"]
    return None if streams is None else list(streams)


def quality(conn: sa.Connection, name: str) -> Quality | None:
    """What the connection called ``name`` asks of its data; None: there is no such connection."""
    document = conn.execute(sa.select(table.c.document).where(table.c.name == name)).scalar()
    return None if document is None else Quality.restore(document["quality"])


_TOLD = sa.select(table.c.connector, table.c.executable, table.c.source_code).where(
    table.c.id == sa.bindparam("id")
)


@dataclass(frozen=True, slots=True)
class Told:
    """What lineage tells of a connection; nothing is known of one that was deleted."""

    connector: str | None = None
    executable: str | None = None
    source_code: SourceCode | None = None


def told(conn: sa.Connection, connection_id: int | None) -> Told:
    """What lineage tells of the connection."""
    row = conn.execute(_TOLD, {"id": connection_id}).one_or_none()
    if row is None:
        return Told()
    return Told(row.connector, row.executable, _source_code(row.source_code))


def _source_code(document: dict[str, Any] | None) -> SourceCode | None:
    return None if document is None else SourceCode(**document)


def names(
    conn: sa.Connection,
    *,
    after: str | None = None,
    limit: int | None = None,
    down: bool = False,
) -> list[dict[str, Any]]:
    """All connections, by name (``down``: the other way), without their configurations; or
    ``limit`` that come after a name."""
    query = paging.behind(sa.select(table), table.c.name.collate("C"), after, down=down)
    rows = conn.execute(query.limit(limit))
    return [
        {
            "name": row.name,
            "connector": row.connector,
            "executable": row.executable,
            "version": None,
            "schema_changes": SchemaPolicy.EVOLVE.value,
            **row.document,
            "source_code": row.source_code,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
        for row in rows
    ]


def _row(
    conn: sa.Connection, condition: sa.ColumnElement[bool], shown: str, *, lock: bool = False
) -> sa.Row[Any]:
    query = sa.select(table).where(condition)
    row = conn.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no connection {shown}: `atlas connections list` shows those there are"
        )
    return row


def _stored(
    conn: sa.Connection, secret: bytes, condition: sa.ColumnElement[bool], shown: str
) -> Stored:
    decrypt = reader(conn, secret)
    row = _row(conn, condition, shown)
    return Stored(
        id=row.id,
        connection=Connection.restore(
            name=row.name,
            connector=row.connector,
            executable=row.executable,
            config=decrypt(bytes(row.config)),
            document=row.document,
        ),
        checked=row.checked == row.fingerprint,
        created_at=row.created_at,
        updated_at=row.updated_at,
        declared=decrypt(bytes(row.declared or row.config)),
        source_code=_source_code(row.source_code),
    )


def _mark(conn: sa.Connection, secret: bytes, connection: Connection) -> str:
    return fingerprint(
        conn,
        secret,
        [connection.connector, connection.executable, connection.config, connection.document()],
    )


def _present(conn: sa.Connection, name: str) -> str | None:
    return conn.execute(sa.select(table.c.fingerprint).where(table.c.name == name)).scalar()
