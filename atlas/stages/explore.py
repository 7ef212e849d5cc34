"""Explore: the source's records into the raw layer, each checkpoint with the state it reached.

An attempt that broke off leaves rows beyond its last state. The next one takes those back before
it goes on from there, so that what the source sends again does not stand there twice. How rows and
states are committed is :mod:`atlas.stages.landing`'s.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from atlas.connectors import runner
from atlas.connectors.configure import configure
from atlas.connectors.install import Connector, resolve
from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.errors import AtlasError, TerminalError
from atlas.layers import explore as raw
from atlas.layers import names
from atlas.ledger import connections, runs, state
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream
from atlas.model.connection import Connection
from atlas.model.stream import AvailableStream, SyncMode
from atlas.settings import Settings, secret_key
from atlas.stages import ORDER
from atlas.stages.landing import Landing, Target
from atlas.stages.work import Work

log = logging.getLogger(__name__)


def run(work: Work) -> None:
    """Read the run's streams to their end, or as far as the source lets us.

    Raises:
        TransientError, TerminalError: the source could not be read; what a state covers stays.
    """
    settings = work.settings
    with work.reading() as conn:
        this = runs.get(conn, work.claim.run_id)
        stored = connections.of_run(conn, secret_key(settings), this.connection_id)
        planned = bool(runs.streams(conn, this.id))
    connection = stored.connection
    connector = resolve(connection.connector, connection.executable, settings, install_missing=True)
    spec = runner.spec(connector, settings)
    if not planned:
        available = _ask(connector, stored, settings, spec)
        configured = configure(
            available, connection.streams, this.selected, full_refresh=this.full_refresh
        )
        if not configured:
            raise TerminalError(f"connection {connection.name}: its source offers no stream")
        with work.transaction() as conn:
            connections.checked(conn, stored.id)
            runs.stamp_extraction(conn, this.id)
            runs.add_streams(
                conn,
                this.id,
                [(item, item.sync_mode is SyncMode.FULL_REFRESH) for item in configured],
                ORDER,
            )
    with work.transaction() as conn:
        streams = [
            _prepare(conn, connection, this.id, item) for item in runs.streams(conn, this.id)
        ]
        states = _states(state.get(conn, stored.id), streams)
    pending = [item for item in streams if not item.stream.explored]
    landing = Landing(work, stored.id, pending)
    if not pending:
        landing.end(None)
        return
    with Reader(
        connector,
        connection.config,
        [item.stream.configured for item in pending],
        states,
        settings,
        spec=spec,
        on_log=lambda level, text: log.debug("connector %s: %s", level, text),
    ) as reader:
        work.when_lost(reader.stop)
        _read(reader, landing)
        if reader.control is not None:
            log.warning(
                "connection %s: its source sent a new configuration (a rotated token?), which "
                "this version does not keep",
                connection.name,
            )
        landing.end(reader)


def _ask(
    connector: Connector, stored: connections.Stored, settings: Settings, spec: dict[str, Any]
) -> list[AvailableStream]:
    """What the source offers; and, of a configuration that it has not seen, whether it works.

    Both at once, for starting a connector takes seconds. Its own word on the configuration is the
    better error.
    """
    config = stored.connection.config
    with ThreadPoolExecutor(1) as pool:
        check = None
        if not stored.checked:
            check = pool.submit(runner.check, connector, config, settings, spec=spec)
        try:
            available = runner.discover(connector, config, settings, spec=spec)
        except AtlasError:
            if check is not None:
                check.result()
            raise
        if check is not None:
            check.result()
    return available


def _prepare(conn: sa.Connection, connection: Connection, run_id: str, stream: RunStream) -> Target:
    cur = cursor(conn)
    tables = names.tables(cur, connection.name, stream.key)
    raw.ensure(cur, tables)
    names.columns(cur, connection.name, stream.key, stream.configured.json_schema)
    if not stream.explored:
        gone = runs.take_back(conn, stream.id, all_of_it=stream.refreshes)
        raw.remove(cur, tables, run_id, gone)
    return Target(stream, tables)


def _states(stored: list[state.State], targets: list[Target]) -> list[str]:
    """What the connector gets to go on from; nothing for streams that are read anew."""
    incremental = {
        item.stream.key
        for item in targets
        if not item.stream.refreshes and not item.stream.explored
    }
    return [
        item.document
        for item in stored
        if (item.key in incremental if item.key is not None else bool(incremental))
    ]


def _read(reader: Reader, landing: Landing) -> None:
    messages = iter(reader)
    while True:
        try:
            message = next(messages)
        except StopIteration:
            return
        except AtlasError as error:
            landing.break_off(reader, error)
            raise
        if isinstance(message, Records):
            landing.add(message)
        elif isinstance(message, State):
            landing.state(message)
