"""The rows of a stream that were set aside, as they stand: masked, with the checks they failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.layers import database
from atlas.layers.names import Tables, stored
from atlas.layers.reprocess import Chosen
from atlas.model.stream import StreamKey


def rows(
    cur: extensions.cursor,
    connection: str,
    key: StreamKey,
    *,
    limit: int,
    before: int | None = None,
    run_id: str | None = None,
    check: str | None = None,
) -> list[dict[str, Any]]:
    """Rows in a stream's quarantine, newest first.

    Args:
        before: only those whose ``id`` is smaller.
        run_id: only those of this run.
        check: only those that failed this check.

    Returns:
        ``{"id", "run_id", "emitted_at", "checks": [str], "reasons": {column: str}, "row": {column:
        str | None}}`` each; values as PostgreSQL writes them, exact to the digit.
    """
    tables = stored(cur, connection, key)
    if tables is None or not database.exists(cur, "chart", tables.quarantine):
        return []
    columns = [
        name
        for name in database.existing(cur, "chart", tables.quarantine)
        if not name.startswith("_atlas_")
    ]
    conditions: list[Composable] = [SQL("true")]
    if before is not None:
        conditions.append(SQL("_atlas_id < {}").format(Literal(before)))
    if run_id is not None:
        conditions.append(SQL("_atlas_run_id = {}::uuid").format(Literal(run_id)))
    if check is not None:
        conditions.append(SQL("{} = ANY(_atlas_checks)").format(Literal(check)))
    cur.execute(
        SQL(
            "SELECT _atlas_id, _atlas_run_id::text, _atlas_emitted_at, _atlas_checks,"
            " _atlas_reasons{columns} FROM {table} WHERE {conditions}"
            " ORDER BY _atlas_id DESC LIMIT {limit}"
        ).format(
            columns=SQL("").join(SQL(", {}::text").format(Identifier(name)) for name in columns),
            table=Identifier("chart", tables.quarantine),
            conditions=SQL(" AND ").join(conditions),
            limit=Literal(limit),
        )
    )
    return [
        {
            "id": number,
            "run_id": of_run,
            "emitted_at": emitted_at,
            "checks": checks,
            "reasons": reasons or {},
            "row": dict(zip(columns, values, strict=True)),
        }
        for number, of_run, emitted_at, checks, reasons, *values in cur.fetchall()
    ]


def left_of_run(cur: extensions.cursor, run_id: str, datasets: list[str]) -> dict[str, int]:
    """How many rows of a run the quarantine of each dataset has: of those that have one at all.

    Args:
        datasets: names of tables in chart.
    """
    cur.execute(
        "SELECT t.table_name, t.quarantine_name FROM pipeline.stream_table t"
        " JOIN pg_tables p ON p.schemaname = 'chart' AND p.tablename = t.quarantine_name"
        " WHERE t.table_name = ANY (%s)",
        (datasets,),
    )
    counting = [
        SQL("SELECT {}, count(*) FROM {} WHERE _atlas_run_id = {}::uuid").format(
            Literal(dataset), Identifier("chart", table), Literal(run_id)
        )
        for dataset, table in cur.fetchall()
    ]
    if not counting:
        return {}
    cur.execute(SQL(" UNION ALL ").join(counting))
    return dict(cur.fetchall())


def count(cur: extensions.cursor, connection: str, key: StreamKey, chosen: Chosen) -> int:
    """How many such rows a stream's quarantine has."""
    tables = stored(cur, connection, key)
    if tables is None or not database.exists(cur, "chart", tables.quarantine):
        return 0
    query = SQL("SELECT count(*) FROM {} q WHERE {}")
    return int(
        database.scalar(
            cur, query.format(Identifier("chart", tables.quarantine), chosen.condition())
        )
    )


COUNTED = 1000
"""Most rows of a quarantine that are counted one by one where many quarantines are."""


def counts(cur: extensions.cursor, tables: Sequence[str]) -> list[int]:
    """How many rows each of these quarantines has; one more than :data:`COUNTED`: there are more.
    One statement, however many they are."""
    if not tables:
        return []
    one = SQL("(SELECT count(*) FROM (SELECT FROM {} LIMIT {}) rows)")
    cur.execute(
        SQL("SELECT {}").format(
            SQL(", ").join(
                one.format(Identifier("chart", table), Literal(COUNTED + 1)) for table in tables
            )
        )
    )
    return [int(found) for found in cur.fetchone() or ()]


def by_check(cur: extensions.cursor, table: str) -> dict[str, int]:
    """How many rows of the newest :data:`LOOKED_AT` of a quarantine failed each check, the most
    first; one row may have failed several."""
    cur.execute(
        SQL(
            "SELECT checks, count(*) FROM (SELECT unnest(_atlas_checks) AS checks FROM"
            " (SELECT _atlas_checks FROM {} ORDER BY _atlas_id DESC LIMIT {}) newest) failed"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        ).format(Identifier("chart", table), Literal(LOOKED_AT))
    )
    return dict(cur.fetchall())


LOOKED_AT = 100_000


def discard(
    cur: extensions.cursor, tables: Tables, chosen: Chosen, *, most: int | None = None
) -> list[tuple[int, list[str]]]:
    """Delete rows from a quarantine, of many the ``most`` oldest; returns each one's id and the
    checks that it failed."""
    cur.execute(
        SQL(
            "DELETE FROM {quarantine} d WHERE d._atlas_id IN"
            " (SELECT q._atlas_id FROM {quarantine} q WHERE {wanted} ORDER BY 1 LIMIT {most})"
            " RETURNING d._atlas_id, d._atlas_checks"
        ).format(
            quarantine=Identifier("chart", tables.quarantine),
            wanted=chosen.condition(),
            most=Literal(most),
        )
    )
    return sorted((number, checks) for number, checks in cur.fetchall())
