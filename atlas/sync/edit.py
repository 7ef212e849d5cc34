"""Connections that are made, changed and deleted one by one, as over HTTP.

The same checks as for a file, but nothing is installed and no program is run: whoever asks waits
for the answer. What a configuration must be is known once its connector is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2.errorcodes import DEADLOCK_DETECTED
from sqlalchemy.exc import DBAPIError

from atlas.connectors import catalog, runner
from atlas.connectors.config import validate
from atlas.connectors.install import present
from atlas.connectors.masking import literal, masked, unmasked, within_roots
from atlas.errors import ActiveRun, NotAllowed, NotFound, NotInstalled, UsageError
from atlas.layers import removal, staging
from atlas.ledger import audit, connections, runs
from atlas.ledger.connections import Stored
from atlas.ledger.database import classified, cursor
from atlas.model.connection import Connection
from atlas.pii.policy import kept
from atlas.quality.own import own_sql
from atlas.roles import Role
from atlas.settings import Settings, secret_key
from atlas.sync import connections_file, policies
from atlas.sync.quality_tried import try_out

_ATTEMPTS = 5
"""Times that a deletion is begun which is ended by a deadlock: each took a second to be found."""


def create(
    conn: sa.Connection,
    settings: Settings,
    document: Mapping[str, Any],
    *,
    actor: str,
    may_unmask: bool,
    may_query: bool,
) -> None:
    """Make the connection of ``document`` (:func:`connections_file.from_document`).

    Args:
        actor: who does it, such as ``api: nightly``.
        may_unmask: whether its own operators may be ``keep``.
        may_query: whether its checks may have SQL of the user's own.

    Raises:
        UsageError: something in it is wrong. NotInstalled: its connector is not.
        NotAllowed: it would keep what its policy masks, or query what it may not. Conflict: its
            name is in use.
    """
    literal(document.get("config") or {})
    connection = connections_file.from_document(document)
    _see_what_it_keeps(None, connection, may_unmask)
    _see_what_it_queries(None, connection, may_query)
    _check(settings, connection)
    try_out(conn, settings, connection)
    policies.hold(conn, connection.pii)
    connections.create(conn, secret_key(settings), connection, actor=actor)


def change(
    conn: sa.Connection,
    settings: Settings,
    name: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    may_unmask: bool,
    may_query: bool,
    reset_state: bool = False,
    seen: Callable[[sa.Connection], None] | None = None,
) -> None:
    """Give the connection other values for what ``changes`` names. In its config a mask stands for
    the value that is stored.

    Args:
        actor: who does it, such as ``api: nightly``.
        may_unmask: whether its own operators may become ``keep``.
        may_query: whether SQL of the user's own may come into its checks.
        reset_state: forget the state of streams that are to have another cursor or key.
        seen: asked once nobody else can change the connection; may refuse by an exception.

    Raises:
        NotFound: there is no such connection. UsageError: something in the changes is wrong, or a
            stream could not go on from its state. NotInstalled: its connector is not.
        NotAllowed: it would keep what its policy masks.
        ActiveRun: it is to have another connector while it is being synced.
    """
    secret = secret_key(settings)
    if "pii" in changes:
        # Before the connection, as whoever applies a file does.
        policies.hold(conn, connections_file.pii(changes["pii"], f"connection {name}"))
    connections.lock(conn, name)
    if seen is not None:
        seen(conn)
    before = connections.get(conn, secret, name).connection
    wanted = dict(changes)
    if wanted.get("connector") in (None, before.connector):
        wanted.pop("connector", None)
        if "config" in wanted:
            wanted["config"] = unmasked(wanted["config"] or {}, before.config)
    elif "config" not in wanted:
        # What is secret to one connector may be shown by another.
        raise UsageError("config: another connector needs its own; send it along")
    else:
        literal(wanted["config"] or {})
    after = connections_file.changed(before, wanted)
    _see_what_it_keeps(before, after, may_unmask)
    _see_what_it_queries(before, after, may_query)
    try_out(conn, settings, after)
    if "config" in wanted or "version" in wanted:
        if after.connector is None:
            raise UsageError(
                f"config: the source of connection {name} is a program, which is configured from "
                "the command line only (`atlas apply`)"
            )
        _check(settings, after)
    connections.put(conn, secret, after, actor=actor, reset_state=reset_state)


def describe(conn: sa.Connection, settings: Settings, name: str) -> dict[str, Any]:
    """The connection as a document, secrets masked.

    Raises:
        NotFound: there is no such connection.
    """
    stored: Stored = connections.get(conn, secret_key(settings), name)
    connection = stored.connection
    return {
        "name": connection.name,
        "connector": connection.connector,
        "executable": connection.executable,
        # Not what the source has sent since: its own additions no spec knows to be secret.
        "config": masked(_spec(settings, connection), stored.declared),
        "version": connection.version,
        "schema_changes": connection.schema_changes.value,
        **connection.document(),
        "source_code": None if stored.source_code is None else stored.source_code.document(),
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
    }


def delete(
    engine: sa.Engine,
    name: str,
    *,
    actor: str,
    drop_data: bool = False,
    seen: Callable[[sa.Connection], None] | None = None,
) -> list[str]:
    """Delete a connection with its schedule and states.

    Args:
        actor: who does it, such as ``api: nightly``.
        drop_data: also drop its tables in all layers, and forget their names and its runs.
        seen: as for :func:`change`.

    Returns:
        The tables that were dropped, as ``schema.table``.

    Raises:
        NotFound: there is no such connection. ActiveRun: it is being synced.
        Conflict: something else in the database depends on one of its tables.
        TransientError: PostgreSQL cannot do it now.
    """
    with classified(engine.url.render_as_string()):
        left = _ATTEMPTS
        while True:
            left -= 1
            try:
                with engine.begin() as conn:
                    return _delete(conn, name, actor, drop_data, seen)
            except (DBAPIError, psycopg2.Error) as error:
                # Whoever still looks after its runs locks the same rows in another order.
                if not left or not _deadlocked(error):
                    raise


def _deadlocked(error: DBAPIError | psycopg2.Error) -> bool:
    return getattr(getattr(error, "orig", error), "pgcode", None) == DEADLOCK_DETECTED


def _delete(
    conn: sa.Connection,
    name: str,
    actor: str,
    drop_data: bool,
    seen: Callable[[sa.Connection], None] | None,
) -> list[str]:
    # From here on nobody can start a run of it.
    connection_id = connections.lock(conn, name)
    if seen is not None:
        seen(conn)
    active = runs.active_of(conn, connection_id)
    if active is not None:
        raise ActiveRun(name, active)
    cur = cursor(conn)
    # Nobody will retry its runs, so nobody needs what they left at work.
    for run_stream_id in set(staging.left(cur)) & set(connections.streams_read(conn, name)):
        staging.drop(cur, run_stream_id)
    connections.delete(conn, connection_id)
    audit.put(conn, actor, "connection.delete", name, {"drop_data": drop_data})
    if not drop_data:
        return []
    connections.forget_runs(conn, name)
    return removal.drop(cur, name)


def _see_what_it_keeps(before: Connection | None, after: Connection, may_unmask: bool) -> None:
    """See that whoever only configures does not unmask, as the policy's own makers may."""
    new = kept(after.pii) - kept(before.pii if before else None)
    if new and not may_unmask:
        raise NotAllowed(Role.PRIVACY, f"pii: {min(new)} would be kept as it is")


def _check(settings: Settings, connection: Connection) -> None:
    try:
        entry = catalog.get(str(connection.connector), settings)
    except NotFound as error:
        raise UsageError(f"connector: {error}") from error
    within_roots(entry.name, connection.config, settings)
    spec = _spec(settings, connection)
    if spec is None:
        raise NotInstalled(entry.name)
    validate(connection.name, spec, connection.config)


def _spec(settings: Settings, connection: Connection) -> dict[str, Any] | None:
    found = None
    if connection.connector is not None:
        found = present(connection.connector, settings, connection.version)
    return None if found is None else runner.kept_spec(found, settings)


def _see_what_it_queries(before: Connection | None, after: Connection, may_query: bool) -> None:
    """Refuse SQL of the user's own in checks, from whom it is not taken.

    A check is evaluated on the originals, by Atlas's own user in the database: whoever writes SQL
    there can read whatever that user can.

    Raises:
        NotAllowed: names the check's key and line.
    """
    if may_query or (before is not None and before.quality == after.quality):
        return
    texts = [("quality.checks", after.quality.checks)]
    texts += [
        (f"quality.streams.{name}.checks", asked.checks)
        for name, asked in after.quality.streams.items()
    ]
    held = () if before is None else before.quality.texts()
    for key, text in texts:
        line = own_sql(text) if text and text not in held else None
        if line is not None:
            raise NotAllowed(
                Role.ADMIN, f"{key}, line {line}: SQL of one's own reads whatever Atlas can"
            )
