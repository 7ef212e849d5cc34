"""The masked layers of a stream made anew: other masks, the same rows, versions and times.

Which raw row a row of chart or of the quarantine came from says its ``_atlas_id``; a version in
navigate came from one with the same row hash, which is made of the original values and so knows
nothing of policies. So did a row of chart that was sent again, if its own raw row is gone. Only
columns that are masked now, or ever were, are written, and only where they differ. All tables of
the stream change in one transaction, the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import psycopg2
from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.errors import TerminalError
from atlas.layers import chart, database, keys, orphans, staging, types
from atlas.layers.keys import Key
from atlas.layers.names import Tables
from atlas.layers.orphans import Layer
from atlas.layers.values import convert
from atlas.model.stream import Column, ColumnType, FieldPath

_TRIES, _PAUSE = 100, 0.2
"""How often all tables are asked for at once, and seconds between; then the stage is retried."""


def remask(
    cur: extensions.cursor,
    tables: Tables,
    run_stream_id: int,
    columns: tuple[Column, ...],
    primary_key: tuple[FieldPath, ...],
) -> dict[str, int]:
    """Write the masks of the staging table, and those of the orphans, into every masked table;
    returns how many rows differ now, by layer.

    Args:
        primary_key: by which chart and navigate are kept.

    Raises:
        TerminalError: masking would merge two keys; a view stands in the way of a wider type; or
            a table has rows of which pii saw nothing.
    """
    database.settle(cur)
    made = _Made(cur, run_stream_id, columns, primary_key)
    layers = orphans.layers(cur, tables)
    made.find_resent(tables)
    made.find_versions(tables)
    for layer in layers:
        made.all_seen(layer)
    if any(made.retypes(layer) for layer in layers):
        _keep_readers_out(cur, layers)
    return {layer.name: made.bring(layer) for layer in layers}


def _keep_readers_out(cur: extensions.cursor, layers: list[Layer]) -> None:
    """Have all tables for this transaction alone, before anything is written. A reader that has one
    of them and waits for another comes first, in whatever order it reads them: each wait is shorter
    than PostgreSQL's ``deadlock_timeout``, and what was had is given back after it."""
    patience = database.scalar(cur, "SELECT current_setting('lock_timeout')")
    table_list = SQL(", ").join(layer.identifier for layer in layers)
    for left in reversed(range(_TRIES)):
        cur.execute("SAVEPOINT _atlas_alone")
        try:
            cur.execute("SET LOCAL lock_timeout = '300ms'")
            cur.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table_list))
        except psycopg2.errors.LockNotAvailable:
            if not left:
                raise
            cur.execute("ROLLBACK TO SAVEPOINT _atlas_alone")
            cur.execute("RELEASE SAVEPOINT _atlas_alone")
            time.sleep(_PAUSE)
        else:
            cur.execute("RELEASE SAVEPOINT _atlas_alone")
            cur.execute("SELECT set_config('lock_timeout', %s, true)", (patience,))
            return


class _Made:
    """What the run has made of a stream. In statements ``x`` is the table that gets it, ``s`` the
    staging table, ``o`` the list of orphans."""

    def __init__(
        self,
        cur: extensions.cursor,
        run_stream_id: int,
        columns: tuple[Column, ...],
        primary_key: tuple[FieldPath, ...],
    ) -> None:
        self.cur = cur
        self.id = run_stream_id
        self.columns = columns
        self.primary_key = primary_key
        self.staged = staging.staged(cur, run_stream_id)
        self.apart = staging.twins(cur, run_stream_id, staging.ORPHANS)
        self.masked = {name: twin.type for name, twin in self.staged.twins.items()}
        for name, twin in self.apart.items():
            self.masked[name] = types.widen(self.masked.get(name, twin.type), twin.type)

    def find_resent(self, tables: Tables) -> None:
        """A temporary table of the raw row that a row of chart was sent again in, of those whose
        own is gone."""
        self.cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_resent")
        self.cur.execute(
            SQL(
                "CREATE TEMP TABLE _atlas_resent ON COMMIT DROP AS"
                " SELECT c._atlas_id AS chart_id, max(s._atlas_id) AS id FROM {chart} c"
                " JOIN {staging} s ON s._atlas_row_hash = c._atlas_row_hash"
                " WHERE NOT s._atlas_deleted"
                " AND NOT EXISTS (SELECT FROM {staging} o WHERE o._atlas_id = c._atlas_id)"
                " GROUP BY 1"
            ).format(chart=Identifier("chart", tables.table), staging=staging.table(self.id))
        )
        self.cur.execute("ANALYZE pg_temp._atlas_resent")

    def all_seen(self, layer: Layer) -> None:
        """See that pii saw each row of a table: what stands in another may be in the clear.

        Raises:
            TerminalError: it did not.
        """
        known: list[Composable] = [
            SQL("SELECT FROM {} o WHERE o.layer = {} AND {}").format(
                orphans.table(self.id), Literal(layer.name), layer.same
            )
        ]
        if layer.name == "navigate":
            known.append(
                SQL("SELECT FROM pg_temp._atlas_version v WHERE v.surrogate_key = x.surrogate_key")
            )
        else:
            known.append(
                SQL("SELECT FROM {} s WHERE s._atlas_id = x._atlas_id").format(
                    staging.table(self.id)
                )
            )
        if layer.name == "chart":
            known.append(SQL("SELECT FROM pg_temp._atlas_resent v WHERE v.chart_id = x._atlas_id"))
        unseen = database.scalar(
            self.cur,
            SQL("SELECT count(*) FROM {} x WHERE {}").format(
                layer.identifier,
                SQL(" AND ").join(SQL("NOT EXISTS ({})").format(each) for each in known),
            ),
        )
        if unseen:
            raise TerminalError(
                f"{layer.schema}.{layer.table}: {unseen} rows were changed while the run went on; "
                "nothing was masked: run `atlas pii remask` again"
            )

    def find_versions(self, tables: Tables) -> None:
        """A temporary table of the raw row that each version came from: of those with its hash one
        that the version's own run read, if there is one; else the last. A raw row may have gone
        since pii made its masks, which are good all the same."""
        self.cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_version")
        if not database.exists(self.cur, "navigate", tables.table):
            return
        self.cur.execute(
            SQL(
                "CREATE TEMP TABLE _atlas_version ON COMMIT DROP AS"
                " SELECT DISTINCT ON (n.surrogate_key) n.surrogate_key, h.id FROM {navigate} n"
                " JOIN (SELECT DISTINCT ON (hash, run) hash, run, id FROM ("
                "  SELECT s._atlas_row_hash AS hash, r._atlas_run_id AS run, s._atlas_id AS id"
                "    FROM {staging} s LEFT JOIN {raw} r ON r._atlas_id = s._atlas_id"
                "    WHERE NOT s._atlas_deleted"
                "  UNION ALL SELECT c._atlas_row_hash, c._atlas_run_id, c._atlas_id FROM {chart} c"
                "    JOIN {staging} s ON s._atlas_id = c._atlas_id) u"
                "  ORDER BY hash, run, id DESC) h ON h.hash = n._atlas_row_hash"
                " ORDER BY n.surrogate_key,"
                "  h.run IS NOT DISTINCT FROM n._atlas_run_id DESC, h.id DESC"
            ).format(
                navigate=Identifier("navigate", tables.table),
                staging=staging.table(self.id),
                raw=Identifier("explore", tables.raw),
                chart=Identifier("chart", tables.table),
            )
        )
        self.cur.execute("ANALYZE pg_temp._atlas_version")

    def retypes(self, layer: Layer) -> bool:
        """Whether columns must get another type, for which PostgreSQL keeps readers out."""
        present = database.existing(self.cur, layer.schema, layer.table)
        wants = chart.wants((c for c in self.columns if c.name in present), self.masked)
        return any(
            types.widen(present[want.name].type, want.type) != present[want.name].type
            for want in wants
        )

    def bring(self, layer: Layer) -> int:
        """Bring a table to what was made; returns how many of its rows differ now."""
        kinds, wanted = self._evolve(layer)
        key = Key(())
        if layer.name != "quarantine":
            key = keys.key(self.primary_key, self.columns, kinds)
        if set(wanted).isdisjoint(key.columns()):
            return self._write_rows(layer, kinds, wanted)
        # To drop its index would keep readers out until the commit.
        self.cur.execute("SAVEPOINT _atlas_key")
        try:
            rows = self._write_rows(layer, kinds, wanted)
            keys.secure(self.cur, layer.schema, layer.table, key)
        except psycopg2.errors.UniqueViolation:
            self.cur.execute("ROLLBACK TO SAVEPOINT _atlas_key")
        else:
            # Released: the stage's end knows its own transaction, not what is nested in it.
            self.cur.execute("RELEASE SAVEPOINT _atlas_key")
            return rows
        self.cur.execute("RELEASE SAVEPOINT _atlas_key")
        # Two keys are alike: for good, or only while one is written and the other is not yet.
        index = Identifier(layer.schema, key.index(layer.table))
        self.cur.execute(SQL("DROP INDEX IF EXISTS {}").format(index))
        rows = self._write_rows(layer, kinds, wanted)
        try:
            keys.secure(self.cur, layer.schema, layer.table, key)
        except psycopg2.errors.UniqueViolation:
            # not "from error": its text quotes the key
            raise TerminalError(
                f"{layer.schema}.{layer.table}: the policy masks different keys alike; "
                "tokenize the key's columns, or keep them"
            ) from None
        return rows

    def _write_rows(self, layer: Layer, kinds: Mapping[str, ColumnType], wanted: list[str]) -> int:
        return self._from_staging(layer, kinds, wanted) + self._from_orphans(layer, kinds)

    def _evolve(self, layer: Layer) -> tuple[dict[str, ColumnType], list[str]]:
        """Bring the columns to the types of their masks; returns all types, and the columns to be
        written: what was masked once may be masked otherwise now."""
        present = database.existing(self.cur, layer.schema, layer.table)
        wants = chart.wants((c for c in self.columns if c.name in present), self.masked)
        changes = database.evolve(self.cur, layer.schema, layer.table, wants, remade=True)
        if layer.name == "chart":
            chart.record(self.cur, self.id, changes)
        present = database.existing(self.cur, layer.schema, layer.table)
        wanted = [want.name for want in wants if present[want.name].masked is not None]
        return {name: now.type for name, now in present.items()}, wanted

    def _from_staging(
        self, layer: Layer, kinds: Mapping[str, ColumnType], wanted: list[str]
    ) -> int:
        source: Composable = SQL("{} s").format(staging.table(self.id))
        same = SQL("s._atlas_id = x._atlas_id")
        if layer.name == "navigate":
            source = SQL("{} JOIN pg_temp._atlas_version v ON v.id = s._atlas_id").format(source)
            same = SQL("v.surrogate_key = x.surrogate_key")
        value = self.staged.value(kinds)
        values = {name: value(name) for name in wanted}
        rows = self._write(layer, values, source, same)
        if layer.name == "chart":
            source = SQL("{} JOIN pg_temp._atlas_resent v ON v.id = s._atlas_id").format(source)
            rows += self._write(layer, values, source, SQL("v.chart_id = x._atlas_id"))
        return rows

    def _from_orphans(self, layer: Layer, kinds: Mapping[str, ColumnType]) -> int:
        values = {
            name: convert(Identifier("o", twin.name), twin.type, kinds[name])
            for name, twin in self.apart.items()
            if name in kinds
        }
        return self._write(
            layer,
            values,
            SQL("{} o").format(orphans.table(self.id)),
            SQL("o.layer = {} AND {}").format(Literal(layer.name), layer.same),
        )

    def _write(
        self, layer: Layer, values: Mapping[str, Composable], source: Composable, same: Composable
    ) -> int:
        """Write ``values`` where they differ from what is there."""
        if not values:
            return 0
        self.cur.execute(
            SQL("UPDATE {} x SET {} FROM {} WHERE {} AND ({})").format(
                layer.identifier,
                SQL(", ").join(
                    SQL("{} = {}").format(Identifier(name), value) for name, value in values.items()
                ),
                source,
                same,
                SQL(" OR ").join(
                    SQL("{} IS DISTINCT FROM {}").format(Identifier("x", name), value)
                    for name, value in values.items()
                ),
            )
        )
        return self.cur.rowcount
