"""Navigate: the history of chart, as versions that open and close (SCD Type 2)."""

from __future__ import annotations

from atlas.layers import chart, navigate
from atlas.ledger import backlog, runs
from atlas.ledger.database import recording
from atlas.stages import events, remask
from atlas.stages.context import load
from atlas.stages.work import Work


def run(work: Work) -> None:
    """Close what changed or is gone, open what is new; nothing is written when nothing changed.

    Rows that an earlier run brought to chart, and whose history it did not come to write, are
    written with it, at their own run's time.

    Raises:
        TerminalError: a version would end before it began.
    """
    context = load(work)
    if context.run.remasks:
        remask.nothing(work)
        return
    stream = context.stream
    configured = stream.configured
    with work.transaction() as conn:
        cur = recording(conn)
        pending = backlog.unapplied(conn, context.run.connection, stream.key)
        counts = navigate.apply(
            cur,
            context.tables,
            context.columns,
            chart.masked_types(cur, context.tables),
            configured.primary_key,
            pending,
            whole=stream.replaces
            or backlog.removed_rows(conn, context.run.connection, stream.key, list(pending)),
        )
        runs.count(conn, stream.id, versions_opened=counts.opened, versions_closed=counts.closed)
        work.finish(
            conn,
            rows=counts.opened + counts.closed,
            detail={
                "rows_read": counts.opened,
                "rows_written": counts.opened + counts.closed,
                **events.done_by(cur),
            },
        )
