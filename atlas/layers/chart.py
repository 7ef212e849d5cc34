"""The validated layer: the present of a stream, typed and masked, one row a key.

A row of the present is replaced only by one that is not older: with a higher cursor, or with the
same one and emitted later. What a run brings is decided in one pass over its keys, and then only
what differs is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier

from atlas.layers import database, keys
from atlas.layers.database import SchemaChange, Wanted
from atlas.layers.keyed import ByKey
from atlas.layers.keyless import ByRow
from atlas.layers.keys import Key
from atlas.layers.names import Tables
from atlas.layers.promotion import Counts
from atlas.model.stream import Column, ColumnType, FieldPath

_OURS = (
    "_atlas_id bigint NOT NULL",
    "_atlas_run_id uuid NOT NULL",
    "_atlas_emitted_at timestamptz NOT NULL",
    "_atlas_row_hash text NOT NULL",
    "_atlas_meta jsonb NOT NULL DEFAULT '{}'",
)
_OURS_QUARANTINE = (
    "_atlas_id bigint NOT NULL",
    "_atlas_run_id uuid NOT NULL",
    "_atlas_emitted_at timestamptz NOT NULL",
    "_atlas_checks text[] NOT NULL",
    "_atlas_reasons jsonb",
)


def ensure(
    cur: extensions.cursor,
    tables: Tables,
    columns: tuple[Column, ...],
    masked_types: Mapping[str, ColumnType],
    primary_key: tuple[FieldPath, ...],
    run_stream_id: int | None = None,
) -> list[SchemaChange]:
    """Create chart's table and quarantine, or bring them to ``columns``.

    No statement that locks is executed when nothing changes. Each change of a table that stood
    before is recorded in ``pipeline.schema_change``.

    Args:
        columns: all columns of the stream, gone ones included.
        masked_types: the columns that are masked, and the types of their masks.

    Raises:
        TerminalError: see :func:`database.evolve` and :func:`keys.key`.
    """
    wanted = wants(columns, masked_types)
    keyed = [path[0] for path in primary_key if path]
    key_columns = [column.name for column in columns if column.property in keyed]
    changes = []
    if database.exists(cur, "chart", tables.table):
        changes = database.evolve(cur, "chart", tables.table, wanted, key_columns=key_columns)
    else:
        database.create(cur, "chart", tables.table, wanted, map(SQL, _OURS))
        _index(cur, tables.table, "run", SQL("_atlas_run_id"))
    if database.exists(cur, "chart", tables.quarantine):
        database.evolve(cur, "chart", tables.quarantine, wanted)
    else:
        database.create(cur, "chart", tables.quarantine, wanted, map(SQL, _OURS_QUARANTINE))
        _index(cur, tables.quarantine, "run", SQL("_atlas_run_id"))
    present = database.existing(cur, "chart", tables.table)
    key = keys.key(primary_key, columns, {name: now.type for name, now in present.items()})
    _key_index(cur, tables, key)
    record(cur, run_stream_id, changes)
    return changes


def record(
    cur: extensions.cursor, run_stream_id: int | None, changes: Iterable[SchemaChange]
) -> None:
    """Write down what a run changed of chart's table."""
    for change in changes:
        cur.execute(
            "INSERT INTO pipeline.schema_change"
            " (run_stream_id, table_name, column_name, change, detail)"
            " VALUES (%s, %s, %s, %s, %s)",
            (run_stream_id, change.table, change.column, change.change, json.dumps(change.detail)),
        )


def wants(columns: Iterable[Column], masked_types: Mapping[str, ColumnType]) -> tuple[Wanted, ...]:
    """The columns of a masked layer."""
    return tuple(
        Wanted(column.name, masked_types.get(column.name, column.type), column.name in masked_types)
        for column in columns
    )


def masked_types(cur: extensions.cursor, tables: Tables) -> dict[str, ColumnType]:
    """The columns that are masked in chart, with their types there."""
    return {
        name: column.type
        for name, column in database.existing(cur, "chart", tables.table).items()
        if column.masked
    }


def _index(cur: extensions.cursor, table: str, suffix: str, what: Composable) -> None:
    name = database.index_name(table, suffix)
    if not database.exists(cur, "chart", name):
        cur.execute(
            SQL("CREATE INDEX {} ON {} ({})").format(
                Identifier(name), Identifier("chart", table), what
            )
        )


def _key_index(cur: extensions.cursor, tables: Tables, key: Key) -> None:
    """The unique index on ``key``, or for none the one on the rows' hashes.

    Where the key is another than before, the rows that would be duplicates under it go, but the
    last of each.
    """
    wanted = key.index(tables.table) if key else None
    for name in keys.stale_indexes(cur, "chart", tables.table, wanted):
        cur.execute(SQL("DROP INDEX {}").format(Identifier("chart", name)))
    if wanted is None:
        _index(cur, tables.table, "hash", SQL("_atlas_row_hash"))
        return
    if database.exists(cur, "chart", wanted):
        return
    table = Identifier("chart", tables.table)
    values = key.of(keys.bare)
    cur.execute(
        SQL(
            "DELETE FROM {table} c USING (SELECT _atlas_id, {null} AS is_null, row_number() OVER"
            " (PARTITION BY {values} ORDER BY _atlas_id DESC) AS n FROM {table}) d"
            " WHERE d._atlas_id = c._atlas_id AND (d.n > 1 OR d.is_null)"
        ).format(
            table=table,
            values=SQL(", ").join(values),
            null=SQL("({})").format(
                SQL(" OR ").join(SQL("{} IS NULL").format(value) for value in values)
            ),
        )
    )
    keys.secure(cur, "chart", tables.table, key)


def promote(
    cur: extensions.cursor,
    tables: Tables,
    run_stream_id: int,
    run_id: str,
    columns: tuple[Column, ...],
    primary_key: tuple[FieldPath, ...],
    cursor_field: FieldPath,
    *,
    full_refresh: bool,
    complete: bool,
) -> Counts:
    """Bring a run's rows from staging into chart, and those that failed into its quarantine.

    :func:`ensure` comes before, with the same columns.

    Args:
        full_refresh: the run read the stream as a whole. Then the source is the truth: a key is
            taken as it is now even if its cursor went back, and without a key the rows replace
            those that were there.
        complete: the source said all it had. A full refresh that broke off removes nothing.

    Raises:
        TerminalError: masking would merge two keys.
    """
    database.settle(cur)
    kind = ByKey if primary_key else ByRow
    load = kind(cur, tables, run_stream_id, run_id, columns, primary_key, cursor_field)
    load.analyze()
    quarantined = load.quarantine()
    counts = load.promote(full_refresh=full_refresh, complete=complete)
    return replace(counts, quarantined=quarantined)
