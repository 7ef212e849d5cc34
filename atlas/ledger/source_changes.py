"""Changes of what a source offers: what a run is compared with, and what was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from atlas.ledger import audit, webhook_events
from atlas.ledger.runs import RunStream, restore
from atlas.ledger.tables import connection as connection_table
from atlas.ledger.tables import source_change
from atlas.model.evolution import Change, SourceChange
from atlas.model.stream import StreamKey

_LAST = sa.text(
    """
    -- Each stream as the connection's last earlier run that had it read it; one that only masks
    -- anew, or takes up a quarantine, reads nothing.
    SELECT DISTINCT ON (s.namespace, s.stream) s.*
      FROM pipeline.run_stream AS s JOIN pipeline.run AS r ON r.id = s.run_id
     WHERE r.connection_id = :connection_id AND r.id <> CAST(:run_id AS uuid)
       AND r.trigger NOT IN ('remask', 'reprocess')
     ORDER BY s.namespace, s.stream, r.seq DESC
    """
)

_WHOLE = sa.text(
    """
    -- The streams of the last earlier run that was asked for all of them.
    SELECT s.namespace, s.stream FROM pipeline.run_stream AS s
     WHERE s.run_id = (
       SELECT r.id FROM pipeline.run AS r
        WHERE r.connection_id = :connection_id AND r.id <> CAST(:run_id AS uuid)
          AND r.selected IS NULL AND r.trigger NOT IN ('remask', 'reprocess')
          AND EXISTS (SELECT FROM pipeline.run_stream AS x WHERE x.run_id = r.id)
        ORDER BY r.seq DESC LIMIT 1)
    """
)

_GONE = sa.text(
    """
    SELECT namespace, stream FROM (
      SELECT DISTINCT ON (namespace, stream) namespace, stream, change
        FROM pipeline.source_change
       WHERE connection = :connection AND property IS NULL
       ORDER BY namespace, stream, id DESC) AS last
     WHERE change = :removed
    """
)


def before(conn: sa.Connection, connection_id: int, run_id: str) -> dict[StreamKey, RunStream]:
    """The streams of earlier runs, each as it was read last."""
    rows = conn.execute(_LAST, {"connection_id": connection_id, "run_id": run_id})
    found = [restore(row) for row in rows]
    return {item.key: item for item in found}


def whole_before(conn: sa.Connection, connection_id: int, run_id: str) -> set[StreamKey]:
    """The streams of the last earlier run that read all there were."""
    rows = conn.execute(_WHOLE, {"connection_id": connection_id, "run_id": run_id})
    return {StreamKey(row.stream, row.namespace or None) for row in rows}


def gone(conn: sa.Connection, connection: str) -> set[StreamKey]:
    """The streams of which the last that was told is that they are gone."""
    rows = conn.execute(_GONE, {"connection": connection, "removed": Change.STREAM_REMOVED.value})
    return {StreamKey(row.stream, row.namespace or None) for row in rows}


def record(
    conn: sa.Connection, connection: str, run_id: str, changes: Iterable[SourceChange]
) -> None:
    """Write down what a run found, once: what is left out is left out again each time, and is no
    news if it was the last that was heard of the column."""
    news = []
    for change in changes:
        where = {
            "connection": connection,
            "namespace": change.stream.namespace or "",
            "stream": change.stream.name,
            "property": change.property,
        }
        last = conn.execute(
            sa.select(source_change.c.change, source_change.c.detail)
            .where(*(source_change.c[name].is_not_distinct_from(it) for name, it in where.items()))
            .order_by(source_change.c.id.desc())
            .limit(1)
        ).one_or_none()
        if last is not None and tuple(last) == (change.change.value, change.detail):
            continue
        conn.execute(
            source_change.insert().values(
                run_id=run_id, change=change.change.value, detail=change.detail, **where
            )
        )
        news.append(change)
    webhook_events.schema_changed(conn, connection, run_id, news)


def listed(
    conn: sa.Connection, connection: str, *, limit: int, after: int | None = None
) -> list[dict[str, Any]]:
    """The changes of a connection's source, newest first; ``after``: only those with a smaller
    id."""
    query = (
        sa.select(source_change)
        .where(source_change.c.connection == connection)
        .order_by(source_change.c.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(source_change.c.id < after)
    return [
        {
            "id": row.id,
            "stream": row.stream,
            "namespace": row.namespace or None,
            "property": row.property,
            "change": row.change,
            "detail": row.detail,
            "run_id": row.run_id,
            "at": row.at,
        }
        for row in conn.execute(query)
    ]


def accept(conn: sa.Connection, connection_id: int, *, actor: str) -> None:
    """Have the next run take the source as it is, whatever the connection's policy."""
    name = conn.execute(
        connection_table.update()
        .where(connection_table.c.id == connection_id)
        .values(accepts_changes=True)
        .returning(connection_table.c.name)
    ).scalar_one()
    audit.put(conn, actor, "connection.accept", name)


def accepted(conn: sa.Connection, connection_id: int) -> bool:
    """Whether somebody has; then no more, once this transaction commits."""
    return bool(
        conn.execute(
            connection_table.update()
            .where(connection_table.c.id == connection_id, connection_table.c.accepts_changes)
            .values(accepts_changes=False)
            .returning(connection_table.c.id)
        ).scalar()
    )
