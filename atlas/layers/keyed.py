"""Promotion of a stream with a primary key: the last record of each key wins."""

from __future__ import annotations

from psycopg2.sql import SQL, Composable, Composed, Identifier

from atlas.errors import TerminalError
from atlas.layers import database
from atlas.layers.keys import column_of
from atlas.layers.promotion import Counts, Load
from atlas.layers.reprocess import Places
from atlas.layers.values import Extraction, typed


class ByKey(Load):
    """A promotion by primary key; ``w`` are the winners, one row a key of this run."""

    def promote(self, *, full_refresh: bool, complete: bool) -> Counts:
        """Last record of each key wins, if chart has no later one."""
        self._refuse_merged_keys()
        valid = self._winners(full_refresh=full_refresh)
        self.cur.execute("SELECT fate, count(*) FROM pg_temp._atlas_winner GROUP BY fate")
        fates: dict[str, int] = dict(self.cur.fetchall())
        winners = sum(fates.values())
        deleted = self._delete_tombstones() if fates.get("tombstone") else 0
        if full_refresh and complete:
            deleted += self._delete_absent()
        if fates.get("changed"):
            self._update()
        if fates.get("new"):
            self._insert()
        self.cur.execute("DROP TABLE pg_temp._atlas_winner")
        written = fates.get("new", 0) + fates.get("changed", 0)
        return Counts(
            promoted=written + fates.get("equal", 0),
            superseded=valid - winners + fates.get("stale", 0),
            tombstones=fates.get("tombstone", 0),
            deleted=deleted,
            written=written,
        )

    def _refuse_merged_keys(self) -> None:
        """Two keys that look the same once masked would be one row in chart."""
        if not any(column in self.staged.twins for column in self.key.columns()):
            return
        merged = database.scalar(
            self.cur,
            SQL(
                "SELECT EXISTS (SELECT FROM {staging} s WHERE s._atlas_failed = '{{}}' GROUP BY"
                " {masked} HAVING count(DISTINCT ({original})) > 1)"
            ).format(
                staging=self.staging,
                masked=SQL(", ").join(self.key.of(self.value)),
                original=SQL(", ").join(self.original_key.of(self.staged.original)),
            ),
        )
        if merged:
            raise TerminalError(
                f"chart.{self.tables.table}: the policy masks different keys alike, so that rows "
                "would be lost; tokenize the key's columns, or keep them"
            )

    def _winners(self, *, full_refresh: bool) -> int:
        """Table of this run's last valid row a key and its fate; returns the valid rows."""
        alias = [SQL("k{}").format(SQL(str(n))) for n in range(len(self.key.parts))]
        values = self.key.of(self.value)
        masks = [
            SQL("{} AS {}").format(self.value(column), Identifier(f"m{n}"))
            for n, column in enumerate(self.ever_masked)
        ]
        cursor = self.cursor.ordered(self.staged.original) if self.cursor else SQL("NULL::text")
        places = Places(self.cur, self.tables)
        self.cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_winner")
        self.cur.execute(
            SQL(
                "CREATE TEMP TABLE _atlas_winner ON COMMIT DROP AS"
                " SELECT w._atlas_id, {alias}, CASE WHEN {stale} THEN 'stale'"
                " WHEN w.deleted THEN 'tombstone' WHEN c._atlas_id IS NULL THEN 'new'"
                " WHEN {differs} THEN 'changed' ELSE 'equal' END AS fate"
                " FROM (SELECT DISTINCT ON ({values}) {keys}, {cursor} AS cursor,"
                " s._atlas_id, s._atlas_row_hash AS hash, s._atlas_deleted AS deleted,"
                " {place} AS place{masks}"
                " FROM {staging} s{places} WHERE s._atlas_failed = '{{}}'"
                " ORDER BY {values}, {cursor} DESC NULLS LAST, {place} DESC) w"
                " LEFT JOIN {chart} c ON {same}{present_places}{present}"
            ).format(
                alias=SQL(", ").join(SQL("w.{}").format(name) for name in alias),
                stale=self._stale(places.of("c"), full_refresh=full_refresh),
                place=places.of("s"),
                places=places.join("s"),
                present_places=places.join("c"),
                differs=self._differs(),
                values=SQL(", ").join(values),
                keys=SQL(", ").join(
                    SQL("{} AS {}").format(value, name)
                    for value, name in zip(values, alias, strict=True)
                ),
                cursor=cursor,
                masks=SQL("").join(SQL(", {}").format(mask) for mask in masks),
                staging=self.staging,
                chart=self.chart,
                same=self._same_key("w"),
                present=self._present_source(full_refresh=full_refresh),
            )
        )
        self.cur.execute("ANALYZE pg_temp._atlas_winner")
        return int(
            database.scalar(
                self.cur,
                SQL("SELECT count(*) FROM {} WHERE _atlas_failed = '{{}}'").format(self.staging),
            )
        )

    def _same_key(self, alias: str) -> Composed:
        """Condition that ``c`` has the key of the winner called ``alias``."""
        return SQL(" AND ").join(
            SQL("{} = {}.k{}").format(value, Identifier(alias), SQL(str(n)))
            for n, value in enumerate(self.key.of(column_of("c")))
        )

    def _stale(self, place: Composable, *, full_refresh: bool) -> Composable:
        """Whether chart's row, which stands at ``place``, is later than the winner."""
        if full_refresh or self.cursor is None:
            return SQL("coalesce({} > w.place, false)").format(place)
        present = self._present_cursor()
        return SQL(
            "c._atlas_id IS NOT NULL AND ({present} > w.cursor"
            " OR (w.cursor IS NULL AND {present} IS NOT NULL)"
            " OR (w.cursor IS NOT DISTINCT FROM {present} AND {place} > w.place))"
        ).format(present=present, place=place)

    def _cursor_is_kept(self) -> bool:
        """Whether chart's own column holds the cursor as it came."""
        assert self.cursor is not None  # noqa: S101 - asked only where there is one
        name = self.cursor.column
        return name not in self.ever_masked and self.types[name] == self.cursor.kind

    def _present_cursor(self) -> Composable:
        assert self.cursor is not None  # noqa: S101 - asked only where there is one
        if self._cursor_is_kept():
            return self.cursor.ordered(column_of("c"))
        return SQL("p.cursor")

    def _present_source(self, *, full_refresh: bool) -> Composable:
        """Where chart's present cursor is masked: the raw row it came from, while that is kept.

        Once its retention is over, nothing older can be told, and the later row wins.
        """
        if full_refresh or self.cursor is None or self._cursor_is_kept():
            return SQL("")
        column = next(c for c in self.columns if c.name == self.cursor.column)
        extraction = Extraction((column,))

        def refer(_: str) -> Composable:
            return typed(column, SQL("e.v"), SQL("e.data"))

        return SQL(
            " LEFT JOIN LATERAL (SELECT {cursor} AS cursor FROM (SELECT r.data, {raw} AS v"
            " FROM {table} r{source} WHERE r._atlas_id = c._atlas_id OFFSET 0) e) p ON true"
        ).format(
            cursor=self.cursor.ordered(refer),
            raw=extraction.raw(column),
            table=Identifier("explore", self.tables.raw),
            source=extraction.source,
        )

    def _differs(self) -> Composable:
        """Whether there is anything to write for a key that chart has."""
        reasons: list[Composable] = [SQL("w.hash <> c._atlas_row_hash")]
        reasons += [
            SQL("w.{} IS DISTINCT FROM {}").format(Identifier(f"m{n}"), Identifier("c", column))
            for n, column in enumerate(self.ever_masked)
        ]
        if self.cursor is not None and self._cursor_is_kept():
            # a cursor that is no value of the row (a place in a log) moves on without a version
            reasons.append(
                SQL("w.cursor IS DISTINCT FROM {}").format(self.cursor.ordered(column_of("c")))
            )
        return SQL("({})").format(SQL(" OR ").join(reasons))

    def _delete_tombstones(self) -> int:
        self.cur.execute(
            SQL(
                "DELETE FROM {} c USING pg_temp._atlas_winner w WHERE w.fate = 'tombstone' AND {}"
            ).format(self.chart, self._same_key("w"))
        )
        return self.cur.rowcount

    def _delete_absent(self) -> int:
        """Remove the keys that the source has no more; one whose rows failed is still there."""
        self.cur.execute(
            SQL("DELETE FROM {} c WHERE NOT EXISTS (SELECT FROM {} s WHERE {})").format(
                self.chart,
                self.staging,
                SQL(" AND ").join(
                    SQL("{} = {}").format(one, other)
                    for one, other in zip(
                        self.key.of(column_of("c")), self.key.of(self.value), strict=True
                    )
                ),
            )
        )
        return self.cur.rowcount

    def _update(self) -> None:
        self.cur.execute(
            SQL(
                "UPDATE {chart} c SET {values} FROM pg_temp._atlas_winner w JOIN {staging} s"
                " ON s._atlas_id = w._atlas_id WHERE w.fate = 'changed' AND {same}"
            ).format(
                chart=self.chart,
                values=SQL(", ").join(
                    [
                        *(
                            SQL("{} = {}").format(Identifier(column.name), self.value(column.name))
                            for column in self.columns
                        ),
                        SQL(
                            "_atlas_id = s._atlas_id, _atlas_run_id = {}::uuid,"
                            " _atlas_emitted_at = s._atlas_emitted_at,"
                            " _atlas_row_hash = s._atlas_row_hash"
                        ).format(self.run_id),
                    ]
                ),
                staging=self.staging,
                same=self._same_key("w"),
            )
        )

    def _insert(self) -> None:
        self.append(
            SQL(
                "pg_temp._atlas_winner w JOIN {} s ON s._atlas_id = w._atlas_id"
                " WHERE w.fate = 'new'"
            ).format(self.staging)
        )
