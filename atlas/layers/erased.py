"""Records that were erased, and must not come back until their source says so anew.

What is kept of them (``pipeline.erased``) tells nothing: keyed hashes of the row and of its key. A
record that is sent again as it was is taken out of the run before anything is promoted. One of the
same key that differs is the source's new word: it comes through, and nothing of its key is held
back from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.errors import TerminalError
from atlas.layers import database, keys, staging
from atlas.layers.hashing import keyed_hash
from atlas.layers.keys import Key, Part, Refer
from atlas.layers.names import Tables
from atlas.layers.typing_step import NOT_BUSINESS, insert
from atlas.layers.values import type_name, written
from atlas.model.stream import Column, ColumnType, FieldPath, Segment, StreamKey


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells the records of a stream apart.

    Attributes:
        key: the primary key, or none.
        cursor: the cursor, where it is no value of the row and so not in its hash (a place in a
            log, the time of a file): a row that is sent again from a later place is news.
        properties: what the row's hash may know of. Without a key, rows are told apart by the rest
            of the record as well.
    """

    key: Key
    cursor: Part | None
    properties: tuple[str, ...]

    def key_texts(self, refer: Refer) -> list[Composable]:
        """The key's values as texts, the same whatever number type the columns have."""
        return [
            written(part.kind, value)
            for part, value in zip(self.key.parts, self.key.of(refer), strict=True)
        ]

    def key_mark(self, refer: Refer) -> Composable:
        """A keyed hash of the key; NULL where there is none."""
        if not self.key:
            return SQL("NULL::text")
        texts = self.key_texts(refer)
        return SQL("CASE WHEN {} THEN {} END").format(
            SQL(" AND ").join(SQL("{} IS NOT NULL").format(text) for text in texts),
            # A row's hash begins with a length: this is the hash of no row.
            keyed_hash(
                SQL("'key' || {}").format(
                    SQL(" || ").join(
                        SQL("octet_length({t}) || ':' || {t}").format(t=text) for text in texts
                    )
                )
            ),
        )

    def cursor_mark(self, row: str, refer: Refer, raw: Composable) -> Composable:
        """A hash of what tells a row from others of the same hash, or an empty text.

        Args:
            row: the alias of the table with the row's id and hash.
            raw: the table of the raw rows.
        """
        row_hash = Identifier(row, "_atlas_row_hash")
        place: Composable = SQL("''")
        mark = place
        if self.cursor is not None:
            place = SQL("coalesce(({})::text, '')").format(self.cursor.of(refer))
            mark = keyed_hash(SQL("'cursor' || {} || {}").format(row_hash, place))
        if self.key:
            return mark
        return SQL(
            "(SELECT CASE WHEN n.rest = '{{}}' THEN {mark} ELSE {whole} END FROM ({rest}) n)"
        ).format(
            rest=self._rest(row, raw),
            mark=mark,
            whole=keyed_hash(
                SQL("'rest' || {} || octet_length({p}) || ':' || {p} || n.rest::text").format(
                    row_hash, p=place
                )
            ),
        )

    def has_rest(self, row: str, raw: Composable) -> Composable:
        """Condition that :meth:`cursor_mark` knows of a row what its hash does not."""
        if self.key:
            return SQL("false")
        return SQL("EXISTS (SELECT FROM ({}) n WHERE n.rest <> '{{}}')").format(
            self._rest(row, raw)
        )

    def _rest(self, row: str, raw: Composable) -> Composable:
        return SQL(
            "SELECT CASE jsonb_typeof(d.data) WHEN 'object' THEN d.data - {}::text[]"
            " ELSE d.data END AS rest FROM {} d WHERE d._atlas_id = {}"
        ).format(Literal(list(self.properties)), raw, Identifier(row, "_atlas_id"))


def identity(
    columns: tuple[Column, ...],
    types: Mapping[str, ColumnType],
    primary_key: tuple[FieldPath, ...],
    cursor_field: FieldPath,
) -> Identity:
    """What tells records apart in a table whose columns have ``types``; a key or cursor that is no
    field of the stream is none."""
    try:
        key = keys.key(primary_key, columns, types)
    except TerminalError:
        key = Key(())
    cursor = None
    if cursor_field and cursor_field[0].startswith(NOT_BUSINESS):
        try:
            cursor = keys.part(cursor_field, columns, types, "cursor")
        except TerminalError:
            cursor = None
    return Identity(key, cursor, tuple(column.property for column in columns))


def of_stream(connection: str, key: StreamKey) -> Composable:
    """Condition on ``e``, which is ``pipeline.erased``."""
    return SQL("e.connection = {} AND e.namespace = {} AND e.stream = {}").format(
        Literal(connection), Literal(key.namespace or ""), Literal(key.name)
    )


def there(cur: extensions.cursor, connection: str, key: StreamKey) -> bool:
    """Whether records of the stream were erased."""
    return bool(
        database.scalar(
            cur,
            SQL("SELECT EXISTS (SELECT FROM pipeline.erased e WHERE {})").format(
                of_stream(connection, key)
            ),
        )
    )


def take(
    cur: extensions.cursor,
    name: str,
    tables: Tables,
    columns: tuple[Column, ...],
    rows: Composable | None,
) -> None:
    """A temporary table of raw rows as staging has them: typed, with the hashes of the rows.

    Args:
        rows: the condition on the raw rows, which are called ``r``; None: none of them.
    """
    cur.execute(
        SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(
            Identifier(name),
            SQL(", ").join(
                [
                    SQL(
                        "_atlas_id bigint, _atlas_emitted_at timestamptz, _atlas_row_hash text,"
                        " _atlas_deleted boolean, _atlas_errors jsonb, _atlas_failed text[]"
                    ),
                    *(
                        SQL("{} {}").format(Identifier(column.name), type_name(column.type))
                        for column in columns
                    ),
                ]
            ),
        )
    )
    if rows is None:
        return
    present = database.existing(cur, "chart", tables.table)
    formerly = {column: now.formerly or now.type for column, now in present.items()}
    cur.execute(insert(Identifier("pg_temp", name), tables, rows, columns, {}, formerly))


def sweep(
    cur: extensions.cursor,
    connection: str,
    tables: Tables,
    run_stream_id: int,
    columns: tuple[Column, ...],
    primary_key: tuple[FieldPath, ...],
    cursor_field: FieldPath,
    parts: Mapping[str, Sequence[Segment]],
) -> list[tuple[int, str]]:
    """Delete from explore what was erased and came again with a run that broke off, and is not in
    this staging table. :func:`withhold` comes after: it lets go of keys that are brought anew.

    Args:
        parts: where to look: ranges of rows by the id of their run.

    Returns: id and run of each raw row that is gone.
    """
    ranges = [
        SQL("(r._atlas_id BETWEEN {} AND {} AND r._atlas_run_id = {}::uuid)").format(
            Literal(part.first_id), Literal(part.last_id), Literal(run_id)
        )
        for run_id, found in parts.items()
        for part in found
    ]
    if not ranges or not columns:
        return []
    database.settle(cur)
    cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_swept")
    apart = SQL("({}) AND NOT EXISTS (SELECT FROM {} s WHERE s._atlas_id = r._atlas_id)").format(
        SQL(" OR ").join(ranges), staging.table(run_stream_id)
    )
    take(cur, "_atlas_swept", tables, columns, apart)
    types = {column.name: column.type for column in columns}
    same = identity(columns, types, primary_key, cursor_field)
    refer = keys.column_of("t")
    raw = Identifier("explore", tables.raw)
    cur.execute(
        SQL(
            "DELETE FROM {raw} r USING pg_temp._atlas_swept t WHERE t._atlas_id = r._atlas_id"
            " AND EXISTS (SELECT FROM pipeline.erased e WHERE {ours}"
            " AND e.row_hash = t._atlas_row_hash AND e.cursor_mark IN ('', {cursor}))"
            " RETURNING r._atlas_id, r._atlas_run_id::text"
        ).format(
            raw=raw,
            ours=of_stream(connection, tables.key),
            cursor=same.cursor_mark("t", refer, raw),
        )
    )
    gone = [(int(number), str(run)) for number, run in cur.fetchall()]
    cur.execute("DROP TABLE pg_temp._atlas_swept")
    return gone


def withhold(
    cur: extensions.cursor,
    connection: str,
    tables: Tables,
    run_stream_id: int,
    columns: tuple[Column, ...],
    primary_key: tuple[FieldPath, ...],
    cursor_field: FieldPath,
) -> list[tuple[int, str]]:
    """Take out of a filled staging table, and out of explore, what was erased and is sent again.

    That is a record that equals an erased one, and a tombstone of an erased key of which the run
    brings nothing else. The key of hashes must be set (:func:`atlas.layers.hashing.hash_key`).

    Returns: id and run of each raw row that is gone.
    """
    ours = of_stream(connection, tables.key)
    database.settle(cur)
    what = staging.staged(cur, run_stream_id)
    kinds = {column.name: what.types.get(column.name, column.type) for column in columns}
    same = identity(columns, kinds, primary_key, cursor_field)
    table = staging.table(run_stream_id)
    cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_withheld, pg_temp._atlas_anew")
    cur.execute(
        SQL(
            "CREATE TEMP TABLE _atlas_withheld ON COMMIT DROP AS"
            " SELECT s._atlas_id FROM {staging} s WHERE EXISTS"
            " (SELECT FROM pipeline.erased e WHERE {ours}"
            " AND e.row_hash = s._atlas_row_hash AND e.cursor_mark IN ('', {cursor}))"
        ).format(
            staging=table,
            ours=ours,
            cursor=same.cursor_mark("s", what.original, Identifier("explore", tables.raw)),
        )
    )
    if same.key:
        _see_to_keys(cur, table, ours, same.key_mark(what.original))
    cur.execute(
        SQL(
            "DELETE FROM {} s USING pg_temp._atlas_withheld w WHERE w._atlas_id = s._atlas_id"
        ).format(table)
    )
    cur.execute(
        SQL(
            "DELETE FROM {} r USING pg_temp._atlas_withheld w WHERE w._atlas_id = r._atlas_id"
            " RETURNING r._atlas_id, r._atlas_run_id::text"
        ).format(Identifier("explore", tables.raw))
    )
    return [(int(number), str(run)) for number, run in cur.fetchall()]


def _see_to_keys(
    cur: extensions.cursor, table: Composable, ours: Composable, mark: Composable
) -> None:
    """Let go of the keys that the source brings anew; hold back tombstones of the others."""
    cur.execute(
        SQL(
            "CREATE TEMP TABLE _atlas_anew ON COMMIT DROP AS SELECT DISTINCT k.mark FROM"
            " (SELECT {mark} AS mark FROM {staging} s WHERE NOT s._atlas_deleted AND NOT EXISTS"
            " (SELECT FROM pg_temp._atlas_withheld w WHERE w._atlas_id = s._atlas_id)) k"
            " JOIN pipeline.erased e ON e.key_mark = k.mark AND {ours}"
        ).format(mark=mark, staging=table, ours=ours)
    )
    cur.execute(
        SQL(
            "DELETE FROM pipeline.erased e USING pg_temp._atlas_anew a WHERE {} AND"
            " e.key_mark = a.mark"
        ).format(ours)
    )
    cur.execute(
        SQL(
            "INSERT INTO pg_temp._atlas_withheld SELECT k._atlas_id FROM"
            " (SELECT s._atlas_id, {mark} AS mark FROM {staging} s WHERE s._atlas_deleted"
            " AND NOT EXISTS (SELECT FROM pg_temp._atlas_withheld w"
            " WHERE w._atlas_id = s._atlas_id)) k"
            " WHERE EXISTS (SELECT FROM pipeline.erased e WHERE {ours} AND e.key_mark = k.mark)"
        ).format(mark=mark, staging=table, ours=ours)
    )
