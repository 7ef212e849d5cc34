"""How long the control plane keeps what only tells of the past: logs and lineage events of runs,
and where raw rows were that are gone.

Ids of runs ascend with the time, so what is old is found by them at once, and nothing is read of
what is kept.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from atlas.ledger.tables import lineage_event, run, run_log, run_stream, segment
from atlas.model.ids import earliest
from atlas.model.stream import StreamKey


def forget_logs(conn: sa.Connection, days: int, *, most: int) -> int:
    """Delete up to ``most`` lines of runs that ended more than ``days`` days ago; returns how many.
    What the runs did, and their errors, stay in the ledger."""
    line = sa.tuple_(run_log.c.run_id, run_log.c.line)
    old = (
        sa.select(run_log.c.run_id, run_log.c.line)
        .join(run, run.c.id == run_log.c.run_id)
        .where(run_log.c.run_id < _bound(days), _ended(days))
        .order_by(run_log.c.run_id, run_log.c.line)
        .limit(most)
    )
    return conn.execute(run_log.delete().where(line.in_(old))).rowcount


def forget_events(conn: sa.Connection, days: int, *, most: int) -> int:
    """Delete up to ``most`` lineage events of runs that ended more than ``days`` days ago, each of
    which all sinks have or have refused; returns how many. The graph stays."""
    old = (
        sa.select(lineage_event.c.id)
        .join(run, run.c.id == lineage_event.c.run_id)
        .where(
            lineage_event.c.run_id < _bound(days),
            lineage_event.c.delivered_at.is_not(None),
            _ended(days),
        )
        .order_by(lineage_event.c.run_id)
        .limit(most)
    )
    return conn.execute(lineage_event.delete().where(lineage_event.c.id.in_(old))).rowcount


def forget_segments(
    conn: sa.Connection, key: StreamKey, run_ids: Collection[str], last: int
) -> None:
    """Delete where the raw rows of a stream of these runs were, up to the id ``last``: none is left
    there. How many they were stays with the run; who asks what a refresh has replaced
    (:func:`atlas.ledger.backlog.replaced`) is told of the same among the rows that are left."""
    streams = sa.select(run_stream.c.id).where(
        run_stream.c.run_id.in_(run_ids),
        run_stream.c.namespace == (key.namespace or ""),
        run_stream.c.stream == key.name,
    )
    conn.execute(
        segment.delete().where(segment.c.run_stream_id.in_(streams), segment.c.last_id <= last)
    )


def _bound(days: int) -> str:
    # A day more, for the clock that made the ids is not the one that is asked.
    return str(earliest(datetime.now(UTC) - timedelta(days=days - 1)))


def _ended(days: int) -> sa.ColumnElement[bool]:
    return run.c.finished_at < sa.func.now() - sa.func.make_interval(0, 0, 0, days)
