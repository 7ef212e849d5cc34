"""Into which pieces pii cuts the rows of a stream, for the parts that workers study and mask.

Where a piece begins and ends hangs on the rows before it, and on ``ATLAS_BATCH_ROWS`` of the host
that cuts: not on how many rows follow, nor on where the source's checkpoints fell. So explore can
cut rows that it has committed while it goes on reading, and where hosts are set alike, what comes
of it is what would have come had it read them all before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from atlas.errors import AtlasError, LostClaim
from atlas.layers import explore as raw
from atlas.layers.names import Tables
from atlas.ledger import backlog, outbox, parts, runs
from atlas.ledger.backlog import Carried
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream
from atlas.model.stream import Segment
from atlas.stages.work import Work

log = logging.getLogger(__name__)

FIRST = 1_000
"""Rows of the first piece: enough to see what the columns are, few enough to wait for."""

_SHARE = 16
"""A piece is at most this share of what is before it, or :data:`FIRST` rows: where the rows of a
large stream come to their end, several workers do so at about the same time."""

Pieces = list[tuple[str, Segment]]
"""Ranges of rows, each with the id of the run that read them: older ones first, for of two rows
for one key the later one wins where cursors do not decide."""


def carried(conn: sa.Connection, connection: str, stream: RunStream) -> Carried:
    """What a stream of a run takes along from the runs before it."""
    if stream.refreshes:  # what is read from its start brings everything anew
        return Carried({}, replaces=False)
    return backlog.unpromoted(conn, connection, stream.key, stream.id)


def cut(
    conn: sa.Connection,
    tables: Tables,
    ranges: Mapping[str, list[Segment]],
    most: int,
    *,
    anew: bool = False,
) -> Pieces:
    """The pieces of few rows: as large as they may be; ``anew``: see :func:`cut_on`.

    Raises:
        TerminalError: the rows are not all there (any more).
    """
    return [
        (run_id, piece)
        for run_id, found in ranges.items()
        for segment in found
        for piece in raw.cut(cursor(conn), tables, None if anew else run_id, segment, most)
    ]


def cut_on(
    conn: sa.Connection,
    tables: Tables,
    ranges: Mapping[str, list[Segment]],
    most: int,
    planned: Pieces,
    *,
    growing: str | None = None,
    anew: bool = False,
) -> Pieces:
    """The pieces of many rows, but for those ``planned`` already, each of ``most`` rows at most.

    Args:
        ranges: all rows, by the id of the run that read them.
        growing: a run that goes on reading: the last of its rows may belong to a larger piece.
        anew: the rows are those of a run that masks anew, whichever run has read them.

    Raises:
        TerminalError: the rows are not all there (any more).
    """
    pieces: Pieces = []
    before = sum(piece.rows for _, piece in planned)
    for run_id, found in ranges.items():
        mine = [piece for of, piece in planned if of == run_id]
        last = mine[-1].last_id if mine else -1
        there = sum(piece.rows for piece in mine)
        for segment in found:
            rest = Segment(max(segment.first_id, last + 1), segment.last_id, segment.rows)
            while rest.first_id <= rest.last_id:
                size = min(most, max(FIRST, before // _SHARE))
                reader = None if anew else run_id
                piece, full = raw.piece(cursor(conn), tables, reader, rest, size)
                if run_id == growing and not full:
                    return pieces
                if piece is None:
                    break
                pieces.append((run_id, piece))
                before += piece.rows
                there += piece.rows
                rest = Segment(piece.last_id + 1, segment.last_id, segment.rows)
        raw.all_there(tables, sum(segment.rows for segment in found), there)
    return pieces


class Ahead:
    """Plans parts over the rows of streams whose source is still being read.

    A stream has none as long as it may turn out to have few rows, which are studied at once.
    """

    def __init__(
        self, work: Work, connection: str, streams: Mapping[int, tuple[RunStream, Tables]]
    ):
        self._work = work
        self._connection = connection
        self._streams = streams
        self._carried: dict[int, Carried] = {}

    def plan(self, run_stream_ids: Iterable[int]) -> None:
        """Cut what these streams have committed, as far as it can be cut already.

        That is not owed to anyone: what cannot be cut now is cut at a later checkpoint, or by the
        stage itself. So explore neither fails for it nor waits for anybody, the broker included:
        the relay sends the message.

        Raises:
            LostClaim: explore is no longer this worker's.
        """
        for run_stream_id in sorted(run_stream_ids):
            try:
                self._plan(run_stream_id)
            except LostClaim:
                raise
            except (AtlasError, SQLAlchemyError, psycopg2.Error) as error:
                # If PostgreSQL is gone, explore's own next statement says so.
                log.warning("stream %d not studied ahead: %s", run_stream_id, type(error).__name__)

    def _plan(self, run_stream_id: int) -> None:
        most = self._work.settings.batch_rows
        with self._work.transaction() as conn:
            conn.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
            if runs.rows_explored(conn, [run_stream_id]).get(run_stream_id, 0) <= most:
                return
            found = self._cut(conn, run_stream_id, most)
            parts.extend(conn, run_stream_id, found)
            if found:
                outbox.offer(conn, "scan", str(run_stream_id))

    def _cut(self, conn: sa.Connection, run_stream_id: int, most: int) -> Pieces:
        stream, tables = self._streams[run_stream_id]
        if run_stream_id not in self._carried:
            self._carried[run_stream_id] = carried(conn, self._connection, stream)
        ranges = {
            **self._carried[run_stream_id].parts,
            stream.run_id: runs.ranges(conn, run_stream_id),
        }
        planned = parts.planned(conn, run_stream_id)
        return cut_on(conn, tables, ranges, most, planned, growing=stream.run_id)
