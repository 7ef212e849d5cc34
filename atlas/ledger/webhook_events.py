"""What receivers are told of runs, of sources and of personal data: names, ids and counts.

No error's text is among it: it may quote what a source said. Whoever wants it asks for the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from atlas.ledger import outages, webhooks
from atlas.ledger.tables import run, run_stream
from atlas.model.evolution import SourceChange
from atlas.model.personal import Verdict
from atlas.model.stage import Status
from atlas.model.webhooks import Event

_MOST = 100
"""Most changes or columns that one message names; it counts them all."""
REMINDED = 24 * 3600.0
"""Seconds after which whoever is told in groups is told again that a connection fails."""

_ENDS = {
    Status.SUCCEEDED: Event.RUN_SUCCEEDED,
    Status.FAILED: Event.RUN_FAILED,
    Status.BLOCKED: Event.RUN_BLOCKED,
    Status.CANCELLED: Event.RUN_CANCELLED,
}


def run_ended(conn: sa.Connection, run_id: str, status: Status) -> None:
    """A run ended like this, each time that it does; where a connection fails, receivers that are
    told in groups are told so once, and every :data:`REMINDED` seconds again while it goes on."""
    row = conn.execute(sa.select(run).where(run.c.id == run_id)).one()
    found = outages.ended(conn, row.connection_id, run_id, row.trigger, status)
    kinds = [_ENDS[status], *([Event.RUN_RECOVERED] if found is not None and found.over else [])]
    if not webhooks.wanted(conn, *kinds):
        return
    told = _end(conn, row, status)
    once = None
    if found is not None:
        told["failing_since"] = found.since.isoformat()
        told["failed_run_id"] = found.run_id
        if not found.over:
            times = int((row.finished_at - found.since).total_seconds() // REMINDED)
            once = f"outage {row.connection_id} {found.since.isoformat()} {max(times, 0)}"
    for kind in kinds:
        webhooks.tell(conn, kind, told, once=once)


def _end(conn: sa.Connection, row: sa.Row[Any], status: Status) -> dict[str, Any]:
    streams = conn.execute(
        sa.select(
            run_stream.c.status,
            sa.func.count().label("streams"),
            sa.func.sum(run_stream.c.rows_explore).label("explore"),
            sa.func.sum(run_stream.c.rows_promoted).label("promoted"),
            sa.func.sum(run_stream.c.rows_quarantined).label("quarantined"),
        )
        .where(run_stream.c.run_id == row.id)
        .group_by(run_stream.c.status)
    ).all()
    return {
        "run_id": row.id,
        "connection": row.connection,
        "trigger": row.trigger,
        "status": status.value,
        "created_at": row.created_at.isoformat(),
        "started_at": row.started_at and row.started_at.isoformat(),
        "finished_at": row.finished_at and row.finished_at.isoformat(),
        "streams": {each.status: each.streams for each in streams},
        "rows": {
            name: int(sum(getattr(each, name) or 0 for each in streams))
            for name in ("explore", "promoted", "quarantined")
        },
    }


def schema_changed(
    conn: sa.Connection, connection: str, run_id: str, changes: list[SourceChange]
) -> None:
    """A run found these to be other at its source than before."""
    if not changes or not webhooks.wanted(conn, Event.SCHEMA_CHANGED):
        return
    told = [
        {
            "stream": each.stream.name,
            "namespace": each.stream.namespace,
            "property": each.property,
            "change": each.change.value,
        }
        for each in changes[:_MOST]
    ]
    webhooks.tell(
        conn,
        Event.SCHEMA_CHANGED,
        {"run_id": run_id, "connection": connection, "count": len(changes), "changes": told},
    )


def personal_data_found(conn: sa.Connection, run_stream_id: int, found: Iterable[Verdict]) -> None:
    """A scan found something personal where the scan before found nothing of its kind; told once,
    however often the scan is done again."""
    verdicts = list(found)
    if not verdicts or not webhooks.wanted(conn, Event.PERSONAL_DATA_FOUND):
        return
    row = conn.execute(
        sa.select(
            run_stream.c.run_id, run_stream.c.stream, run_stream.c.namespace, run.c.connection
        )
        .join(run, run.c.id == run_stream.c.run_id)
        .where(run_stream.c.id == run_stream_id)
    ).one()
    told: list[dict[str, Any]] = [
        {
            "column": each.column + each.path[1:],
            "entity_type": each.entity_type,
            "operator": each.operator.value,
        }
        for each in verdicts[:_MOST]
    ]
    webhooks.tell(
        conn,
        Event.PERSONAL_DATA_FOUND,
        {
            "run_id": row.run_id,
            "connection": row.connection,
            "stream": row.stream,
            "namespace": row.namespace or None,
            "count": len(verdicts),
            "found": told,
        },
        about=str(run_stream_id),
    )
