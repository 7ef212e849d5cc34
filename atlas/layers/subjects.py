"""The rows of a person in the layers of one stream: searched, given out, erased.

A search begins with what an identifier stands in: any leaf of a raw row, any column of a masked
layer, there also as a token or encrypted. From the rows that it finds it goes on, by ``_atlas_id``,
by row hash and by primary key, to all rows of the same records in every layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.layers import database, staging
from atlas.layers.database import Existing
from atlas.layers.erased import Identity, identity, of_stream, take
from atlas.layers.keys import column_of
from atlas.layers.names import Tables
from atlas.layers.reprocess import of_same_records
from atlas.layers.sought import Sought, copy, in_small, leaf_matches, matches, seek
from atlas.layers.values import Extraction, typed
from atlas.model.stream import Column, ColumnType, FieldPath

__all__ = ["LAYERS", "Sought", "Subject", "seek"]

LAYERS = ("explore", "chart", "quarantine", "navigate")

_FILLED = SQL("r._atlas_id IN (SELECT id FROM pg_temp._atlas_subject_explore)")


@dataclass(frozen=True, slots=True)
class _Layer:
    """A table of the stream, as ``x`` in statements."""

    name: str
    table: Identifier
    id: str
    columns: dict[str, Existing]

    @property
    def found(self) -> Identifier:
        """The table of the ids that belong to the person."""
        return Identifier("pg_temp", f"_atlas_subject_{self.name}")

    @property
    def number(self) -> Identifier:
        """The column that tells its rows apart."""
        return Identifier("x", self.id)


class Subject:
    """A person's rows in one stream, within one transaction; :func:`seek` comes before, and the
    key of hashes must be set (:func:`atlas.layers.hashing.hash_key`)."""

    def __init__(
        self,
        cur: extensions.cursor,
        connection: str,
        tables: Tables,
        columns: tuple[Column, ...],
        primary_key: tuple[FieldPath, ...],
        cursor_field: FieldPath,
    ) -> None:
        self.cur = cur
        self.connection = connection
        self.tables = tables
        self.columns = columns
        self.primary_key = primary_key
        self.cursor_field = cursor_field
        self.types = {column.name: column.type for column in columns}
        self.same = self._identity(self.types)
        self.layers = {
            name: _Layer(name, Identifier(schema, table), number, found)
            for name, schema, table, number in (
                ("explore", "explore", tables.raw, "_atlas_id"),
                ("chart", "chart", tables.table, "_atlas_id"),
                ("quarantine", "chart", tables.quarantine, "_atlas_id"),
                ("navigate", "navigate", tables.table, "surrogate_key"),
            )
            if database.exists(cur, schema, table)
            # Atlas's own columns say nothing about anybody.
            for found in [
                {n: c for n, c in database.existing(cur, schema, table).items() if n in self.types}
            ]
        }
        self.masked = {
            name
            for layer in self._typed_layers()
            for name in self.same.key.columns()
            if name in layer.columns and layer.columns[name].masked
        }

    def _identity(self, types: dict[str, ColumnType]) -> Identity:
        return identity(self.columns, types, self.primary_key, self.cursor_field)

    def _typed_layers(self) -> list[_Layer]:
        return [layer for layer in self.layers.values() if layer.name != "explore"]

    # -- searching ---------------------------------------------------------------------------

    def search(
        self, columns: Sequence[str], hide: Callable[[str], Sequence[str]]
    ) -> dict[str, int]:
        """Find the person's rows; returns how many there are, by layer.

        Args:
            columns: the only columns to begin in; empty: all.
            hide: what a value may read as where it is hidden, but stays equal to itself.
        """
        self.cur.execute(
            "DROP TABLE IF EXISTS pg_temp._atlas_subject, pg_temp._atlas_subject_key,"
            " pg_temp._atlas_subject_explore, pg_temp._atlas_subject_chart,"
            " pg_temp._atlas_subject_quarantine, pg_temp._atlas_subject_navigate"
        )
        for name in LAYERS:
            self.cur.execute(
                SQL("CREATE TEMP TABLE {} (id bigint PRIMARY KEY) ON COMMIT DROP").format(
                    Identifier(f"_atlas_subject_{name}")
                )
            )
        for layer in self.layers.values():
            self._direct(layer, columns)
        self._lead_to_explore()
        self._lead_to_records()
        if self.same.key:
            self._by_key(hide)
            self._lead_to_records()
        self._type()
        self._lead_on()
        return {name: self._count(name) for name in LAYERS}

    def _count(self, name: str) -> int:
        return int(
            database.scalar(
                self.cur,
                SQL("SELECT count(*) FROM {}").format(
                    Identifier("pg_temp", f"_atlas_subject_{name}")
                ),
            )
        )

    def _add(self, layer: _Layer, source: Composable) -> None:
        """Add the rows ``x`` of a layer that ``source``, what follows its name, leaves."""
        self.cur.execute(
            SQL("INSERT INTO {} SELECT DISTINCT {} FROM {} x {} ON CONFLICT DO NOTHING").format(
                layer.found, layer.number, layer.table, source
            )
        )

    def _direct(self, layer: _Layer, only: Sequence[str]) -> None:
        """Add the rows of a layer in which an identifier, or a token of one, stands itself."""
        if layer.name == "explore":
            data: Composable = SQL("x.data")
            if only:
                # A property that the schema does not name stands in no column.
                wanted = {*only, *(c.property for c in self.columns if c.name in only)}
                data = SQL(" || ").join(
                    SQL("jsonb_build_array({})").format(SQL(", ").join(some))
                    for some in _in_calls(
                        [SQL("x.data -> {}").format(Literal(n)) for n in sorted(wanted)]
                    )
                )
            self._scan(layer, [SQL("x.data")], SQL("x.data::text"), leaf_matches(data))
            return
        named = {c.name for c in self.columns if c.property in only or c.name in only}
        chosen = [
            (Identifier("x", name), column.type)
            for name, column in layer.columns.items()
            if (name in named or not only) and column.type is not ColumnType.BOOLEAN
        ]
        conditions: list[Composable] = []
        texts = [
            SQL("({}::text)").format(column)
            for column, kind in chosen
            if kind is not ColumnType.JSONB
        ]
        if texts:
            conditions.append(
                SQL(
                    "EXISTS (SELECT FROM unnest(ARRAY[{}]) v(t) JOIN pg_temp._atlas_sought s ON {})"
                ).format(SQL(", ").join(texts), matches(SQL("v.t")))
            )
        documents = [column for column, kind in chosen if kind is ColumnType.JSONB]
        for part in _in_calls(documents):
            some = SQL(", ").join(part)
            conditions.append(leaf_matches(SQL("jsonb_build_array({})").format(some)))
        if conditions:
            line = SQL("array_to_string(ARRAY[{}], E'\\n')").format(
                SQL(", ").join(SQL("{}::text").format(column) for column, _ in chosen)
            )
            self._scan(layer, [column for column, _ in chosen], line, SQL(" OR ").join(conditions))

    def _scan(
        self, layer: _Layer, columns: list[Composable], line: Composable, exact: Composable
    ) -> None:
        """Add the rows ``x`` that meet ``exact``, which is looked at only where their text ``line``
        holds an identifier at all: one in a million does, and it costs a hundred times as much."""
        self.cur.execute(
            SQL(
                "INSERT INTO {found} SELECT x.{id} FROM (SELECT {columns} FROM (SELECT {columns},"
                " {small} AS _atlas_line FROM (SELECT {columns}, x._atlas_low FROM (SELECT"
                ' {columns}, lower({line} COLLATE "C") AS _atlas_low FROM {table} x OFFSET 0) x'
                " WHERE EXISTS (SELECT FROM pg_temp._atlas_sought s WHERE"
                " strpos(x._atlas_low, s.gate) > 0) OFFSET 0) x OFFSET 0) x"
                " WHERE EXISTS (SELECT FROM pg_temp._atlas_sought s WHERE"
                " strpos(x._atlas_line, s.needle) > 0 OR strpos(x._atlas_line, s.lowered) > 0)"
                " OFFSET 0) x WHERE {exact} ON CONFLICT DO NOTHING"
            ).format(
                found=layer.found,
                id=Identifier(layer.id),
                columns=SQL(", ").join([layer.number, *columns]),
                line=line,
                small=in_small(Identifier("x", "_atlas_low")),
                table=layer.table,
                exact=exact,
            )
        )

    def _lead_to_explore(self) -> None:
        if "explore" not in self.layers:
            return
        for name in ("chart", "quarantine"):
            if name in self.layers:
                self._add(
                    self.layers["explore"],
                    SQL("JOIN {} f ON f.id = x._atlas_id").format(self.layers[name].found),
                )

    def _lead_to_records(self) -> None:
        """What a person put right may have neither key nor value of what the source sent."""
        if "explore" in self.layers:
            raw = self.layers["explore"]
            self._add(raw, SQL("WHERE {}").format(of_same_records(self.tables, raw.found)))

    def _by_key(self, hide: Callable[[str], Sequence[str]]) -> None:
        """Collect the keys of what was found, and add the raw rows that have them."""
        self.cur.execute(
            "CREATE TEMP TABLE _atlas_subject_key (id bigint GENERATED ALWAYS AS IDENTITY,"
            " plain text[], masked text[], UNIQUE NULLS NOT DISTINCT (plain, masked))"
            " ON COMMIT DROP"
        )
        for layer in self.layers.values():
            if layer.name == "explore":
                self._take_keys("plain", self._raw_keys(_FILLED))
                continue
            texts = self._key_texts(layer)
            if texts is None:
                continue
            found = SQL("SELECT ARRAY[{}] FROM {} x JOIN {} f ON f.id = {}").format(
                texts, layer.table, layer.found, layer.number
            )
            self._take_keys("masked" if self._hides(layer) else "plain", found)
        if self.masked:
            self._mask_keys(hide)
        if "explore" in self.layers:
            self._add(
                self.layers["explore"],
                SQL(
                    "JOIN ({}) k(key, id) ON k.id = x._atlas_id"
                    " JOIN (SELECT DISTINCT plain FROM pg_temp._atlas_subject_key) p"
                    " ON p.plain = k.key"
                ).format(self._raw_keys(SQL("true"), number=True)),
            )

    def _take_keys(self, which: str, found: Composable) -> None:
        self.cur.execute(
            SQL(
                "INSERT INTO pg_temp._atlas_subject_key ({}) SELECT DISTINCT key FROM ({}) k(key)"
                " WHERE array_position(key, NULL) IS NULL ON CONFLICT DO NOTHING"
            ).format(Identifier(which), found)
        )

    def _hides(self, layer: _Layer) -> bool:
        return any(layer.columns[name].masked for name in self.same.key.columns())

    def _key_texts(self, layer: _Layer) -> Composable | None:
        """The key of ``x`` in a typed layer; None where the table has no such columns."""
        if any(name not in layer.columns for name in self.same.key.columns()):
            return None
        types = self.types | {name: column.type for name, column in layer.columns.items()}
        same = self._identity(types)
        return SQL(", ").join(same.key_texts(column_of("x"))) if same.key else None

    def _key_mark(self, layer: _Layer) -> Composable:
        """The keyed hash of the key of ``x``; NULL where the table does not have it in plain."""
        if not set(self.same.key.columns()) <= layer.columns.keys() or self._hides(layer):
            return SQL("NULL::text")
        types = self.types | {name: column.type for name, column in layer.columns.items()}
        return self._identity(types).key_mark(column_of("x"))

    def _raw_keys(self, where: Composable, *, number: bool = False) -> Composable:
        """The keys of raw rows ``r``, with their ids if ``number``."""
        wanted = tuple(c for c in self.columns if c.name in self.same.key.columns())
        extraction = Extraction(wanted)
        places = {column.name: (f"v{n}", column) for n, column in enumerate(wanted)}

        def refer(name: str) -> Composable:
            place, column = places[name]
            return typed(column, Identifier("e", place), SQL("e.data"))

        return SQL(
            "SELECT ARRAY[{texts}]{number} FROM (SELECT r._atlas_id, r.data, {raw} FROM {table} r"
            "{source} WHERE {where} OFFSET 0) e"
        ).format(
            texts=SQL(", ").join(self.same.key_texts(refer)),
            number=SQL(", e._atlas_id") if number else SQL(""),
            raw=SQL(", ").join(
                SQL("{} AS {}").format(extraction.raw(column), Identifier(place))
                for place, column in places.values()
            ),
            table=Identifier("explore", self.tables.raw),
            source=extraction.source,
            where=where,
        )

    def _mask_keys(self, hide: Callable[[str], Sequence[str]]) -> None:
        """Write beside each key how it may read where it is hidden."""
        self.cur.execute("SELECT id, plain FROM pg_temp._atlas_subject_key WHERE plain IS NOT NULL")
        names = self.same.key.columns()
        rows = []
        for number, plain in self.cur.fetchall():
            choices = [
                hide(text) if name in self.masked else (text,)
                for name, text in zip(names, plain, strict=True)
            ]
            for parts in itertools.product(*choices):
                quoted = (part.replace("\\", "\\\\").replace('"', '\\"') for part in parts)
                rows.append((number, "{" + ",".join(f'"{part}"' for part in quoted) + "}"))
        self.cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_subject_mask")
        self.cur.execute(
            "CREATE TEMP TABLE _atlas_subject_mask (id bigint, masked text[]) ON COMMIT DROP"
        )
        copy(self.cur, SQL("pg_temp._atlas_subject_mask"), rows)
        self.cur.execute(
            "INSERT INTO pg_temp._atlas_subject_key (plain, masked) SELECT k.plain, m.masked"
            " FROM pg_temp._atlas_subject_mask m JOIN pg_temp._atlas_subject_key k ON k.id = m.id"
            " ON CONFLICT DO NOTHING"
        )

    def _type(self) -> None:
        """A table of the person's raw rows as staging has them: typed, with hashes."""
        there = "explore" in self.layers and self.columns
        take(self.cur, "_atlas_subject", self.tables, self.columns, _FILLED if there else None)

    def _lead_on(self) -> None:
        """From raw rows, hashes and keys to the rows of the typed layers."""
        raw = Identifier("pg_temp", "_atlas_subject_explore")
        for layer in self._typed_layers():
            if layer.name != "navigate":
                self._add(layer, SQL("JOIN {} f ON f.id = x._atlas_id").format(raw))
            texts = self._key_texts(layer) if self.same.key else None
            if texts is not None:
                self._add(
                    layer,
                    SQL("JOIN pg_temp._atlas_subject_key k ON k.{} = ARRAY[{}]").format(
                        Identifier("masked" if self._hides(layer) else "plain"), texts
                    ),
                )
        if "navigate" in self.layers:
            self._add(
                self.layers["navigate"],
                SQL("WHERE x._atlas_row_hash IN ({}){}").format(self._hashes(), self._alone()),
            )

    def _hashes(self) -> Composable:
        """Hashes of the person's rows; one of no values at all is everybody's."""
        parts: list[Composable] = [
            SQL(
                "SELECT t._atlas_row_hash FROM pg_temp._atlas_subject t WHERE"
                " jsonb_strip_nulls(to_jsonb(t) - ARRAY['_atlas_id', '_atlas_emitted_at',"
                " '_atlas_row_hash', '_atlas_deleted', '_atlas_errors', '_atlas_failed'])"
                " <> '{}'"
            )
        ]
        if "chart" in self.layers:
            layer = self.layers["chart"]
            parts.append(
                SQL("SELECT c._atlas_row_hash FROM {} c JOIN {} f ON f.id = c._atlas_id").format(
                    layer.table, layer.found
                )
            )
        return SQL(" UNION ").join(parts)

    def _alone(self) -> Composable:
        """Condition that the hash of ``x`` is nobody else's: without a key, rows that read alike
        may be of two people."""
        if self.same.key or "chart" not in self.layers:
            return SQL("")
        layer = self.layers["chart"]
        return SQL(
            " AND NOT EXISTS (SELECT FROM {} c WHERE c._atlas_row_hash = x._atlas_row_hash"
            " AND NOT EXISTS (SELECT FROM {} f WHERE f.id = c._atlas_id))"
        ).format(layer.table, layer.found)

    # -- giving out --------------------------------------------------------------------------

    def documents(self, name: str) -> list[bytes]:
        """The person's rows in a layer, each as a JSON document, numbers exact."""
        layer = self.layers.get(name)
        if layer is None:
            return []
        self.cur.execute(
            SQL("SELECT to_jsonb(x)::text FROM {} x JOIN {} f ON f.id = {} ORDER BY f.id").format(
                layer.table, layer.found, layer.number
            )
        )
        return [text.encode() for (text,) in self.cur.fetchall()]

    # -- erasing -----------------------------------------------------------------------------

    def remember(self, erasure_id: int) -> None:
        """Write down, as hashes, which records must not come back."""
        table = SQL("pg_temp._atlas_subject")
        ours = (
            SQL("{}, {}, {}").format(
                Literal(self.connection),
                Literal(self.tables.key.namespace or ""),
                Literal(self.tables.key.name),
            ),
            Literal(erasure_id),
        )
        refer, raw = column_of("x"), Identifier("explore", self.tables.raw)
        statement = SQL(
            "INSERT INTO pipeline.erased (connection, namespace, stream, erasure_id, row_hash,"
            " cursor_mark, key_mark) SELECT DISTINCT ON (3, 5, 6) {ours}, {erasure},"
            " x._atlas_row_hash, {cursor}, {key} FROM {table} x WHERE {where}"
            " ON CONFLICT (connection, namespace, stream, row_hash, cursor_mark) DO NOTHING"
        )
        if "explore" in self.layers:
            self.cur.execute(
                statement.format(
                    ours=ours[0],
                    erasure=ours[1],
                    cursor=self.same.cursor_mark("x", refer, raw),
                    key=self.same.key_mark(refer),
                    table=table,
                    where=SQL("x._atlas_row_hash IN ({}) AND ({} OR (true{}))").format(
                        self._hashes(), self.same.has_rest("x", raw), self._alone()
                    ),
                )
            )
        # Rows whose raw row is gone: wherever their source read them, they are what they were.
        known = SQL(
            "NOT EXISTS (SELECT FROM pipeline.erased e WHERE {} AND e.row_hash = x._atlas_row_hash)"
        ).format(of_stream(self.connection, self.tables.key))
        for name in ("chart", "navigate"):
            layer = self.layers.get(name)
            if layer is None:
                continue
            self.cur.execute(
                statement.format(
                    ours=ours[0],
                    erasure=ours[1],
                    cursor=SQL("''"),
                    key=self._key_mark(layer),
                    table=layer.table,
                    where=SQL("{} IN (SELECT id FROM {}) AND {}{}").format(
                        layer.number, layer.found, known, self._alone()
                    ),
                )
            )

    def withdraw(self, run_stream_id: int) -> int:
        """Delete the person's rows from a staging table that a failed run left; returns how many
        of them other runs had read."""
        self.cur.execute(
            SQL(
                "WITH gone AS (DELETE FROM {staging} s USING {found} f"
                " WHERE f.id = s._atlas_id RETURNING s._atlas_id)"
                " SELECT count(*) FROM gone JOIN {raw} r ON r._atlas_id = gone._atlas_id"
                " WHERE r._atlas_run_id <> (SELECT run_id FROM pipeline.run_stream WHERE id = {id})"
            ).format(
                staging=staging.table(run_stream_id),
                found=Identifier("pg_temp", "_atlas_subject_explore"),
                raw=Identifier("explore", self.tables.raw),
                id=Literal(run_stream_id),
            )
        )
        row = self.cur.fetchone()
        return 0 if row is None else int(row[0])

    def erase(self) -> tuple[dict[str, int], list[tuple[int, str]]]:
        """Delete the person's rows in all layers; returns how many there were of each, and id and
        run of each raw one."""
        rows = dict.fromkeys(LAYERS, 0)
        for layer in self._typed_layers():
            rows[layer.name] = self._delete(layer)
        if "explore" not in self.layers:
            return rows, []
        raw = self.layers["explore"]
        rows["explore"] = self._delete(raw, SQL(" RETURNING x._atlas_id, x._atlas_run_id::text"))
        return rows, [(int(number), str(run)) for number, run in self.cur.fetchall()]

    def _delete(self, layer: _Layer, returning: Composable = SQL("")) -> int:  # noqa: B008
        self.cur.execute(
            SQL("DELETE FROM {} x USING {} f WHERE f.id = {}{}").format(
                layer.table, layer.found, layer.number, returning
            )
        )
        return self.cur.rowcount


def _in_calls(arguments: Sequence[Composable]) -> list[Sequence[Composable]]:
    """Arguments in as few calls as there have to be: of a function PostgreSQL takes 100."""
    return [arguments[start : start + 90] for start in range(0, len(arguments), 90)]
