"""Rows of the masked layers whose raw row is gone from explore, while a stream is masked anew.

Nothing can say any more what they were made of: so what stands there is masked once more, as far as
the policy of the run asks for it, and nothing in it is unmasked. They are listed in a table beside
the staging table, which goes with that one:

========================= =======================================================================
``n``                     a number of its own
``layer``                 ``chart``, ``quarantine`` or ``navigate``
``id``                    ``_atlas_id``, in navigate the surrogate key
``run_id``                ``_atlas_run_id``
``_atlas_masked_<n>``     what a column is to be from now on, which its comment names
========================= =======================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.errors import TerminalError
from atlas.layers import database, explore, filling, staging
from atlas.layers.names import Tables
from atlas.layers.typing_step import fit
from atlas.layers.values import convert, written
from atlas.ledger.validity import VALID
from atlas.model.stream import Column, ColumnType


@dataclass(frozen=True, slots=True)
class Layer:
    """A masked table of a stream, as ``x`` in statements. ``same``: the condition that an entry
    ``o`` of the list is about ``x``."""

    name: str
    schema: str
    table: str
    id: str
    same: Composable

    @property
    def identifier(self) -> Identifier:
        """The table."""
        return Identifier(self.schema, self.table)


def layers(cur: extensions.cursor, tables: Tables) -> list[Layer]:
    """The masked tables of the stream that are there."""
    by_id = SQL("o.id = x._atlas_id")
    # What a run set aside another may have set aside again.
    in_run = SQL("o.id = x._atlas_id AND o.run_id = x._atlas_run_id")
    return [
        layer
        for layer in (
            Layer("chart", "chart", tables.table, "_atlas_id", by_id),
            Layer("quarantine", "chart", tables.quarantine, "_atlas_id", in_run),
            Layer(
                "navigate",
                "navigate",
                tables.table,
                "surrogate_key",
                SQL("o.id = x.surrogate_key"),
            ),
        )
        if database.exists(cur, layer.schema, layer.table)
    ]


def table(run_stream_id: int) -> Identifier:
    """The list."""
    return Identifier("pipeline", staging.name(run_stream_id) + staging.ORPHANS)


def gather(cur: extensions.cursor, tables: Tables, run_stream_id: int) -> int:
    """List them anew, once the staging table has every row of explore; returns how many there are.

    A row of chart that its source sent again unchanged is known by its hash, if no more by its id.
    A version is known by its row's hash: that of a raw row, or of a row of chart, whose raw row is
    known by its id.
    """
    database.settle(cur)
    staged, listed = staging.table(run_stream_id), table(run_stream_id)
    cur.execute(SQL("ANALYZE {} (_atlas_id, _atlas_row_hash)").format(staged))
    cur.execute(SQL("DROP TABLE IF EXISTS {}").format(listed))
    cur.execute(
        SQL(
            "CREATE TABLE {} (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " layer text NOT NULL, id bigint NOT NULL, run_id uuid NOT NULL)"
        ).format(listed)
    )
    unsent = SQL(
        "NOT EXISTS (SELECT FROM {} s WHERE s._atlas_row_hash = x._atlas_row_hash"
        " AND NOT s._atlas_deleted)"
    ).format(staged)
    gone = SQL("NOT EXISTS (SELECT FROM {} s WHERE s._atlas_id = x._atlas_id)").format(staged)
    unlisted = SQL(
        "NOT EXISTS (SELECT FROM {} c JOIN {} s ON s._atlas_id = c._atlas_id"
        " WHERE c._atlas_row_hash = x._atlas_row_hash)"
    ).format(Identifier("chart", tables.table), staged)
    conditions = {"chart": (gone, unsent), "quarantine": (gone,), "navigate": (unsent, unlisted)}
    found = 0
    for layer in layers(cur, tables):
        cur.execute(
            SQL(
                "INSERT INTO {} (layer, id, run_id) SELECT DISTINCT {}, x.{}, x._atlas_run_id"
                " FROM {} x WHERE {}"
            ).format(
                listed,
                Literal(layer.name),
                Identifier(layer.id),
                layer.identifier,
                SQL(" AND ").join(conditions[layer.name]),
            )
        )
        found += cur.rowcount
    return found


def counts(cur: extensions.cursor, run_stream_id: int) -> dict[str, int]:
    """How many there are, by layer."""
    cur.execute(SQL("SELECT layer, count(*) FROM {} GROUP BY 1").format(table(run_stream_id)))
    return dict(cur.fetchall())


def with_tokens(cur: extensions.cursor, tables: Tables) -> dict[str, ColumnType]:
    """The columns in which tokens may stand, with their types: texts that were masked once."""
    return {
        name: now.type
        for layer in layers(cur, tables)
        for name, now in database.existing(cur, layer.schema, layer.table).items()
        if now.masked is not None and now.type in (ColumnType.TEXT, ColumnType.JSONB)
    }


def read(
    cur: extensions.cursor,
    tables: Tables,
    run_stream_id: int,
    first: int,
    last: int,
    columns: tuple[Column, ...],
) -> pa.Table:
    """What stands in those numbered ``first`` to ``last``, as :func:`atlas.layers.explore.read`
    gives raw rows; ``_atlas_id`` is their number."""
    database.settle(cur)
    selects = []
    for layer in layers(cur, tables):
        present = database.existing(cur, layer.schema, layer.table)
        texts = [_text(column, present.get(column.name)) for column in columns]
        selects.append(
            SQL(
                "SELECT {values} FROM {listed} o JOIN {table} x ON {same} WHERE o.layer = {layer}"
                " AND o.n BETWEEN {first} AND {last}"
            ).format(
                values=SQL(", ").join([SQL("o.n"), *texts]),
                listed=table(run_stream_id),
                table=layer.identifier,
                same=layer.same,
                layer=Literal(layer.name),
                first=Literal(first),
                last=Literal(last),
            )
        )
    kinds = {"_atlas_id": pa.int64()} | {column.name: pa.string() for column in columns}
    union = SQL(" UNION ALL ").join(selects)
    return explore.batch(
        cur, SQL("COPY ({} ORDER BY 1) TO STDOUT (FORMAT csv)").format(union), kinds
    )


def _text(column: Column, now: database.Existing | None) -> Composable:
    if now is None:
        return SQL("NULL::text")
    value: Composable = Identifier("x", column.name)
    if column.type is ColumnType.JSONB:
        return SQL("({})::text").format(convert(value, now.type, ColumnType.JSONB))
    # What is tokenized only now must have the token that it has where its raw row is there.
    if now.type is not ColumnType.TEXT or column.type is ColumnType.TEXT:
        return written(now.type, value)
    # It became text when it was masked, and may be in the clear again.
    return SQL("CASE WHEN {valid}({v}, {name}) THEN {typed} ELSE {v} END").format(
        v=value,
        valid=VALID,
        name=Literal(column.type.value),
        typed=written(column.type, convert(value, ColumnType.TEXT, column.type)),
    )


def keys_hold(
    cur: extensions.cursor, tables: Tables, run_stream_id: int, lost: Sequence[int]
) -> None:
    """See that no present row is among those whose key is not what a sync makes of its value: it
    would find them no more. In what is history it may be so.

    Args:
        lost: their numbers.

    Raises:
        TerminalError: one is.
    """
    if not lost:
        return
    current = SQL("SELECT FROM {} x WHERE {} AND x.is_current")
    present = [
        SQL("o.layer = {}").format(Literal(layer.name))
        if layer.name == "chart"
        else SQL("o.layer = {} AND EXISTS ({})").format(
            Literal(layer.name), current.format(layer.identifier, layer.same)
        )
        for layer in layers(cur, tables)
        if layer.name != "quarantine"
    ]
    if database.scalar(
        cur,
        SQL("SELECT EXISTS (SELECT FROM {} o WHERE o.n = ANY({}) AND ({}))").format(
            table(run_stream_id), Literal(list(lost)), SQL(" OR ").join(present)
        ),
    ):
        raise TerminalError(
            f"chart.{tables.table}: raw rows are gone of rows whose key is masked, and cannot be "
            "masked otherwise without them: sync the stream with --full-refresh first, under the "
            "policy as it was; then run `atlas pii remask` again"
        )


def write(cur: extensions.cursor, run_stream_id: int, masked: pa.Table) -> None:
    """Write what they are to be from now on; the twins must be there."""
    twins = staging.twins(cur, run_stream_id, staging.ORPHANS)
    filling.load_masked(cur, masked, twins)
    values = [
        SQL("{} = {}").format(
            Identifier(twin.name), fit(SQL("m.m{}").format(SQL(str(n))), twin.type)
        )
        for n, twin in enumerate(twins.values())
    ]
    cur.execute(
        SQL("UPDATE {} o SET {} FROM pg_temp._atlas_masked m WHERE m._atlas_id = o.n").format(
            table(run_stream_id), SQL(", ").join(values)
        )
    )
    cur.execute("DROP TABLE pg_temp._atlas_masked")


def add_twins(
    cur: extensions.cursor, run_stream_id: int, masked_types: Mapping[str, ColumnType]
) -> None:
    """Make room for the masked values of these columns."""
    staging.add_twins(cur, staging.name(run_stream_id) + staging.ORPHANS, masked_types)
