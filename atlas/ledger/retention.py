"""How long the control plane keeps what only tells of the past: logs and lineage events of runs.

Ids of runs ascend with the time, so what is old is found by them at once, and nothing is read of
what is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from atlas.ledger.tables import lineage_event, run, run_log
from atlas.model.ids import earliest


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


def _bound(days: int) -> str:
    # A day more, for the clock that made the ids is not the one that is asked.
    return str(earliest(datetime.now(UTC) - timedelta(days=days - 1)))


def _ended(days: int) -> sa.ColumnElement[bool]:
    return run.c.finished_at < sa.func.now() - sa.func.make_interval(0, 0, 0, days)
