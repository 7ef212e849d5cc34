"""Explore: the source's records into the raw layer, each checkpoint with the state it reached.

An attempt that broke off leaves rows beyond its last state. The next one takes those back before
it goes on from there, so that what the source sends again does not stand there twice. How rows and
states are committed is :mod:`atlas.stages.landing`'s.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from atlas.connectors import runner
from atlas.connectors.config import REFERENCE, secrets
from atlas.connectors.configure import configure
from atlas.connectors.install import Connector, resolve
from atlas.connectors.protocol import Control, State
from atlas.connectors.reader import Reader, Records
from atlas.errors import AtlasError, TerminalError
from atlas.layers import explore as raw
from atlas.layers import names
from atlas.ledger import connections, dataset_notes, ends, parts, runs, state
from atlas.ledger import state_documents as documents
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream
from atlas.ledger.state_basis import asks_for_reset
from atlas.model.connection import Connection
from atlas.model.stage import Status
from atlas.model.stream import AvailableStream, StreamKey, SyncMode
from atlas.settings import secret_key
from atlas.stages import ORDER, remask, reprocess
from atlas.stages.evolution import Offer, lost_streams, settle
from atlas.stages.landing import Landing, Target, reading
from atlas.stages.rotation import Rotation
from atlas.stages.run_log import ConnectorLog
from atlas.stages.work import Work

log = logging.getLogger(__name__)


_GONE = (
    "its source has it no more; what came of it stays: take it from the connection's streams, or "
    "bring it back"
)


def run(work: Work) -> None:
    """Read the run's streams to their end, or as far as the source lets us.

    Raises:
        TransientError, TerminalError: the source could not be read; what a state covers stays.
    """
    settings = work.settings
    with work.reading() as conn:
        this = runs.get(conn, work.claim.run_id)
    if this.remasks:
        remask.plan(work, this)
        return
    if this.reprocesses:
        reprocess.plan(work, this)
        return
    with work.reading() as conn:
        stored = connections.of_run(conn, secret_key(settings), this.connection_id)
        planned = bool(runs.streams(conn, this.id))
    connection = stored.connection
    connector = resolve(
        connection.connector,
        connection.executable,
        settings,
        install_missing=True,
        version=connection.version,
    )
    spec = runner.spec(connector, settings, watch=work)
    rotation = Rotation(work.transaction, settings, stored, spec)
    if not planned:
        available = _ask(work, connector, rotation, spec, checked=stored.checked)
        with work.reading() as conn:
            known = _known(conn, connection, available)
            lost = lost_streams(conn, connection, stored.id, this, available)
        selections = connection.streams and {
            name: it for name, it in connection.streams.items() if name not in lost
        }
        configured = configure(available, selections, this.selected, this.full_refresh, known)
        if not configured:
            missing = f" of {', '.join(sorted(lost))}" if lost else ""
            raise TerminalError(
                f"connection {connection.name}: its source offers no stream{missing}"
            )
        with work.transaction() as conn:
            gone = [] if this.selected else list(lost.values())
            offer = Offer(available, configured, gone)
            configured = settle(conn, connection, stored.id, this, offer)
            connections.checked(conn, stored.id)
            runs.stamp_extraction(conn, this.id)
            runs.add_streams(
                conn,
                this.id,
                [(item, item.sync_mode is SyncMode.FULL_REFRESH) for item in configured],
                ORDER,
            )
            runs.add_streams(conn, this.id, [(item, False) for item in gone], ORDER, gone=True)
            for item in runs.streams(conn, this.id):
                if item.gone:
                    ends.end_stream(conn, item.id, Status.FAILED, _GONE)
    with work.transaction() as conn:
        streams = [
            _prepare(conn, connection, this.id, item)
            for item in runs.streams(conn, this.id)
            if not item.gone
        ]
        present = state.get(conn, stored.id)
    pending = [item for item in streams if not item.stream.explored]
    whole = this.selected is None and len(pending) == len(streams)
    going_on = reading(pending, whole=whole)
    asks_for_reset(connection.name, present, going_on)
    states = [
        text
        for item in present
        if (text := documents.given(item.type, item.key, item.document, going_on))
    ]
    landing = Landing(work, stored, pending, whole=whole)
    if not pending:
        landing.end(None)
        return
    with (
        ConnectorLog(work) as said,
        Reader(
            connector,
            rotation.config,
            [item.stream.configured for item in pending],
            states,
            settings,
            spec=spec,
            on_log=said,
            on_start=work.connector_started,
        ) as reader,
    ):
        work.when_lost(reader.stop)
        _read(reader, landing, rotation)
        landing.end(reader)


def _ask(
    work: Work, connector: Connector, rotation: Rotation, spec: dict[str, Any], *, checked: bool
) -> list[AvailableStream]:
    """What the source offers; and, of a configuration that it has not seen, whether it works.

    One after the other where the configuration may hold a token: if the first one rotates it, the
    second one needs the new one. Else both at once, for starting a connector takes seconds.
    """
    settings, watch = work.settings, work

    def check() -> None:
        config = rotation.config
        runner.check(connector, config, settings, spec=spec, watch=watch, changed=rotation)

    def discover() -> list[AvailableStream]:
        config = rotation.config
        return runner.discover(
            connector, config, settings, spec=spec, watch=watch, changed=rotation
        )

    if checked:
        return discover()
    if not secrets(spec, rotation.config) and not REFERENCE.search(json.dumps(rotation.config)):
        with ThreadPoolExecutor(1) as pool:
            checking = pool.submit(contextvars.copy_context().run, check)
            with contextlib.suppress(AtlasError):
                available = discover()
                checking.result()
                return available
        # One may not have borne the other: now alone, for an answer that can be relied on.
    check()
    return discover()


def _known(
    conn: sa.Connection, connection: Connection, available: list[AvailableStream]
) -> dict[StreamKey, Collection[str]]:
    """The properties that streams had before, where the connection selects some by name."""
    selected = {name for name, it in (connection.streams or {}).items() if it.columns is not None}
    return {
        item.key: names.known(cursor(conn), connection.name, item.key)
        for item in available
        if {item.key.name, str(item.key)} & selected
    }


def _prepare(conn: sa.Connection, connection: Connection, run_id: str, stream: RunStream) -> Target:
    cur = cursor(conn)
    tables = names.tables(cur, connection.name, stream.key)
    raw.ensure(cur, tables)
    names.columns(cur, connection.name, stream.key, stream.configured.json_schema)
    dataset_notes.index(conn, connection.name, stream.key, stream.configured.json_schema)
    if not stream.explored:
        gone = runs.take_back(conn, stream.id, all_of_it=stream.refreshes)
        if gone:
            parts.take_back(conn, stream.id, run_id, min(each.first_id for each in gone))
        raw.remove(cur, tables, run_id, gone)
    return Target(stream, tables)


def _read(reader: Reader, landing: Landing, rotation: Rotation) -> None:
    messages = iter(reader)
    while True:
        try:
            message = next(messages)
        except StopIteration:
            return
        except AtlasError as error:
            landing.break_off(reader, error)
            raise
        landing.estimate(reader.estimates)
        if isinstance(message, Records):
            landing.add(message)
        elif isinstance(message, Control):
            rotation(message.config)
        elif isinstance(message, State):
            landing.state(message, reader)
