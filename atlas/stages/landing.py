"""The way of a source's records into the raw layer: checkpoints, and what a state covers.

A checkpoint is one short transaction: rows, the ranges they stand in, and the states that cover
them. No transaction stays open while the source is waited for. Rows that came before their
stream's pending state are sealed by it; those after it are loose. So a committed range is covered
whole or not at all, and an attempt that goes on can take back the ranges that are not.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.errors import AtlasError, LostClaim, TerminalError
from atlas.layers import names
from atlas.layers.explore import RawWriter
from atlas.ledger import claims, outbox, runs, state
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream
from atlas.model.stage import Status
from atlas.model.stream import StreamKey, SyncMode
from atlas.stages.work import Work

log = logging.getLogger(__name__)

_Parts = Mapping[StreamKey, list[Records]]


@dataclass(frozen=True, slots=True)
class Target:
    """A stream with the tables it lands in."""

    stream: RunStream
    tables: names.Tables


class Landing:
    """Rows on their way, and the states that will cover them."""

    def __init__(self, work: Work, connection_id: int, targets: list[Target]) -> None:
        self._work = work
        self._connection_id = connection_id
        self._targets = {item.stream.key: item for item in targets}
        self._sealed: dict[StreamKey, list[Records]] = defaultdict(list)
        self._loose: dict[StreamKey, list[Records]] = defaultdict(list)
        self._states: dict[StreamKey | None, State] = {}
        self._held: dict[StreamKey | None, State] = {}
        self._rows = 0
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, records: Records) -> None:
        """Take records; they are committed when so many came that memory says so."""
        self._loose[records.stream].append(records)
        self._rows += len(records)
        self._bytes += sum(map(len, records.data))
        if self._bytes >= self._work.settings.buffer_bytes:
            self.commit(everything=True)

    def state(self, message: State) -> None:
        """Take a state; commit if the checkpoint is large or old enough."""
        self._states[message.stream] = message
        for key in list(self._loose) if message.stream is None else [message.stream]:
            if key in self._loose:
                self._sealed[key] += self._loose.pop(key)
        settings = self._work.settings
        if (
            self._rows >= settings.checkpoint_rows
            or time.monotonic() - self._since >= settings.checkpoint_seconds
        ):
            self.commit()

    def commit(self, *, everything: bool = False) -> None:
        """Commit the sealed rows with their states; ``everything``: and the loose ones."""
        if not (self._states or (everything and self._loose)):
            return
        with self._work.transaction() as conn:
            self._store(conn, self._sealed, covered=True)
            runs.cover(
                conn,
                [
                    target.stream.id
                    for key, target in self._targets.items()
                    if key in self._states or None in self._states
                ],
            )
            if everything:
                self._store(conn, self._loose, covered=False)
            for key, message in self._states.items():
                if self._refreshing(key):
                    self._held[key] = message
                else:
                    self._put(conn, key, message)
        self._sealed.clear()
        self._states.clear()
        if everything:
            self._loose.clear()
        left = [part for parts in self._loose.values() for part in parts]
        self._rows = sum(map(len, left))
        self._bytes = sum(len(data) for part in left for data in part.data)
        self._since = time.monotonic()

    def break_off(self, reader: Reader, error: AtlasError) -> None:
        """The source could not be read further.

        What came stays to be looked at; a further attempt takes back what no state covers. Streams
        that had said COMPLETE go on: a stream that fails holds back no other.

        Raises:
            TerminalError: every stream is complete, so that another attempt would have nothing to
                read and could only hide the error.
        """
        try:
            self.commit(everything=True)
        except LostClaim:
            raise
        except Exception as second:  # noqa: BLE001 - the source's own error is the one to tell
            log.error("what came last was not kept: %s", type(second).__name__)
            return
        complete = [
            key
            for key in self._targets
            if reader.statuses.get(key) == "COMPLETE" and key not in reader.failures
        ]
        if not complete:
            return
        with self._work.transaction() as conn:
            messages = self._hand_over(conn, complete)
        self._work.wake(messages)
        if len(complete) == len(self._targets):
            raise TerminalError(str(error)) from error

    def end(self, reader: Reader | None) -> None:
        """The connector ended well: hand the streams over, and end the stage.

        Only now, not when a stream says COMPLETE: a source may send more of it after all, and
        what chart removes because it did not come would be gone. Where the source says statuses
        at all, a stream whose last one is not COMPLETE has failed.
        """
        self.commit(everything=True)
        complete: list[StreamKey] = []
        failed: dict[StreamKey, str] = {}
        if reader is not None:
            for key in self._targets:
                error = _shortfall(reader, key)
                if error is None:
                    complete.append(key)
                else:
                    failed[key] = error
        run_id = self._work.claim.run_id
        with self._work.transaction() as conn:
            messages = self._hand_over(conn, complete)
            for key, error in failed.items():
                claims.end_stream(conn, self._targets[key].stream.id, Status.FAILED, error)
            if reader is not None:
                runs.oddities(conn, run_id, repaired=reader.repaired, ignored=reader.ignored)
            state.remember(conn, run_id)
            rows = sum(item.rows_explore for item in runs.streams(conn, run_id))
            self._work.finish(conn, rows=rows)
        self._work.wake(messages)

    def _store(self, conn: sa.Connection, parts: _Parts, *, covered: bool) -> None:
        """COPY rows, and write down the ranges they stand in."""
        writer = RawWriter(cursor(conn), self._work.claim.run_id)
        for key, batches in parts.items():
            for batch in batches:
                writer.write(
                    self._targets[key].tables,
                    list(zip(batch.data, batch.emitted_at, strict=True)),
                )
        stored = writer.take()
        for target in self._targets.values():
            if target.tables in stored:
                runs.add_segment(conn, target.stream.id, stored[target.tables], covered=covered)

    def _refreshing(self, key: StreamKey | None) -> bool:
        """Whether the state belongs to streams that are read from their start.

        Until those are read to their end their state is none to go on from: an incremental run
        would add to rows that the refresh was to replace.
        """
        if key is None:
            return any(target.stream.refreshes for target in self._targets.values())
        target = self._targets.get(key)
        return target is not None and target.stream.refreshes

    def _put(self, conn: sa.Connection, key: StreamKey | None, message: State) -> None:
        target = self._targets.get(key) if key is not None else None
        # The state of a plain full refresh is none to go on from at all.
        if key is None or (target is not None and _resumable(target.stream)):
            state.put(
                conn,
                self._connection_id,
                self._work.claim.run_id,
                state.State(message.kind, key, message.blob.decode()),
            )

    def _hand_over(self, conn: sa.Connection, complete: Iterable[StreamKey]) -> list[int]:
        messages = []
        complete = list(complete)
        for key in complete:
            stream = self._targets[key].stream
            runs.explored(conn, stream.id)
            if key in self._held:
                self._put(conn, key, self._held[key])
            messages.append(outbox.put(conn, "stream", str(stream.id)))
        if None in self._held and len(complete) == len(self._targets):
            self._put(conn, None, self._held[None])
        return messages


def _shortfall(reader: Reader, key: StreamKey) -> str | None:
    """Why the stream is not complete although the connector ended well; None: it is."""
    if key in reader.failures:
        return reader.failures[key]
    if not reader.saw_statuses or reader.statuses.get(key) == "COMPLETE":
        return None
    said = reader.statuses.get(key, "none")
    return (
        f"the source did not read it to its end (its last status: {said}); "
        "what came stays in explore"
    )


def _resumable(stream: RunStream) -> bool:
    configured = stream.configured
    return configured.sync_mode is SyncMode.INCREMENTAL or bool(configured.cursor_field)
