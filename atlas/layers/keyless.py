"""Promotion of a stream without a primary key: a row is its own key, and may come often."""

from __future__ import annotations

from psycopg2.sql import SQL, Identifier

from atlas.layers.promotion import Counts, Load


class ByRow(Load):
    """A promotion of whole rows."""

    def promote(self, *, full_refresh: bool, complete: bool) -> Counts:
        """A full refresh replaces, by number of equal rows; an incremental run appends."""
        fresh = SQL("s._atlas_failed = '{}' AND NOT s._atlas_deleted")
        self.cur.execute(
            SQL(
                "SELECT count(*) FILTER (WHERE NOT _atlas_deleted), count(*) FILTER"
                " (WHERE _atlas_deleted) FROM {} WHERE _atlas_failed = '{{}}'"
            ).format(self.staging)
        )
        row = self.cur.fetchone()
        promoted, tombstones = row if row is not None else (0, 0)
        if not full_refresh:
            written = self.append(SQL("{} s WHERE {}").format(self.staging, fresh))
            return Counts(promoted=promoted, tombstones=tombstones, written=written)
        # the n-th of the equal rows there and the n-th that came are the same row
        came = SQL(
            "SELECT s._atlas_id, s._atlas_row_hash AS hash, row_number() OVER"
            " (PARTITION BY s._atlas_row_hash ORDER BY s._atlas_id) AS n FROM {} s WHERE {}"
        ).format(self.staging, fresh)
        there = SQL(
            "SELECT c._atlas_id, c._atlas_row_hash AS hash, row_number() OVER"
            " (PARTITION BY c._atlas_row_hash ORDER BY c._atlas_id) AS n FROM {} c"
        ).format(self.chart)
        self.cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_match")
        self.cur.execute(
            SQL(
                "CREATE TEMP TABLE _atlas_match ON COMMIT DROP AS SELECT a._atlas_id AS came,"
                " b._atlas_id AS there FROM ({}) a FULL JOIN ({}) b USING (hash, n)"
            ).format(came, there)
        )
        self.cur.execute("ANALYZE pg_temp._atlas_match")
        deleted = 0
        if complete:
            self.cur.execute(
                SQL(
                    "DELETE FROM {} c USING pg_temp._atlas_match m"
                    " WHERE m.came IS NULL AND m.there = c._atlas_id"
                ).format(self.chart)
            )
            deleted = self.cur.rowcount
        written = self._remask() + self.append(
            SQL(
                "pg_temp._atlas_match m JOIN {} s ON s._atlas_id = m.came WHERE m.there IS NULL"
            ).format(self.staging)
        )
        self.cur.execute("DROP TABLE pg_temp._atlas_match")
        return Counts(promoted=promoted, tombstones=tombstones, deleted=deleted, written=written)

    def _remask(self) -> int:
        """Where equal rows are masked otherwise now, take the new mask."""
        if not self.ever_masked:
            return 0
        self.cur.execute(
            SQL(
                "UPDATE {chart} c SET _atlas_run_id = {run}::uuid, {values}"
                " FROM pg_temp._atlas_match m JOIN {staging} s ON s._atlas_id = m.came"
                " WHERE m.there = c._atlas_id AND ({differs})"
            ).format(
                chart=self.chart,
                run=self.run_id,
                values=SQL(", ").join(
                    SQL("{} = {}").format(Identifier(column), self.value(column))
                    for column in self.ever_masked
                ),
                staging=self.staging,
                differs=SQL(" OR ").join(
                    SQL("{} IS DISTINCT FROM {}").format(
                        Identifier("c", column), self.value(column)
                    )
                    for column in self.ever_masked
                ),
            )
        )
        return self.cur.rowcount
