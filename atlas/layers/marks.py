"""Which rows of a staging table are set aside, and for which checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Literal

from atlas.layers import database, staging
from atlas.layers.keys import MOST_BYTES, key
from atlas.layers.names import Tables
from atlas.layers.reprocess import waived
from atlas.model.stream import Column, ColumnType, FieldPath

KEY_NOT_NULL = "key_not_null"
KEY_SIZE = "key_size"
RECORD = "record_is_object"

_LONG = (ColumnType.TEXT, ColumnType.NUMERIC, ColumnType.JSONB)
"""Types whose values can be long; a key of others alone never is, whatever its parts."""


def mark(
    cur: extensions.cursor,
    run_stream_id: int,
    tables: Tables,
    columns: tuple[Column, ...],
    primary_key: tuple[FieldPath, ...],
    rules: Sequence[tuple[str, str]] = (),
    *,
    rows: Mapping[str, Sequence[int]] | None = None,
    overridable: Collection[str] = (),
) -> dict[str, int]:
    """Write into each row which checks it fails, and count.

    Always failed, whatever the rules: a key that is NULL, a value that does not fit its column
    (check ``type_of_<column>``), a record that is no object. A tombstone says nothing but its key,
    so only that can fail.

    Args:
        rules: pairs of a check's name and the SQL condition that is true of the rows that fail it.
        rows: ids of the rows that fail further checks, by the check's name.
        overridable: those of all these that people may have overridden for rows that are taken up
            again.

    Returns: rows by the name of the check, all of ``rules`` and ``rows`` included.
    """
    database.settle(cur)
    table = staging.table(run_stream_id)
    what = staging.staged(cur, run_stream_id)
    wanted = staging.chart_types(columns, what, database.existing(cur, "chart", tables.table))
    chart_key = key(primary_key, columns, wanted)
    always: list[tuple[str, Composable]] = []
    if chart_key:
        values = chart_key.of(what.value(wanted))
        always.append(
            (
                KEY_NOT_NULL,
                SQL(" OR ").join(SQL("{} IS NULL").format(value) for value in values),
            )
        )
        if any(part.kind in _LONG for part in chart_key.parts):
            always.append(
                (
                    KEY_SIZE,
                    SQL("{} > {}").format(
                        SQL(" + ").join(SQL("octet_length({}::text)").format(v) for v in values),
                        Literal(MOST_BYTES),
                    ),
                )
            )
    always += [(f"type_of_{column}", _errs(column)) for column in chart_key.columns()]
    checks: list[tuple[str, Composable]] = [(RECORD, _errs(""))]
    checks += [
        (f"type_of_{column.name}", _errs(column.name))
        for column in columns
        if column.name not in chart_key.columns()
    ]
    given: list[tuple[str, Composable]] = [(check, SQL(condition)) for check, condition in rules]
    given += [(check, _among(ids)) for check, ids in (rows or {}).items()]
    given = [
        (check, _unless_waived(tables, check, condition) if check in overridable else condition)
        for check, condition in given
    ]
    checks += given
    failed = SQL("array_remove(ARRAY[{}]::text[], NULL)").format(
        SQL(", ").join(
            [
                SQL("CASE WHEN {} THEN {} END").format(condition, Literal(check))
                for check, condition in always
            ]
            + [
                SQL("CASE WHEN NOT s._atlas_deleted AND ({}) THEN {} END").format(
                    condition, Literal(check)
                )
                for check, condition in checks
            ]
        )
    )
    suspect = SQL(" OR ").join(
        [SQL("s._atlas_errors IS NOT NULL"), SQL("s._atlas_failed <> '{}'")]
        + [SQL("({})").format(condition) for _, condition in always]
        + [SQL("(NOT s._atlas_deleted AND ({}))").format(condition) for _, condition in given]
    )
    # Rows that fail nothing are not written, and hold no mark: those written are all to be counted.
    cur.execute(
        SQL(
            "WITH marked AS (UPDATE {table} s SET _atlas_failed = {failed} WHERE {suspect}"
            " RETURNING s._atlas_id, s._atlas_failed)"
            " SELECT checks._atlas_check, count(DISTINCT m._atlas_id)"
            " FROM marked m, unnest(m._atlas_failed) checks(_atlas_check) GROUP BY 1"
        ).format(table=table, failed=failed, suspect=suspect)
    )
    return {check: 0 for check, _ in given} | dict(cur.fetchall())


def some(
    cur: extensions.cursor, run_stream_id: int, conditions: Sequence[tuple[str, str]], limit: int
) -> dict[str, list[int]]:
    """Ids of up to ``limit`` rows that fail each of these checks, by its name; nothing is written.

    Args:
        conditions: pairs of a check's name and the SQL condition that is true of rows that fail it.
    """
    found = {}
    for check, condition in conditions:
        cur.execute(
            SQL("SELECT s._atlas_id FROM {} s WHERE NOT s._atlas_deleted AND ({}) LIMIT {}").format(
                staging.table(run_stream_id), SQL(condition), Literal(limit)
            )
        )
        found[check] = sorted(row[0] for row in cur.fetchall())
    return found


def count(cur: extensions.cursor, run_stream_id: int) -> int:
    """How many rows are marked to be set aside, each once however many checks it fails."""
    cur.execute(
        SQL("SELECT count(*) FROM {} WHERE _atlas_failed <> '{{}}'").format(
            staging.table(run_stream_id)
        )
    )
    found = cur.fetchone()
    assert found is not None  # noqa: S101 - an aggregate has a row
    return int(found[0])


def _among(ids: Sequence[int]) -> Composable:
    # One literal: as a list the statement would have a node for each of up to a million.
    return SQL("s._atlas_id = ANY ({}::bigint[])").format(
        Literal("{" + ",".join(map(str, ids)) + "}")
    )


def unconditional(check: str) -> bool:
    """Whether a check is one of those that rows fail whatever the rules."""
    return check in (KEY_NOT_NULL, KEY_SIZE, RECORD) or check.startswith("type_of_")


def _unless_waived(tables: Tables, check: str, condition: Composable) -> Composable:
    return SQL("({}) AND NOT {}").format(condition, waived(tables, check))


def _errs(column: str) -> Composable:
    return SQL("jsonb_exists(s._atlas_errors, {})").format(Literal(column))
