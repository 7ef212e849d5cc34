"""Which tables hold a stream, and what stands in them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from psycopg2 import sql

from atlas.errors import NotFound
from atlas.ledger import runs
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream, restore
from atlas.ledger.tables import (
    finding,
    run,
    run_stream,
    stage_run,
    stream_column,
    stream_table,
)
from atlas.model.stage import Stage, Status
from atlas.model.stream import StreamKey


def find(conn: sa.Connection, name: str) -> tuple[str, StreamKey]:
    """Connection and stream of the table ``name`` of chart and navigate.

    Raises:
        NotFound: no stream has it.
    """
    row = conn.execute(
        sa.select(stream_table).where(stream_table.c.table_name == name)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no dataset {name[:100]!r}: it is a table's name in chart")
    return row.connection, StreamKey(row.stream, row.namespace or None)


def all_names(conn: sa.Connection) -> list[str]:
    """The datasets there are, each by its table in chart and navigate."""
    return list(
        conn.execute(
            sa.select(stream_table.c.table_name).order_by(stream_table.c.table_name)
        ).scalars()
    )


def tables_of(conn: sa.Connection, connection: str) -> dict[tuple[str, str | None], str]:
    """The dataset of each stream of ``connection``, by the stream's name and namespace."""
    rows = conn.execute(
        sa.select(stream_table.c.stream, stream_table.c.namespace, stream_table.c.table_name).where(
            stream_table.c.connection == connection
        )
    )
    return {(row.stream, row.namespace or None): row.table_name for row in rows}


def named(conn: sa.Connection, table: str, *, raw: bool) -> sa.Row[Any] | None:
    """The row of ``stream_table`` whose table in chart and navigate, or in explore where it is
    ``raw``, has this name; None: there is none."""
    column = stream_table.c.raw_name if raw else stream_table.c.table_name
    return conn.execute(sa.select(stream_table).where(column == table)).one_or_none()


def quarantined(conn: sa.Connection, table: str) -> sa.Row[Any] | None:
    """The row of ``stream_table`` whose quarantine has this name; None: there is none."""
    return conn.execute(
        sa.select(stream_table).where(stream_table.c.quarantine_name == table)
    ).one_or_none()


# A file's size is asked of the file system: of one after the other, until there are enough.
_WITH_QUARANTINE = sa.text(
    """
SELECT t.id, t.table_name, t.connection, t.quarantine_name
  FROM (SELECT s.id, s.table_name, s.connection, s.quarantine_name, c.oid
          FROM pipeline.stream_table s
          JOIN pg_catalog.pg_namespace space ON space.nspname = 'chart'
          JOIN pg_catalog.pg_class c
               ON c.relnamespace = space.oid AND c.relname = s.quarantine_name
         WHERE s.table_name COLLATE "C" > :after
         ORDER BY s.table_name COLLATE "C" OFFSET 0) t
 WHERE pg_relation_size(t.oid) > 0
 LIMIT :limit
"""
)


def with_quarantine(conn: sa.Connection, *, limit: int, after: str = "") -> list[sa.Row[Any]]:
    """``id``, ``table_name``, ``connection`` and ``quarantine_name`` of datasets, by name, whose
    quarantine has a row, or had one until not long ago; ``after``: of those behind this name."""
    return list(conn.execute(_WITH_QUARANTINE, {"limit": limit, "after": after}))


def has_column(conn: sa.Connection, connection: str, stream: StreamKey, column: str) -> None:
    """See that a stream's tables have this column.

    Raises:
        NotFound: they have not.
    """
    found = conn.execute(
        sa.select(stream_column.c.id).where(
            stream_column.c.connection == connection,
            stream_column.c.namespace == (stream.namespace or ""),
            stream_column.c.stream == stream.name,
            stream_column.c.column_name == column,
        )
    ).one_or_none()
    if found is None:
        raise NotFound(f"stream {stream} of connection {connection} has no column {column[:100]!r}")


def latest(conn: sa.Connection, connection: str) -> list[RunStream]:
    """Each stream of a connection as the last run that read it had it."""
    rows = conn.execute(
        sa.select(run_stream)
        .distinct(run_stream.c.namespace, run_stream.c.stream)
        .join(run, run.c.id == run_stream.c.run_id)
        .where(run.c.connection == connection, run.c.trigger.not_in((runs.REMASK, runs.REPROCESS)))
        .order_by(run_stream.c.namespace, run_stream.c.stream, run_stream.c.id.desc())
    )
    return [restore(row) for row in rows]


def counts(
    conn: sa.Connection, connection: str, stream: str, namespace: str | None
) -> dict[str, Any]:
    """Rows of a stream in each layer, counted now, and the columns that its last scan masked.

    Returns:
        ``{"explore", "chart", "navigate", "current", "quarantine": int, "masked": [str]}``; a
        table that does not exist yet counts 0.
    """
    names = conn.execute(
        sa.select(stream_table).where(
            stream_table.c.connection == connection,
            stream_table.c.stream == stream,
            stream_table.c.namespace == (namespace or ""),
        )
    ).one_or_none()
    if names is None:
        return {
            "explore": 0,
            "chart": 0,
            "navigate": 0,
            "current": 0,
            "quarantine": 0,
            "masked": [],
        }
    return {
        "explore": _rows(conn, "explore", names.raw_name),
        "chart": _rows(conn, "chart", names.table_name),
        "navigate": _rows(conn, "navigate", names.table_name),
        "current": _rows(conn, "navigate", names.table_name, current=True),
        "quarantine": _rows(conn, "chart", names.quarantine_name),
        "masked": masked(conn, connection, StreamKey(stream, namespace)),
    }


def masked(conn: sa.Connection, connection: str, key: StreamKey) -> list[str]:
    """The columns of a stream that its last scan masked."""
    last = (
        sa.select(sa.func.max(run_stream.c.id))
        .join(run, run.c.id == run_stream.c.run_id)
        .where(
            run.c.connection == connection,
            run_stream.c.stream == key.name,
            run_stream.c.namespace == (key.namespace or ""),
            # What brought no rows says nothing of them, and a few that were taken up again say
            # little; what masked all anew did.
            run.c.trigger != runs.REPROCESS,
            sa.or_(run_stream.c.rows_explore > 0, run_stream.c.remasked.is_not(None)),
            # One that broke off has decided nothing.
            sa.exists().where(
                stage_run.c.run_stream_id == run_stream.c.id,
                stage_run.c.stage == Stage.PII.value,
                stage_run.c.status == Status.SUCCEEDED.value,
            ),
        )
        .scalar_subquery()
    )
    found = conn.execute(
        sa.select(finding.c.column_name)
        .where(finding.c.run_stream_id == last, finding.c.operator != "keep")
        .distinct()
        .order_by(finding.c.column_name)
    ).scalars()
    return [str(name) for name in found]


def _rows(conn: sa.Connection, schema: str, name: str, *, current: bool = False) -> int:
    with cursor(conn) as cur:
        cur.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables"
            " WHERE schemaname = %s AND tablename = %s)",
            (schema, name),
        )
        if not cur.fetchone()[0]:
            return 0
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
        if current:
            query += sql.SQL(" WHERE is_current")
        cur.execute(query)
        return int(cur.fetchone()[0])
