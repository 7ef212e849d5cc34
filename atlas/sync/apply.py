"""Applying a connections file: everything in it is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from atlas.connectors import runner
from atlas.connectors.config import validate
from atlas.connectors.install import resolve
from atlas.errors import UsageError
from atlas.ledger import connections
from atlas.ledger.database import classified
from atlas.model.connection import Connection
from atlas.settings import Settings, secret_key
from atlas.sync import connections_file, policies, source_code
from atlas.sync.quality_tried import try_out


@dataclass(frozen=True, slots=True)
class Applied:
    """Names of what the file declares, each with ``created``, ``updated`` or ``unchanged``."""

    connections: list[tuple[str, str]]
    policies: list[tuple[str, str]]


def apply(
    engine: sa.Engine,
    settings: Settings,
    path: Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
    actor: str = "cli",
    reset_state: bool = False,
) -> Applied:
    """Create or update the policies and connections of a file, all or none.

    Connectors that are not installed are installed; each new or changed configuration is checked
    against its connector's spec.

    Args:
        actor: who does it, for the history of states.
        reset_state: forget the state of streams that are to have another cursor or key.

    Raises:
        UsageError: the file, a connector or a configuration is wrong, or a stream could not go on
            from its state; nothing was written.
        ActiveRun: a connection that has an active run is to have another connector, or lose a
            state.
        TransientError: PostgreSQL or a package index cannot be reached.
    """
    file = connections_file.read(path)
    found = source_code.located(path)
    secret = secret_key(settings)
    with classified(engine.url.render_as_string()):
        with engine.connect() as conn:
            try:
                policies.there(conn, file.connections, file.policies)
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from error
            changed = [
                connection
                for connection in file.connections
                if not connections.unchanged(conn, secret, connection)
            ]
        for connection in changed:
            _check(connection, settings, progress)
        with engine.begin() as conn:
            for connection in changed:
                try_out(conn, settings, connection)
        with engine.begin() as conn:
            # In one order, whoever applies what: before the connections, as everybody does.
            declared = {
                name: policies.put(conn, name, file.policies[name], actor=actor)
                for name in sorted(file.policies)
            }
            for connection in changed:
                policies.hold(conn, connection.pii)
            return Applied(
                [
                    (
                        item.name,
                        connections.put(
                            conn,
                            secret,
                            item,
                            actor=actor,
                            reset_state=reset_state,
                            source_code=found,
                        ),
                    )
                    for item in file.connections
                ],
                [(name, declared[name]) for name in file.policies],
            )


def _check(connection: Connection, settings: Settings, progress: Callable[[str], None]) -> None:
    progress(f"checking connection {connection.name}")
    try:
        connector = resolve(
            connection.connector,
            connection.executable,
            settings,
            install_missing=True,
            version=connection.version,
        )
    except UsageError as error:
        raise UsageError(f"connection {connection.name}: {error}") from error
    validate(connection.name, runner.spec(connector, settings), connection.config)
