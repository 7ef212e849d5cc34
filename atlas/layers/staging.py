"""The staging table of one stream of a run: typed originals and masked twins, side by side.

It lives from the ``pii`` stage to the end of the run, and holds personal data as ``explore`` does.
It is an ordinary logged table: an unlogged one would be found empty after a crash of PostgreSQL,
by a stage that the ledger calls done.

========================= =======================================================================
``_atlas_id``             of the raw row
``_atlas_emitted_at``     of the raw row
``_atlas_row_hash``       keyed hash of the original values (:mod:`atlas.layers.hashing`)
``_atlas_deleted``        whether the row is a tombstone
``_atlas_errors``         column → why its value does not fit, NULL if all do; never a value
``_atlas_failed``         names of the checks that the row failed
the stream's columns      original values, typed; NULL where they do not fit
``_atlas_masked_<n>``     the masked twin of a column, which its comment names; chart takes it
========================= =======================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.errors import TerminalError
from atlas.layers import database, types
from atlas.layers.keys import Refer
from atlas.layers.typing_step import Twin
from atlas.layers.values import convert, type_name
from atlas.model.stream import Column, ColumnType

_TWIN = "_atlas_masked_"

ORPHANS = "_orphans"
"""How the name of the table of :mod:`atlas.layers.orphans` ends."""

RENEWED = "_tokens"
"""How the name of the table of :mod:`atlas.layers.renewed` ends."""

_MOST_COLUMNS = 1590  # of a table, beside our own; PostgreSQL's limit is 1,600


def name(run_stream_id: int) -> str:
    """Name of the staging table in schema ``pipeline``."""
    return f"staging_{int(run_stream_id)}"


def table(run_stream_id: int) -> Identifier:
    """The staging table."""
    return Identifier("pipeline", name(run_stream_id))


def create(
    cur: extensions.cursor,
    run_stream_id: int,
    columns: tuple[Column, ...],
    masked_types: Mapping[str, ColumnType],
) -> None:
    """Create the table anew; an earlier attempt's is dropped.

    Args:
        masked_types: the columns that get a masked twin, and the twins' types.

    Raises:
        TerminalError: more columns than a table holds.
    """
    if len(columns) + len(masked_types) > _MOST_COLUMNS:
        raise TerminalError(
            f"the stream has {len(columns)} columns, {len(masked_types)} of them masked: a table "
            f"of PostgreSQL holds {_MOST_COLUMNS} in all; leave some out"
        )
    drop(cur, run_stream_id)
    lines: list[Composable] = [
        SQL("_atlas_id bigint NOT NULL"),
        SQL("_atlas_emitted_at timestamptz NOT NULL"),
        SQL("_atlas_row_hash text NOT NULL"),
        SQL("_atlas_deleted boolean NOT NULL"),
        SQL("_atlas_errors jsonb"),
        SQL("_atlas_failed text[] NOT NULL"),
    ]
    lines += [
        SQL("{} {}").format(Identifier(column.name), type_name(column.type)) for column in columns
    ]
    cur.execute(SQL("CREATE TABLE {} ({})").format(table(run_stream_id), SQL(", ").join(lines)))
    wanted = {c.name: masked_types[c.name] for c in columns if c.name in masked_types}
    add_twins(cur, name(run_stream_id), wanted)


def add_twins(cur: extensions.cursor, table_name: str, types: Mapping[str, ColumnType]) -> None:
    """Add masked twins of these columns to a table of schema ``pipeline``."""
    if not types:
        return
    where = Identifier("pipeline", table_name)
    added = [
        SQL("ADD COLUMN {} {}").format(Identifier(f"{_TWIN}{n}"), type_name(kind))
        for n, kind in enumerate(types.values())
    ]
    cur.execute(SQL("ALTER TABLE {} {}").format(where, SQL(", ").join(added)))
    for n, column in enumerate(types):
        cur.execute(
            SQL("COMMENT ON COLUMN {} IS {}").format(
                Identifier("pipeline", table_name, f"{_TWIN}{n}"), Literal(column)
            )
        )


def drop(cur: extensions.cursor, run_stream_id: int) -> None:
    """Drop the table, if there is one, and those that stand beside it."""
    names = [Identifier("pipeline", name(run_stream_id) + end) for end in ("", ORPHANS, RENEWED)]
    cur.execute(SQL("DROP TABLE IF EXISTS {}").format(SQL(", ").join(names)))


def there(cur: extensions.cursor, run_stream_id: int) -> bool:
    """Whether there is such a table."""
    return database.exists(cur, "pipeline", name(run_stream_id))


def left(cur: extensions.cursor) -> list[int]:
    """The run streams whose staging tables are there."""
    cur.execute(
        r"SELECT substr(tablename, 9) FROM pg_tables WHERE schemaname = 'pipeline'"
        r" AND tablename ~ '^staging_[0-9]+$'"
    )
    return [int(number) for (number,) in cur.fetchall()]


def twins(cur: extensions.cursor, run_stream_id: int, which: str = "") -> dict[str, Twin]:
    """The masked twins by the column they stand for; ``which``: :data:`ORPHANS`, or staging's."""
    cur.execute(
        "SELECT col_description(a.attrelid, a.attnum), a.attname, format_type(a.atttypid, NULL)"
        " FROM pg_attribute a WHERE a.attrelid = to_regclass(%s)"
        " AND a.attname LIKE %s AND NOT a.attisdropped ORDER BY a.attnum",
        (f"pipeline.{name(run_stream_id)}{which}", _TWIN.replace("_", r"\_") + "%"),
    )
    return {column: Twin(twin, ColumnType(kind)) for column, twin, kind in cur.fetchall()}


@dataclass(frozen=True, slots=True)
class Staged:
    """What a staging table has: types of the originals by column, and the masked twins.

    It may have fewer columns than the stream has now, or narrower ones, where a stage is taken up
    again after a later run brought more.
    """

    types: Mapping[str, ColumnType]
    twins: Mapping[str, Twin]

    def comes(self, column: Column) -> ColumnType:
        """Type of what chart takes of ``column``."""
        twin = self.twins.get(column.name)
        return twin.type if twin else self.types.get(column.name, column.type)

    def original(self, name: str) -> Composable:
        """Refers to the original of a column; the staging table is called ``s``."""
        return Identifier("s", name) if name in self.types else SQL("NULL")

    def value(self, wanted: Mapping[str, ColumnType]) -> Refer:
        """Refers to what chart shall hold of a column, in the type ``wanted``: the masked twin if
        there is one."""

        def refer(name: str) -> Composable:
            twin = self.twins.get(name)
            if twin is not None:
                return convert(Identifier("s", twin.name), twin.type, wanted[name])
            if name not in self.types:
                return SQL("NULL::{}").format(type_name(wanted[name]))
            return convert(Identifier("s", name), self.types[name], wanted[name])

        return refer


def staged(cur: extensions.cursor, run_stream_id: int) -> Staged:
    """What the staging table has."""
    present = database.existing(cur, "pipeline", name(run_stream_id))
    return Staged(
        {column: what.type for column, what in present.items() if not column.startswith("_atlas_")},
        twins(cur, run_stream_id),
    )


def chart_types(
    columns: tuple[Column, ...], what: Staged, present: Mapping[str, database.Existing]
) -> dict[str, ColumnType]:
    """Types that ``columns`` have in chart: what is there, widened to what comes."""
    result = {}
    for column in columns:
        comes, now = what.comes(column), present.get(column.name)
        result[column.name] = comes if now is None else types.widen(now.type, comes)
    return result
