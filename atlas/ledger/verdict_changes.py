"""How the verdicts on a stream's columns change from scan to scan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from atlas.ledger import webhook_events
from atlas.ledger.tables import pii_change, run, run_stream
from atlas.model.personal import Verdict
from atlas.model.stream import StreamKey


def put(
    conn: sa.Connection, run_stream_id: int, before: Iterable[Verdict], now: Iterable[Verdict]
) -> None:
    """Write down where the verdicts ``now`` are other than those ``before``; a repeated attempt
    replaces what an earlier one wrote."""
    old = {(item.column, item.path, item.entity_type): item for item in before}
    new = {(item.column, item.path, item.entity_type): item for item in now}
    changes = []
    found = []
    for place in sorted(old.keys() | new.keys()):
        was, became = old.get(place), new.get(place)
        said = [None if it is None else _told(it) for it in (was, became)]
        if said[0] == said[1]:
            continue
        change = "found" if was is None else "gone" if became is None else "changed"
        if became is not None and was is None:
            found.append(became)
        column, path, entity_type = place
        changes.append(
            {
                "run_stream_id": run_stream_id,
                "column_name": column,
                "path": path,
                "entity_type": entity_type,
                "change": change,
                "detail": {"from": said[0], "to": said[1]},
            }
        )
    conn.execute(pii_change.delete().where(pii_change.c.run_stream_id == run_stream_id))
    if changes:
        conn.execute(pii_change.insert(), changes)
    webhook_events.personal_data_found(conn, run_stream_id, found)


def _told(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict is news when it changes; scores and shares move with every row."""
    return {"scope": verdict.scope.value, "operator": verdict.operator.value}


def listed(
    conn: sa.Connection,
    connection: str,
    stream: StreamKey,
    *,
    limit: int,
    after: int | None = None,
) -> list[dict[str, Any]]:
    """How a stream's verdicts changed, newest first; ``after``: with a smaller id."""
    query = (
        sa.select(pii_change, run_stream.c.run_id)
        .join(run_stream, run_stream.c.id == pii_change.c.run_stream_id)
        .join(run, run.c.id == run_stream.c.run_id)
        .where(
            run.c.connection == connection,
            run_stream.c.namespace == (stream.namespace or ""),
            run_stream.c.stream == stream.name,
        )
    )
    if after is not None:
        query = query.where(pii_change.c.id < after)
    return [
        {
            "id": row.id,
            "column": row.column_name + row.path[1:],
            "entity_type": row.entity_type,
            "change": row.change,
            "detail": row.detail,
            "run_id": row.run_id,
            "at": row.at,
        }
        for row in conn.execute(query.order_by(pii_change.c.id.desc()).limit(limit))
    ]
