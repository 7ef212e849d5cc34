"""Explore: the source's records into the raw layer, each checkpoint with the state it reached.

A checkpoint is one transaction: rows, the ranges they stand in, and the state that covers them.
An attempt that broke off leaves rows beyond its last state; the next one takes those back before
it goes on from there, so that what the source sends again does not stand there twice.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import sqlalchemy as sa

from atlas.connectors import runner
from atlas.connectors.configure import configure
from atlas.connectors.install import resolve
from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.errors import AtlasError, LostClaim
from atlas.layers import explore as raw
from atlas.layers import names
from atlas.ledger import claims, connections, outbox, runs, state
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream
from atlas.model.connection import Connection
from atlas.model.stage import Status as Ended
from atlas.model.stream import StreamKey, SyncMode
from atlas.settings import secret_key
from atlas.stages import ORDER
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
        available = runner.discover(connector, connection.config, settings, spec=spec)
        configured = configure(
            available, connection.streams, this.selected, full_refresh=this.full_refresh
        )
        with work.transaction() as conn:
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
    with contextlib.closing(Landing(work, stored.id, pending)) as landing:
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
            work.on_lost.append(reader.stop)
            _read(reader, landing)
            landing.end(reader)


@dataclass(frozen=True, slots=True)
class Target:
    """A stream with the tables it lands in."""

    stream: RunStream
    tables: names.Tables


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
    try:
        for message in reader:
            if isinstance(message, Records):
                landing.add(message)
            elif isinstance(message, State):
                landing.state(message)
            elif message.status == "COMPLETE":
                landing.complete(message.stream)
    except LostClaim:
        raise
    except AtlasError:
        # What was read stays to be looked at; a further attempt takes it back first.
        landing.commit_all()
        raise


class Landing:
    """The open checkpoint: rows on their way, and the states that will cover them.

    Per stream, rows that came before its pending state are sealed by it; those after it stay
    behind for the next checkpoint. So a committed range is covered whole or not at all.
    """

    def __init__(self, work: Work, connection_id: int, targets: list[Target]) -> None:
        self._work = work
        self._connection_id = connection_id
        self._targets = {item.stream.key: item for item in targets}
        self._sealed: dict[StreamKey, list[Records]] = defaultdict(list)
        self._loose: dict[StreamKey, list[Records]] = defaultdict(list)
        self._states: dict[StreamKey | None, State] = {}
        self._explored: set[StreamKey] = set()
        self._rows = 0
        self._bytes = 0
        self._manager: AbstractContextManager[sa.Connection] | None = None
        self._conn: sa.Connection | None = None
        self._writer: raw.RawWriter | None = None
        self._since = time.monotonic()

    def add(self, records: Records) -> None:
        """Take records; they are sent when enough have come together."""
        self._loose[records.stream].append(records)
        self._rows += len(records)
        self._bytes += sum(map(len, records.data))
        if self._bytes >= self._work.settings.buffer_bytes:
            if self._states:
                self.commit()
            self._send(self._loose)

    def state(self, message: State) -> None:
        """Take a state; commit if the checkpoint is large or old enough."""
        self._states[message.stream] = message
        sealed = list(self._loose) if message.stream is None else [message.stream]
        for key in sealed:
            if key in self._loose:
                self._sealed[key] += self._loose.pop(key)
        settings = self._work.settings
        if (
            self._rows >= settings.checkpoint_rows
            or time.monotonic() - self._since >= settings.checkpoint_seconds
        ):
            self.commit()

    def complete(self, key: StreamKey) -> None:
        """The source says the stream is read to its end: its own stages may begin."""
        if key not in self._targets or key in self._explored:
            return
        self._explored.add(key)
        if key in self._loose:
            if self._states:
                self.commit()
            self._send({key: self._loose.pop(key)})
        self.commit(complete=[key])

    def commit(self, complete: Sequence[StreamKey] = ()) -> None:
        """Commit what was sent and sealed, the states, and the streams that are complete."""
        self._send(self._sealed)
        if self._conn is None and not self._states and not complete:
            return
        conn = self._open()
        self._settle(conn)
        messages = self._hand_over(conn, complete)
        self._close()
        self._work.wake(messages)

    def commit_all(self) -> None:
        """Commit everything, also what no state covers."""
        self.commit()
        self._send(self._loose)
        self.commit()

    def end(self, reader: Reader | None) -> None:
        """The connector ended well: settle what is open, and end the stage.

        Where it says statuses at all, a stream without COMPLETE has failed.
        """
        self.commit_all()
        complete: list[StreamKey] = []
        failed: dict[StreamKey, str] = {}
        for key in self._targets.keys() - self._explored if reader is not None else ():
            assert reader is not None  # noqa: S101 - see the line above
            error = _shortfall(reader, key)
            if error is None:
                complete.append(key)
            else:
                failed[key] = error
        conn = self._open()
        messages = self._hand_over(conn, complete)
        for key, error in failed.items():
            claims.end_stream(conn, self._targets[key].stream.id, Ended.FAILED, error)
        if reader is not None:
            runs.oddities(
                conn,
                self._work.claim.run_id,
                repaired=reader.repaired,
                ignored=reader.ignored,
            )
        state.remember(conn, self._work.claim.run_id)
        rows = sum(item.rows_explore for item in runs.streams(conn, self._work.claim.run_id))
        self._work.finish(conn, rows=rows)
        self._close()
        self._work.wake(messages)

    def close(self) -> None:
        """Give up what is not committed."""
        if self._manager is not None:
            manager, self._manager, self._conn = self._manager, None, None
            error = LostClaim("given up")
            with contextlib.suppress(LostClaim):
                manager.__exit__(LostClaim, error, None)

    def _open(self) -> sa.Connection:
        if self._conn is None:
            settings = self._work.settings
            # The source may keep us waiting within an open checkpoint.
            self._manager = self._work.transaction(idle=settings.connector_idle_timeout + 60)
            self._conn = self._manager.__enter__()
            self._writer = raw.RawWriter(cursor(self._conn), self._work.claim.run_id)
        return self._conn

    def _close(self) -> None:
        manager, self._manager, self._conn, self._writer = self._manager, None, None, None
        self._states.clear()
        self._rows = sum(len(part) for parts in self._loose.values() for part in parts)
        self._since = time.monotonic()
        assert manager is not None  # noqa: S101 - only called with an open one
        manager.__exit__(None, None, None)

    def _send(self, parts: dict[StreamKey, list[Records]]) -> None:
        """COPY these rows into the open checkpoint."""
        for key, batches in parts.items():
            self._open()
            assert self._writer is not None  # noqa: S101 - _open made it
            for batch in batches:
                self._writer.write(
                    self._targets[key].tables,
                    list(zip(batch.data, batch.emitted_at, strict=True)),
                )
                self._bytes -= sum(map(len, batch.data))
        parts.clear()

    def _settle(self, conn: sa.Connection) -> None:
        """Write down the ranges that were sent, and the states."""
        assert self._writer is not None  # noqa: S101 - the checkpoint is open
        covered = {key for key in self._targets if key in self._states or None in self._states}
        sent = self._writer.take()
        for key, target in self._targets.items():
            if target.tables in sent:
                runs.add_segment(
                    conn, target.stream.id, sent[target.tables], covered=key in covered
                )
        runs.cover(conn, [self._targets[key].stream.id for key in covered])
        for stream, message in self._states.items():
            known = self._targets.get(stream) if stream is not None else None
            # The state of a plain full refresh is none to go on from.
            if stream is None or (known is not None and _resumable(known.stream)):
                state.put(
                    conn,
                    self._connection_id,
                    self._work.claim.run_id,
                    state.State(message.kind, stream, message.blob.decode()),
                )

    def _hand_over(self, conn: sa.Connection, complete: Iterable[StreamKey]) -> list[int]:
        messages = []
        for key in complete:
            stream = self._targets[key].stream
            runs.explored(conn, stream.id)
            messages.append(outbox.put(conn, "stream", str(stream.id)))
        return messages


def _shortfall(reader: Reader, key: StreamKey) -> str | None:
    """Why the stream is not complete although the connector ended well; None: it is."""
    if key in reader.failures:
        return reader.failures[key]
    if not reader.saw_statuses:
        return None
    said = reader.statuses.get(key, "none")
    return (
        f"the source did not read it to its end (its last status: {said}); "
        "what came stays in explore"
    )


def _resumable(stream: RunStream) -> bool:
    configured = stream.configured
    return configured.sync_mode is SyncMode.INCREMENTAL or bool(configured.cursor_field)
