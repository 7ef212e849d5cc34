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
from atlas.connectors.repair import unstorable
from atlas.errors import AtlasError, LostClaim, TerminalError
from atlas.layers import names
from atlas.layers.explore import RawWriter, UnstorableNumber
from atlas.ledger import claims, ends, outbox, runs, state
from atlas.ledger import state_documents as documents
from atlas.ledger.connections import Stored
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream
from atlas.ledger.state_documents import Reading
from atlas.model.stage import Status
from atlas.model.stream import Segment, StreamKey, SyncMode
from atlas.stages.counting import Counts
from atlas.stages.events import located_by
from atlas.stages.pieces import Ahead
from atlas.stages.work import Work

log = logging.getLogger(__name__)

_Parts = Mapping[StreamKey, list[Records]]


@dataclass(frozen=True, slots=True)
class Target:
    """A stream with the tables it lands in."""

    stream: RunStream
    tables: names.Tables


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """A state that came, with the rows that it covers in each stream it is about."""

    message: State
    streams: frozenset[StreamKey]
    rows: int


class Landing:
    """Rows on their way, and the states that will cover them.

    Args:
        whole: whether the targets are all that the connection reads.
    """

    def __init__(self, work: Work, stored: Stored, targets: list[Target], *, whole: bool) -> None:
        self._work = work
        self._connection = stored.connection
        self._connection_id = stored.id
        self._ahead = Ahead(
            work,
            stored.connection.name,
            {item.stream.id: (item.stream, item.tables) for item in targets},
        )
        self._targets = {item.stream.key: item for item in targets}
        self._reading = reading(targets, whole=whole)
        self._counts = Counts(
            work.settings,
            self._targets,
            anew=self._reading.anew,
            stateless={item.stream.key for item in targets if not _resumable(item.stream)},
        )
        self._expected: dict[StreamKey, int] = {}
        self._estimates: dict[StreamKey, int] = {}
        self._sealed: dict[StreamKey, list[Records]] = defaultdict(list)
        self._loose: dict[StreamKey, list[Records]] = defaultdict(list)
        self._mended = 0
        self._states: dict[StreamKey | None, _Checkpoint] = {}
        self._held: dict[StreamKey | None, _Checkpoint] = {}
        self._rows = 0
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, records: Records) -> None:
        """Take records; they are committed when so many came that memory says so."""
        self._loose[records.stream].append(records)
        self._counts.add(records.stream, len(records))
        self._rows += len(records)
        self._bytes += sum(map(len, records.data))
        if self._bytes >= self._work.settings.buffer_bytes:
            self._checkpoint(everything=True)

    def state(self, message: State, reader: Reader) -> None:
        """Take a state; commit if the checkpoint is large or old enough.

        One whose source counted other records than came is none to go on from, nor is any that
        follows it in the same stream: their rows stay uncovered, and the stream fails at the end.
        """
        counted = self._counts.state(message, ignored=reader.ignored)
        if counted is None:
            return
        streams, rows = counted
        waiting = self._states.get(message.stream)
        if waiting is not None and not waiting.streams <= streams:
            self.commit()  # the new one says nothing of what the other covers
        self._states[message.stream] = _Checkpoint(message, streams, rows)
        for key in streams:
            if key in self._loose:
                self._sealed[key] += self._loose.pop(key)
        settings = self._work.settings
        if (
            self._rows >= settings.checkpoint_rows
            or time.monotonic() - self._since >= settings.checkpoint_seconds
        ):
            self._checkpoint()

    def estimate(self, estimates: Mapping[StreamKey, int]) -> None:
        """Take what the source expects; it is written with the next checkpoint."""
        for key, rows in estimates.items():
            if key in self._targets and self._estimates.get(key) != rows:
                self._estimates[key] = rows
                # What an earlier attempt brought is not sent again.
                self._expected[key] = self._targets[key].stream.rows_explore + rows

    def _checkpoint(self, *, everything: bool = False) -> None:
        """Commit, and have what is committed searched for personal data meanwhile."""
        fresh = {*self._sealed, *self._loose} if everything else {*self._sealed}
        self.commit(everything=everything)
        if fresh:
            self._ahead.plan(self._targets[key].stream.id for key in fresh)

    def commit(self, *, everything: bool = False) -> None:
        """Commit the sealed rows with their states; ``everything``: and the loose ones.

        A number that PostgreSQL cannot hold is no reason to lose the run: it is kept as text, and
        goes to quarantine when it is to be a number.
        """
        if not (self._states or (everything and self._loose)):
            return
        try:
            self._commit(everything)
        except UnstorableNumber:
            self._mend()
            self._commit(everything)

    def _mend(self) -> None:
        for parts in (*self._sealed.values(), *self._loose.values()):
            for part in parts:
                for n, data in enumerate(part.data):
                    part.data[n], repairs = unstorable(data)
                    self._mended += repairs

    def _commit(self, everything: bool) -> None:
        # A state that is held back covers nothing yet.
        kept = {key for key, point in self._states.items() if not self._refreshing(point)}
        covered = {one for key in kept for one in self._states[key].streams}
        with self._work.transaction() as conn:
            # All rows first: while they are sent, nothing is locked that others wait for.
            sealed = self._store(conn, self._sealed)
            loose = self._store(conn, self._loose) if everything else []
            for target, part in sealed:
                runs.add_segment(conn, target.stream.id, part, covered=target.stream.key in covered)
            runs.cover(conn, [self._targets[key].stream.id for key in covered])
            for target, part in loose:
                runs.add_segment(conn, target.stream.id, part, covered=False)
            for key, point in self._states.items():
                if key in kept:
                    self._put(conn, point)
                else:
                    self._held[key] = point
            for key, rows in self._expected.items():
                runs.count(conn, self._targets[key].stream.id, rows_estimate=rows)
        self._expected.clear()
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
            if reader.statuses.get(key) == "COMPLETE"
            and key not in reader.failures
            and key not in self._counts.wrong
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
                error = self._counts.wrong.get(key) or _shortfall(reader, key)
                if error is None:
                    complete.append(key)
                else:
                    failed[key] = error
        run_id = self._work.claim.run_id
        with self._work.transaction() as conn:
            messages = self._hand_over(conn, complete)
            for key, error in failed.items():
                ends.end_stream(conn, self._targets[key].stream.id, Status.FAILED, error)
            if reader is not None:
                repaired = reader.repaired + self._mended
                runs.oddities(conn, run_id, repaired=repaired, ignored=reader.ignored)
            state.remember(conn, run_id)
            streams = runs.streams(conn, run_id)
            rows = sum(item.rows_explore for item in streams)
            detail = located_by(self._connection, [item.key for item in streams])
            self._work.finish(conn, rows=rows, detail=detail)
        self._work.wake(messages)

    def _store(self, conn: sa.Connection, parts: _Parts) -> list[tuple[Target, Segment]]:
        """COPY rows; returns the ranges they stand in."""
        writer = RawWriter(cursor(conn), self._work.claim.run_id)
        for key, batches in parts.items():
            for batch in batches:
                writer.write(
                    self._targets[key].tables,
                    list(zip(batch.data, batch.emitted_at, strict=True)),
                )
        stored = writer.take()
        return [
            (target, stored[target.tables])
            for target in self._targets.values()
            if target.tables in stored
        ]

    def _refreshing(self, point: _Checkpoint) -> bool:
        """Whether the state belongs to streams that are read from their start.

        Until those are read to their end their state is none to go on from: an incremental run
        would add to rows that the refresh was to replace.
        """
        return any(self._targets[key].stream.refreshes for key in point.streams)

    def _put(self, conn: sa.Connection, point: _Checkpoint) -> None:
        message = point.message
        # The state of a plain full refresh is none to go on from at all.
        if message.stream is not None and not _resumable(self._targets[message.stream].stream):
            return
        document = documents.counted(message.blob.decode(), point.rows)
        new = state.put(
            conn,
            self._connection_id,
            self._work.claim.run_id,
            state.State(message.kind, message.stream, document),
            self._reading,
        )
        if new:
            claims.progress(conn, self._work.claim)

    def _hand_over(self, conn: sa.Connection, complete: Iterable[StreamKey]) -> list[int]:
        messages = []
        complete = list(complete)
        for key in complete:
            stream = self._targets[key].stream
            runs.explored(conn, stream.id)
            if key in self._held:
                self._put(conn, self._held[key])
            messages.append(outbox.put(conn, "stream", str(stream.id)))
        if None in self._held and self._held[None].streams <= set(complete):
            self._put(conn, self._held[None])
            ids = [self._targets[key].stream.id for key in self._held[None].streams]
            runs.cover(conn, ids)
        return messages


def reading(targets: Iterable[Target], *, whole: bool) -> Reading:
    """What an attempt at these streams reads."""
    streams = [item.stream for item in targets]
    return Reading(
        streams={
            item.key: documents.Basis(item.configured.cursor_field, item.configured.primary_key)
            for item in streams
        },
        anew={item.key for item in streams if item.refreshes},
        whole=whole,
    )


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
