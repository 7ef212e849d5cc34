"""Chart: what is valid, masked and the last of its key, from staging into the validated layer."""

from __future__ import annotations

from atlas.errors import TerminalError
from atlas.layers import chart, staging
from atlas.layers.reprocess import release
from atlas.ledger import runs
from atlas.ledger.database import recording
from atlas.stages import events, remask, reprocess
from atlas.stages.context import load
from atlas.stages.work import Work


def run(work: Work) -> None:
    """Promote, set aside, remove what is gone; rows, counts and the stage's end commit as one.

    Raises:
        TerminalError: masking would merge two keys, or rows are unaccounted for.
    """
    context = load(work)
    if context.run.remasks:
        remask.chart(work, context)
        return
    stream = context.stream
    configured = stream.configured
    with work.transaction() as conn:
        cur = recording(conn)
        masked = {column: twin.type for column, twin in staging.twins(cur, stream.id).items()}
        chart.ensure(
            cur, context.tables, context.columns, masked, configured.primary_key, stream.id
        )
        outdated = reprocess.drop_outdated(work, conn, context) if context.run.reprocesses else 0
        counts = chart.promote(
            cur,
            context.tables,
            stream.id,
            context.run.id,
            context.columns,
            configured.primary_key,
            configured.cursor_field,
            full_refresh=stream.replaces,
            complete=stream.explored,
        )
        superseded = counts.superseded + outdated
        accounted = counts.promoted + counts.quarantined + superseded + counts.tombstones
        if accounted != stream.rows:
            raise TerminalError(
                f"stream {stream.key}: {stream.rows} rows came and {accounted} are accounted for; "
                "nothing of this run was promoted"
            )
        if context.run.reprocesses:
            release(cur, context.tables, context.run.id)
        runs.count(
            conn,
            stream.id,
            rows_promoted=counts.promoted,
            rows_quarantined=counts.quarantined,
            rows_superseded=superseded,
            rows_tombstones=counts.tombstones,
            rows_deleted=counts.deleted,
        )
        work.finish(
            conn,
            rows=counts.promoted,
            detail={
                "rows_read": stream.rows,
                "rows_written": counts.written,
                "rows_quarantined": counts.quarantined,
                **events.done_by(cur),
            },
        )
