"""What every promotion from staging to chart shares, with or without a primary key."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.layers import database, keys, staging
from atlas.layers.keys import Part
from atlas.layers.names import Tables
from atlas.model.stream import Column, FieldPath


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a run's rows.

    ``promoted + quarantined + superseded + tombstones`` is the number of rows in ``explore``.

    Attributes:
        promoted: rows that are the present of their key now, those that equal what was there
            included.
        quarantined: rows that failed a check.
        superseded: valid rows that a later or higher one of this run or an earlier one outdid.
        tombstones: rows that said their key is deleted, and were the last word on it.
        deleted: rows removed from chart, for a tombstone or because a complete full refresh has
            their key no more.
        written: rows of chart that were inserted or changed.
    """

    promoted: int = 0
    quarantined: int = 0
    superseded: int = 0
    tombstones: int = 0
    deleted: int = 0
    written: int = 0


class Load:
    """One promotion: the names and expressions that its statements share.

    In them ``s`` is staging and ``c`` chart.
    """

    def __init__(
        self,
        cur: extensions.cursor,
        tables: Tables,
        run_stream_id: int,
        run_id: str,
        columns: tuple[Column, ...],
        primary_key: tuple[FieldPath, ...],
        cursor_field: FieldPath,
    ) -> None:
        self.cur = cur
        self.tables = tables
        self.run_id = Literal(run_id)
        self.columns = columns
        self.staged = staging.staged(cur, run_stream_id)
        self.staging = staging.table(run_stream_id)
        self.chart = Identifier("chart", tables.table)
        present = database.existing(cur, "chart", tables.table)
        self.types = {column.name: present[column.name].type for column in columns}
        self.value = self.staged.value(self.types)
        self.key = keys.key(primary_key, columns, self.types)
        # what was masked once may be masked otherwise now: the hash does not tell
        self.ever_masked = [
            column.name for column in columns if present[column.name].masked is not None
        ]
        kinds = {column.name: self.staged.types.get(column.name, column.type) for column in columns}
        self.original_key = keys.key(primary_key, columns, kinds)
        self.cursor: Part | None = (
            keys.part(cursor_field, columns, kinds, "cursor") if cursor_field else None
        )

    def _names(self) -> list[Composable]:
        return [Identifier(column.name) for column in self.columns]

    def quarantine(self) -> int:
        """Set the failed rows aside, masked like all of chart."""
        self.cur.execute(
            SQL(
                "INSERT INTO {quarantine} ({names}) SELECT {values} FROM {staging} s"
                " WHERE s._atlas_failed <> '{{}}'"
            ).format(
                quarantine=Identifier("chart", self.tables.quarantine),
                names=SQL(", ").join(
                    [
                        *self._names(),
                        SQL(
                            "_atlas_id, _atlas_run_id, _atlas_emitted_at, _atlas_checks,"
                            " _atlas_reasons"
                        ),
                    ]
                ),
                values=SQL(", ").join(
                    [
                        *self._quarantine_values(),
                        SQL(
                            "s._atlas_id, {}::uuid, s._atlas_emitted_at, s._atlas_failed,"
                            " s._atlas_errors"
                        ).format(self.run_id),
                    ]
                ),
                staging=self.staging,
            )
        )
        return self.cur.rowcount

    def promote(self, *, full_refresh: bool, complete: bool) -> Counts:
        """Bring the valid rows into chart; the counts are without the quarantined."""
        raise NotImplementedError

    def analyze(self) -> None:
        """Tell the planner what staging holds, as far as joins go."""
        names = {"_atlas_id", "_atlas_row_hash", "_atlas_failed"}
        for column in self.key.columns():
            twin = self.staged.twins.get(column)
            names.add(twin.name if twin else column)
        self.cur.execute(
            SQL("ANALYZE {} ({})").format(
                self.staging, SQL(", ").join(Identifier(name) for name in sorted(names))
            )
        )

    def _quarantine_values(self) -> list[Composable]:
        present = database.existing(self.cur, "chart", self.tables.quarantine)
        kinds = {column.name: present[column.name].type for column in self.columns}
        refer = self.staged.value(kinds)
        return [refer(column.name) for column in self.columns]

    def append(self, source: Composable) -> int:
        """Insert the rows ``s`` of ``source``, which is what follows FROM."""
        self.cur.execute(
            SQL("INSERT INTO {chart} ({names}) SELECT {values} FROM {source}").format(
                chart=self.chart,
                names=SQL(", ").join(
                    [
                        *self._names(),
                        SQL("_atlas_id, _atlas_run_id, _atlas_emitted_at, _atlas_row_hash"),
                    ]
                ),
                values=SQL(", ").join(
                    [
                        *(self.value(column.name) for column in self.columns),
                        SQL("s._atlas_id, {}::uuid, s._atlas_emitted_at, s._atlas_row_hash").format(
                            self.run_id
                        ),
                    ]
                ),
                source=source,
            )
        )
        return self.cur.rowcount
