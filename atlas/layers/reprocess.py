"""Rows of a quarantine that are taken through the stages again, as they were or put right.

Each is a new raw row of the run that takes it up, so that every stage works on it as on any other.
But it is no newer for that: ``pipeline.reprocessed_row`` keeps its *place*, the raw row that the
source sent, and by that it is held against other records of its key. What has come after it wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.errors import TerminalError, UsageError
from atlas.layers import database, staging
from atlas.layers.erased import identity
from atlas.layers.names import Tables
from atlas.layers.sought import copy as put
from atlas.layers.typing_step import TOMBSTONE
from atlas.layers.values import Extraction, typed
from atlas.ledger.validity import VALID
from atlas.model.stream import Column, FieldPath, Segment, StreamKey


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows of a quarantine: by their ids, or all that failed a check, that a run set aside,
    or that were set aside more than so many days ago; all of them if nothing is said."""

    ids: tuple[int, ...] = ()
    check: str | None = None
    run_id: str | None = None
    days: int | None = None

    def condition(self) -> Composable:
        """Condition that row ``q`` of the quarantine is one of them."""
        wanted: list[Composable] = [SQL("true")]
        if self.ids:
            wanted.append(SQL("q._atlas_id = ANY ({}::bigint[])").format(Literal(list(self.ids))))
        if self.check is not None:
            wanted.append(SQL("{} = ANY (q._atlas_checks)").format(Literal(self.check)))
        if self.run_id is not None:
            wanted.append(SQL("q._atlas_run_id = {}::uuid").format(Literal(self.run_id)))
        if self.days is not None:
            wanted.append(
                SQL(
                    "q._atlas_run_id IN (SELECT id FROM pipeline.run"
                    " WHERE finished_at < clock_timestamp() - make_interval(days => {}))"
                ).format(Literal(self.days))
            )
        return SQL(" AND ").join(wanted)


def _dataset(tables: Tables) -> Composable:
    return SQL("(SELECT id FROM pipeline.stream_table WHERE raw_name = {})").format(
        Literal(tables.raw)
    )


# -- asking ---------------------------------------------------------------------------------------


def choose(cur: extensions.cursor, tables: Tables, run_id: str, chosen: Chosen) -> int:
    """Write down which rows a run is to take up, each with the id of the raw row that it becomes;
    returns how many. A row whose raw row is gone is left out."""
    cur.execute(
        SQL(
            "INSERT INTO pipeline.reprocessed_row (stream_table_id, run_id, of_id, row_id, place)"
            " SELECT {dataset}, {run}::uuid, q._atlas_id, nextval({sequence}),"
            "  coalesce(m.place, q._atlas_id)"
            " FROM {quarantine} q LEFT JOIN pipeline.reprocessed_row m"
            " ON m.stream_table_id = {dataset} AND m.row_id = q._atlas_id"
            " WHERE {wanted} AND EXISTS (SELECT FROM {raw} r WHERE r._atlas_id = q._atlas_id)"
        ).format(
            dataset=_dataset(tables),
            run=Literal(run_id),
            sequence=SQL("(SELECT pg_get_serial_sequence({}, '_atlas_id'))").format(
                Literal(Identifier("explore", tables.raw).as_string(cur))
            ),
            quarantine=Identifier("chart", tables.quarantine),
            wanted=chosen.condition(),
            raw=Identifier("explore", tables.raw),
        )
    )
    return cur.rowcount


def missing(cur: extensions.cursor, tables: Tables, run_id: str, ids: Sequence[int]) -> str | None:
    """Why a row of ``ids`` was not chosen, in a few words; None: all were."""
    cur.execute(
        SQL(
            "SELECT i.id, q._atlas_id IS NOT NULL, (SELECT max(m.run_id::text) FROM"
            "  pipeline.reprocessed_row m JOIN pipeline.stage_run g ON g.run_id = m.run_id"
            "  AND g.stage = 'chart' AND g.status = 'succeeded'"
            "  WHERE m.stream_table_id = {dataset} AND m.of_id = i.id)"
            " FROM unnest({ids}::bigint[]) i(id)"
            " LEFT JOIN {quarantine} q ON q._atlas_id = i.id WHERE NOT EXISTS"
            " (SELECT FROM pipeline.reprocessed_row m WHERE m.run_id = {run}::uuid"
            "  AND m.of_id = i.id) ORDER BY 1 LIMIT 1"
        ).format(
            dataset=_dataset(tables),
            ids=Literal(list(ids)),
            quarantine=Identifier("chart", tables.quarantine),
            run=Literal(run_id),
        )
    )
    row = cur.fetchone()
    if row is None:
        return None
    number, there, before = row
    if there:
        return f"row {number}: its raw row is gone from explore: it can only be discarded"
    if before is not None:
        return f"row {number} is not in quarantine any more: run {before} took it up"
    return f"row {number} is not in the quarantine of {tables.table}"


def mend(
    cur: extensions.cursor,
    tables: Tables,
    run_id: str,
    values: Mapping[int, Mapping[str, str]],
) -> None:
    """Write the raw rows of chosen rows that a person puts right: what the source sent, with other
    values of some properties. Nothing else of the values is kept.

    Args:
        values: by the id of the row in quarantine, JSON texts by property.

    Raises:
        UsageError: a value is no JSON that PostgreSQL can hold, or a record is no object. No
            message holds a value.
    """
    # By COPY into a table of this transaction: so they stand in no statement, and in no log.
    cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_mended")
    cur.execute(
        "CREATE TEMP TABLE _atlas_mended (id bigint, property text, value text) ON COMMIT DROP"
    )
    lines = [(n, name, text) for n, each in values.items() for name, text in each.items()]
    put(cur, SQL("pg_temp._atlas_mended"), lines)
    cur.execute(
        SQL(
            "SELECT id, property FROM pg_temp._atlas_mended"
            " WHERE NOT {}(value, 'jsonb') ORDER BY 1, 2 LIMIT 1"
        ).format(VALID)
    )
    wrong = cur.fetchone()
    if wrong is not None:
        raise UsageError(f"row {wrong[0]}: {wrong[1]}: it is no JSON that PostgreSQL can hold")
    raw = Identifier("explore", tables.raw)
    ours = SQL("m.run_id = {}::uuid AND m.of_id = v.id").format(Literal(run_id))
    cur.execute(
        SQL(
            "SELECT v.id FROM pg_temp._atlas_mended v JOIN {} r ON r._atlas_id = v.id"
            " WHERE jsonb_typeof(r.data) <> 'object' LIMIT 1"
        ).format(raw)
    )
    wrong = cur.fetchone()
    if wrong is not None:
        raise UsageError(f"row {wrong[0]}: its record is no JSON object: it can only be discarded")
    cur.execute(
        SQL(
            "UPDATE pipeline.reprocessed_row m SET mended = v.names FROM"
            " (SELECT id, array_agg(property ORDER BY property) AS names"
            "  FROM pg_temp._atlas_mended GROUP BY id) v WHERE {}"
        ).format(ours)
    )
    cur.execute(
        SQL(
            "INSERT INTO {raw} (_atlas_id, _atlas_run_id, _atlas_emitted_at, data)"
            " OVERRIDING SYSTEM VALUE"
            " SELECT m.row_id, m.run_id, r._atlas_emitted_at, r.data || v.values"
            " FROM (SELECT id, jsonb_object_agg(property, value::jsonb) AS values"
            "  FROM pg_temp._atlas_mended GROUP BY id) v"
            " JOIN pipeline.reprocessed_row m ON {ours} JOIN {raw} r ON r._atlas_id = v.id"
        ).format(raw=raw, ours=ours)
    )
    cur.execute("DROP TABLE pg_temp._atlas_mended")


def waive(cur: extensions.cursor, tables: Tables, run_id: str, checks: Sequence[str]) -> int | None:
    """Have these checks overridden for the chosen rows of a run; returns the id of a row that
    failed none of them and is not put right either, if there is one."""
    cur.execute(
        SQL(
            "UPDATE pipeline.reprocessed_row m SET waived = ARRAY (SELECT c FROM unnest({}::text[])"
            " c WHERE c = ANY (q._atlas_checks)) FROM {} q"
            " WHERE m.run_id = {}::uuid AND q._atlas_id = m.of_id"
        ).format(Literal(list(checks)), Identifier("chart", tables.quarantine), Literal(run_id))
    )
    cur.execute(
        "SELECT min(of_id) FROM pipeline.reprocessed_row"
        " WHERE run_id = %s AND waived = '{}' AND mended IS NULL",
        (run_id,),
    )
    row = cur.fetchone()
    return None if row is None else row[0]


# -- the run's stages -----------------------------------------------------------------------------


def stream(cur: extensions.cursor, run_id: str) -> tuple[StreamKey, str] | None:
    """The stream whose rows a run takes up, and the name of its dataset; None: it has none."""
    cur.execute(
        "SELECT s.namespace, s.stream, s.table_name FROM pipeline.stream_table s WHERE s.id ="
        " (SELECT stream_table_id FROM pipeline.reprocessed_row WHERE run_id = %s LIMIT 1)",
        (run_id,),
    )
    row = cur.fetchone()
    return None if row is None else (StreamKey(row[1], row[0] or None), row[2])


def bring(cur: extensions.cursor, tables: Tables, run_id: str) -> Segment | None:
    """Write the raw rows of the chosen rows that nobody put right, as the source sent them, with
    their time of emission; returns the range of all of them. One whose raw row has gone meanwhile
    is chosen no more; None: none is left."""
    raw = Identifier("explore", tables.raw)
    run = Literal(run_id)
    cur.execute(
        SQL(
            "INSERT INTO {raw} (_atlas_id, _atlas_run_id, _atlas_emitted_at, data)"
            " OVERRIDING SYSTEM VALUE"
            " SELECT m.row_id, m.run_id, r._atlas_emitted_at, r.data"
            " FROM pipeline.reprocessed_row m JOIN {raw} r ON r._atlas_id = m.of_id"
            " WHERE m.run_id = {run}::uuid AND m.mended IS NULL ORDER BY m.row_id"
        ).format(raw=raw, run=run)
    )
    cur.execute(
        SQL(
            "DELETE FROM pipeline.reprocessed_row m WHERE m.run_id = {run}::uuid"
            " AND NOT EXISTS (SELECT FROM {raw} r WHERE r._atlas_id = m.row_id)"
        ).format(raw=raw, run=run)
    )
    cur.execute(
        "SELECT min(row_id), max(row_id), count(*) FROM pipeline.reprocessed_row"
        " WHERE run_id = %s HAVING count(*) > 0",
        (run_id,),
    )
    row = cur.fetchone()
    return None if row is None else Segment(*row)


def waived(tables: Tables, check: str) -> Composable:
    """Condition that a check was overridden for row ``s`` of a staging table."""
    return SQL(
        "EXISTS (SELECT FROM pipeline.reprocessed_row w WHERE w.stream_table_id = {}"
        " AND w.row_id = s._atlas_id AND {} = ANY (w.waived))"
    ).format(_dataset(tables), Literal(check))


def drop_outdated(
    cur: extensions.cursor,
    tables: Tables,
    run_stream_id: int,
    columns: tuple[Column, ...],
    primary_key: tuple[FieldPath, ...],
    replaced: int,
) -> int:
    """Take out of the staging table what the source has spoken against since it sent it, though no
    later record in chart shows that: a complete refresh has been, or its key was deleted.

    Args:
        replaced: id of the last raw row that a complete refresh has replaced.

    Returns: how many rows that were.
    """
    outdated = _drop(cur, tables, run_stream_id, SQL("m.place <= {}").format(Literal(replaced)))
    if primary_key and any(column.property == TOMBSTONE for column in columns):
        outdated += _drop_deleted(cur, tables, run_stream_id, columns, primary_key)
    return outdated


def _drop(
    cur: extensions.cursor,
    tables: Tables,
    run_stream_id: int,
    outdated: Composable,
    source: Composable = SQL(""),  # noqa: B008
) -> int:
    """Take out of the staging table the rows ``s``, whose places ``m`` has, that are outdated."""
    cur.execute(
        SQL(
            "DELETE FROM {} s USING pipeline.reprocessed_row m{} WHERE m.stream_table_id = {}"
            " AND m.row_id = s._atlas_id AND {}"
        ).format(staging.table(run_stream_id), source, _dataset(tables), outdated)
    )
    return cur.rowcount


def _drop_deleted(
    cur: extensions.cursor,
    tables: Tables,
    run_stream_id: int,
    columns: tuple[Column, ...],
    primary_key: tuple[FieldPath, ...],
) -> int:
    """The same for rows whose key the source deleted after it sent them.

    Tombstones stand in explore alone, which has no index on keys: all of it is read once.
    """
    what = staging.staged(cur, run_stream_id)
    kinds = {column.name: what.types.get(column.name, column.type) for column in columns}
    ours = identity(columns, kinds, primary_key, ())
    theirs = identity(columns, {column.name: column.type for column in columns}, primary_key, ())
    if not (ours.key and theirs.key):
        return 0
    wanted = {c.name: (n, c) for n, c in enumerate(columns) if c.name in theirs.key.columns()}
    extraction = Extraction(tuple(column for _, column in wanted.values()))

    def refer(name: str) -> Composable:
        n, column = wanted[name]
        return typed(column, Identifier("e", f"v{n}"), SQL("e.data"))

    cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_gone")
    cur.execute(
        SQL(
            "CREATE TEMP TABLE _atlas_gone ON COMMIT DROP AS"
            " SELECT ARRAY[{key}] AS key, max(coalesce(m.place, e._atlas_id)) AS place"
            " FROM (SELECT r._atlas_id, r.data, {raws} FROM {raw} r{source}"
            "  WHERE coalesce(jsonb_typeof(r.data -> {mark}) <> 'null', false) OFFSET 0) e"
            " LEFT JOIN pipeline.reprocessed_row m"
            " ON m.stream_table_id = {dataset} AND m.row_id = e._atlas_id GROUP BY 1"
        ).format(
            key=SQL(", ").join(theirs.key_texts(refer)),
            raws=SQL(", ").join(
                SQL("{} AS {}").format(extraction.raw(column), Identifier(f"v{n}"))
                for n, column in wanted.values()
            ),
            raw=Identifier("explore", tables.raw),
            source=extraction.source,
            mark=Literal(TOMBSTONE),
            dataset=_dataset(tables),
        )
    )
    cur.execute("ANALYZE pg_temp._atlas_gone")
    key = SQL(", ").join(ours.key_texts(what.original))
    return _drop(
        cur,
        tables,
        run_stream_id,
        SQL("g.place > m.place AND g.key = ARRAY[{}]").format(key),
        SQL(", pg_temp._atlas_gone g"),
    )


def release(cur: extensions.cursor, tables: Tables, run_id: str) -> None:
    """Take the rows that a run has taken up out of the quarantine; what failed again stands there
    as the run's own.

    Raises:
        TerminalError: one of them is not there any more.
    """
    cur.execute(
        SQL(
            "DELETE FROM {} q USING pipeline.reprocessed_row m"
            " WHERE m.run_id = {}::uuid AND q._atlas_id = m.of_id"
        ).format(Identifier("chart", tables.quarantine), Literal(run_id))
    )
    released = cur.rowcount
    cur.execute("SELECT count(*) FROM pipeline.reprocessed_row WHERE run_id = %s", (run_id,))
    row = cur.fetchone()
    if row is None or row[0] != released:
        raise TerminalError(
            f"chart.{tables.quarantine}: rows of this run were discarded or erased since it was "
            "asked for; nothing was promoted: reprocess those that are left"
        )


# -- what else asks for places --------------------------------------------------------------------


class Places:
    """Where rows of a stream stand among other records of their keys: by their ids, but for those
    that were taken up again."""

    def __init__(self, cur: extensions.cursor, tables: Tables) -> None:
        self._dataset = _dataset(tables)
        # Most streams have none, and then nothing is joined.
        self._any = bool(
            database.scalar(
                cur,
                SQL(
                    "SELECT EXISTS (SELECT FROM pipeline.reprocessed_row"
                    " WHERE stream_table_id = {})"
                ).format(self._dataset),
            )
        )

    def of(self, alias: str) -> Composable:
        """The place of the row called ``alias``, for which :meth:`join` is there."""
        number = SQL("{}._atlas_id").format(Identifier(alias))
        if not self._any:
            return number
        return SQL("coalesce({}.place, {})").format(Identifier(f"{alias}_place"), number)

    def join(self, alias: str) -> Composable:
        """What follows the row called ``alias`` in FROM."""
        if not self._any:
            return SQL("")
        return SQL(
            " LEFT JOIN pipeline.reprocessed_row {m} ON {m}.stream_table_id = {d}"
            " AND {m}.row_id = {a}._atlas_id"
        ).format(m=Identifier(f"{alias}_place"), d=self._dataset, a=Identifier(alias))


def of_same_records(tables: Tables, found: Composable) -> Composable:
    """Condition that raw row ``x`` is of a record that one of the raw rows in the table ``found``
    (their ``id``) is of: the one that the source sent, or one that was made of it."""
    return SQL(
        "x._atlas_id IN (SELECT u.id FROM pipeline.reprocessed_row m"
        " CROSS JOIN LATERAL (VALUES (m.row_id), (m.place)) u(id)"
        " WHERE m.stream_table_id = {dataset} AND m.place IN"
        " (SELECT coalesce(p.place, f.id) FROM {found} f LEFT JOIN pipeline.reprocessed_row p"
        "  ON p.stream_table_id = {dataset} AND p.row_id = f.id))"
    ).format(dataset=_dataset(tables), found=found)
