"""What the layers need of PostgreSQL: a session as they assume it, and tables as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from atlas.errors import TerminalError
from atlas.layers import types
from atlas.layers.names import fitted
from atlas.layers.values import convert, type_name
from atlas.model.stream import ColumnType


@dataclass(frozen=True, slots=True)
class Existing:
    """A column as it stands in a table.

    Attributes:
        type: its type.
        masked: whether its values are masked; None for a column that never was masked.
        formerly: the type of dates or times that it was widened from, if any.
    """

    type: ColumnType
    masked: bool | None = None
    formerly: ColumnType | None = None

    def comment(self) -> str | None:
        """How the database remembers what its catalog does not know."""
        said: dict[str, Any] = {}
        if self.masked is not None:
            said["masked"] = self.masked
        if self.formerly is not None:
            said["formerly"] = self.formerly.value
        return json.dumps({"atlas": said}) if said else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column as it shall be in a layer."""

    name: str
    type: ColumnType
    masked: bool


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A change of a table that stood before.

    ``change`` is ``added``, ``widened`` or ``masked``; ``detail`` has the types, or the number of
    rows whose unmasked values were cleared.
    """

    table: str
    column: str
    change: str
    detail: dict[str, Any]


def settle(cur: extensions.cursor) -> None:
    """Set, for the rest of the transaction, what the layers' SQL relies on.

    UTC and ISO are a matter of correctness. Compiling expressions costs more than it gives for
    statements of hundreds of them, and joins of a whole table want more memory than the default.
    """
    cur.execute(
        "SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO, YMD', true),"
        " set_config('jit', 'off', true), set_config('work_mem', '64MB', true)"
    )


def scalar(cur: extensions.cursor, query: Composable | str) -> Any:
    """The one value that ``query`` answers."""
    cur.execute(query)
    row = cur.fetchone()
    if row is None:
        raise TerminalError("the database gave no row where one was due")
    return row[0]


def exists(cur: extensions.cursor, schema: str, table: str) -> bool:
    """Whether the table is there."""
    cur.execute(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s)",
        (schema, table),
    )
    row = cur.fetchone()
    return bool(row and row[0])


def existing(cur: extensions.cursor, schema: str, table: str) -> dict[str, Existing]:
    """The stream's columns of a table (Atlas's own left out), by name, in their order."""
    cur.execute(
        "SELECT a.attname, format_type(a.atttypid, NULL), col_description(c.oid, a.attnum)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped"
        " ORDER BY a.attnum",
        (schema, table),
    )
    kinds = {kind.value for kind in ColumnType}
    found = {}
    for name, kind, comment in cur.fetchall():
        if kind not in kinds:
            continue
        said = _comment(comment)
        formerly = said.get("formerly")
        found[name] = Existing(
            ColumnType(kind), said.get("masked"), ColumnType(formerly) if formerly else None
        )
    return found


def _comment(text: str | None) -> dict[str, Any]:
    try:
        said = json.loads(text or "{}")
    except ValueError:
        return {}  # a person's own words about the column
    ours = said.get("atlas", {}) if isinstance(said, dict) else {}
    return ours if isinstance(ours, dict) else {}


def create(
    cur: extensions.cursor,
    schema: str,
    table: str,
    wanted: Iterable[Wanted],
    ours: Iterable[Composable],
) -> None:
    """Create a table of the stream's columns and ``ours``."""
    wanted = tuple(wanted)
    lines: list[Composable] = [
        SQL("{} {}").format(Identifier(column.name), type_name(column.type)) for column in wanted
    ]
    cur.execute(
        SQL("CREATE TABLE {} ({})").format(
            Identifier(schema, table), SQL(", ").join([*lines, *ours])
        )
    )
    for column in wanted:
        if column.masked:
            remember(cur, schema, table, column.name, Existing(column.type, masked=True))


def remember(cur: extensions.cursor, schema: str, table: str, column: str, what: Existing) -> None:
    """Keep what the catalog itself does not know about a column, as its comment."""
    cur.execute(
        SQL("COMMENT ON COLUMN {} IS {}").format(
            Identifier(schema, table, column), Literal(what.comment())
        )
    )


def evolve(
    cur: extensions.cursor,
    schema: str,
    table: str,
    wanted: Iterable[Wanted],
    *,
    key_columns: Iterable[str] = (),
    remade: bool = False,
) -> list[SchemaChange]:
    """Bring a table's columns to what is ``wanted``: added, widened, never dropped or narrowed.

    A column that was not masked and now is loses the values it has: what is personal must not
    stay readable in a layer that is masked. They can be made again from ``explore``.

    Args:
        key_columns: columns of the key. That masking them begins or ends cannot be mended here.
        remade: the caller writes what is masked anew in the same transaction: nothing is cleared.

    Raises:
        TerminalError: rows would not be found by their key any more, or something of the user's
            own stands in the way.
    """
    present = existing(cur, schema, table)
    full_name = f"{schema}.{table}"
    keys = frozenset(key_columns)
    changes = []
    wider: dict[str, Composed] = {}
    for column in wanted:
        now = present.get(column.name)
        if now is None:
            _alter(
                cur,
                schema,
                table,
                column.name,
                SQL("ADD COLUMN {} {}").format(Identifier(column.name), type_name(column.type)),
            )
            if column.masked:
                remember(cur, schema, table, column.name, Existing(column.type, masked=True))
            changes.append(
                SchemaChange(full_name, column.name, "added", {"type": column.type.value})
            )
            continue
        wide = types.widen(now.type, column.type)
        then = Existing(
            wide,
            column.masked if column.masked or now.masked is not None else None,
            now.formerly or (now.type if wide != now.type and now.type in types.TEMPORAL else None),
        )
        if column.name in keys and column.masked != bool(now.masked):
            _refuse_other_keys(cur, schema, table, column)
        if column.masked and not now.masked:
            cleared = 0 if remade else _clear(cur, schema, table, column.name)
            changes.append(SchemaChange(full_name, column.name, "masked", {"cleared": cleared}))
        if wide != now.type:
            wider[column.name] = SQL("ALTER COLUMN {} TYPE {} USING {}").format(
                Identifier(column.name),
                type_name(wide),
                convert(Identifier(column.name), now.type, wide),
            )
            changes.append(
                SchemaChange(
                    full_name, column.name, "widened", {"from": now.type.value, "to": wide.value}
                )
            )
        if then.comment() != now.comment():
            remember(cur, schema, table, column.name, then)
    if wider:
        # All in one, for each of them alone would rewrite the table once more.
        _alter(cur, schema, table, ", ".join(wider), SQL(", ").join(wider.values()))
    return changes


def _refuse_other_keys(cur: extensions.cursor, schema: str, table: str, key: Wanted) -> None:
    """Rows that are there would no longer be found by their key."""
    if scalar(cur, SQL("SELECT EXISTS (SELECT FROM {})").format(Identifier(schema, table))):
        now, then = ("is", "was not") if key.masked else ("is not", "was")
        raise TerminalError(
            f"{schema}.{table}: column {key.name} of the key {now} masked now and {then} before; "
            "override its verdict, or run `atlas pii remask`, which makes keys anew as well"
        )


def _alter(cur: extensions.cursor, schema: str, table: str, column: str, action: Composed) -> None:
    try:
        cur.execute(SQL("ALTER TABLE {} {}").format(Identifier(schema, table), action))
    except psycopg2.errors.FeatureNotSupported as error:
        raise TerminalError(
            f"{schema}.{table}: the type of column {column} must become wider, but a view or rule "
            "depends on it: drop that, sync again, and create it anew"
        ) from error


def _clear(cur: extensions.cursor, schema: str, table: str, column: str) -> int:
    cur.execute(
        SQL("UPDATE {} SET {c} = NULL WHERE {c} IS NOT NULL").format(
            Identifier(schema, table), c=Identifier(column)
        )
    )
    return cur.rowcount


def index_name(table: str, suffix: str) -> str:
    """Name of an index or sequence of ``table``.

    The dollar sign keeps it apart from every table's name, which is an identifier without one.
    """
    return fitted(table, table, f"${suffix}")


def has_index(cur: extensions.cursor, schema: str, name: str) -> bool:
    """Whether the index is there."""
    return exists(cur, schema, name)


def index_names(cur: extensions.cursor, schema: str, table: str) -> list[str]:
    """Names of a table's indexes."""
    cur.execute(
        "SELECT indexname FROM pg_indexes WHERE schemaname = %s AND tablename = %s", (schema, table)
    )
    return [name for (name,) in cur.fetchall()]
