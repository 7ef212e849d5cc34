"""The raw layer: records as they were sent, in by COPY, out as columnar batches.

Records go in through COPY's CSV with delimiter and quote set to control characters, which JSON
never holds raw: so the bytes need no escaping, and PostgreSQL alone parses them.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg2
import pyarrow as pa
from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal
from pyarrow import csv

from atlas.errors import TerminalError
from atlas.layers import database
from atlas.layers.names import Tables
from atlas.layers.values import Extraction, typed, written
from atlas.model.stream import Column, Segment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROLS = bytes.maketrans(b"\r\n\t", b"   ")

BATCH_BYTES = 16 * 1024 * 1024
"""Most bytes of documents, as stored (compressed), in one batch, unless one alone is larger."""


def ensure(cur: extensions.cursor, tables: Tables) -> None:
    """Create the raw table if it is not there."""
    if database.exists(cur, "explore", tables.raw):
        return
    cur.execute(
        SQL(
            "CREATE TABLE IF NOT EXISTS {table} ("
            " _atlas_id bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME {sequence}),"
            " _atlas_run_id uuid NOT NULL,"
            " _atlas_emitted_at timestamptz NOT NULL,"
            " _atlas_loaded_at timestamptz NOT NULL DEFAULT now(),"
            " data jsonb NOT NULL,"
            " CONSTRAINT {primary} PRIMARY KEY (_atlas_id))"
        ).format(
            table=Identifier("explore", tables.raw),
            sequence=_sequence(tables),
            primary=Identifier(database.index_name(tables.raw, "id")),
        )
    )


def _sequence(tables: Tables) -> Identifier:
    return Identifier("explore", database.index_name(tables.raw, "seq"))


def remove(
    cur: extensions.cursor, tables: Tables, run_id: str, segments: Iterable[Segment]
) -> None:
    """Take back rows of a run that its source will send again."""
    for segment in segments:
        cur.execute(
            SQL(
                "DELETE FROM {} WHERE _atlas_id BETWEEN %s AND %s AND _atlas_run_id = %s::uuid"
            ).format(Identifier("explore", tables.raw)),
            (segment.first_id, segment.last_id, run_id),
        )


class UnstorableNumber(TerminalError):
    """A record has a number outside of what PostgreSQL can hold."""


class RawWriter:
    """Writes a run's records into raw tables, within the transaction that is open on ``cur``.

    Between two calls of :meth:`take` the rows of a table are one segment.
    """

    def __init__(self, cur: extensions.cursor, run_id: str) -> None:
        self._cur = cur
        self._run = run_id.encode()
        self._first: dict[Tables, int] = {}
        self._rows: dict[Tables, int] = {}

    def write(self, tables: Tables, records: Sequence[tuple[bytes, int]]) -> None:
        """Append ``records``: pairs of a record's JSON and its emitted_at in milliseconds.

        Raises:
            UnstorableNumber: PostgreSQL cannot hold one of their numbers. TerminalError: or their
                JSON for another reason. The transaction is then void.
        """
        if not records:
            return
        if tables not in self._first:
            # one id is spent to know where the segment starts
            self._first[tables] = database.scalar(
                self._cur, SQL("SELECT nextval({}) + 1").format(self._regclass(tables))
            )
            self._rows[tables] = 0
        payload = self._payload(tables, records)
        copy = SQL(
            "COPY {} (_atlas_run_id, _atlas_emitted_at, data) FROM STDIN"
            " (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
        ).format(Identifier("explore", tables.raw))
        try:
            self._cur.copy_expert(copy, io.BytesIO(payload), size=1 << 20)
        except (
            psycopg2.DataError,
            psycopg2.errors.ProgramLimitExceeded,
            psycopg2.errors.StatementTooComplex,
            psycopg2.errors.NotNullViolation,
        ) as error:
            # not "from error": its text quotes the record
            kind = UnstorableNumber if error.pgcode == "22003" else TerminalError
            raise kind(
                f"stream {tables.key}: the source sent a record that is no JSON PostgreSQL can "
                f"hold (SQLSTATE {error.pgcode}); nothing since the last checkpoint was kept"
            ) from None
        self._rows[tables] += len(records)

    def take(self) -> dict[Tables, Segment]:
        """The segments written since the last call, by table."""
        taken = {
            tables: Segment(
                first,
                database.scalar(
                    self._cur, SQL("SELECT currval({})").format(self._regclass(tables))
                ),
                self._rows[tables],
            )
            for tables, first in self._first.items()
        }
        self._first.clear()
        self._rows.clear()
        return taken

    def _regclass(self, tables: Tables) -> Composable:
        return SQL("{}::regclass").format(Literal(_sequence(tables).as_string(self._cur)))

    def _payload(self, tables: Tables, records: Sequence[tuple[bytes, int]]) -> bytes:
        payload = b"".join(self._lines(tables, records))
        if (
            payload.count(b"\n") != len(records)
            or payload.count(b"\x02") != 2 * len(records)
            or b"\r" in payload
            or b"\x01" in payload
        ):
            # Raw control characters: white space between tokens, or no JSON at all.
            cleaned = [(data.translate(_CONTROLS), at) for data, at in records]
            payload = b"".join(self._lines(tables, cleaned))
            if b"\x01" in payload or payload.count(b"\x02") != 2 * len(records):
                raise TerminalError(
                    f"stream {tables.key}: the source sent a record with raw control characters, "
                    "which JSON does not allow"
                )
        return payload

    def _lines(self, tables: Tables, records: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
        last: int | None = None
        prefix = b""
        for data, emitted_at in records:
            if emitted_at != last:
                try:
                    at = _EPOCH + timedelta(milliseconds=emitted_at)
                except OverflowError as error:
                    raise TerminalError(
                        f"stream {tables.key}: the source sent a record whose emitted_at is no "
                        "time in milliseconds since 1970"
                    ) from error
                prefix = b"%b\x02%b\x02" % (self._run, at.isoformat().encode())
                last = emitted_at
            yield prefix
            yield data
            yield b"\n"


def piece(
    cur: extensions.cursor, tables: Tables, run_id: str | None, segment: Segment, rows: int
) -> tuple[Segment | None, bool]:
    """The first ``rows`` rows of a range of a run's rows, or fewer where they come to about
    :data:`BATCH_BYTES` before. A run that is None is any.

    Returns:
        The piece, None where there are no rows; and whether it is full: what may still come to the
        end of the range is no part of it.
    """
    cur.execute(
        SQL(
            "WITH r AS (SELECT _atlas_id, row_number() OVER w AS n,"
            " sum(pg_column_size(data)) OVER w AS size FROM {table} r WHERE {within}"
            " WINDOW w AS (ORDER BY _atlas_id ROWS UNBOUNDED PRECEDING)"
            " ORDER BY _atlas_id LIMIT {rows})"
            " SELECT min(_atlas_id) FILTER (WHERE fits), max(_atlas_id) FILTER (WHERE fits),"
            " count(*) FILTER (WHERE fits), count(*)"
            " FROM (SELECT _atlas_id, size <= {size} OR n = 1 AS fits FROM r) s"
        ).format(
            rows=Literal(rows),
            size=Literal(BATCH_BYTES),
            table=Identifier("explore", tables.raw),
            within=within(segment, run_id),
        )
    )
    ((first, last, count, looked_at),) = cur.fetchall()
    if not count:
        return None, False
    return Segment(first, last, count), count == rows or count < looked_at


def cut(
    cur: extensions.cursor, tables: Tables, run_id: str | None, segment: Segment, rows: int
) -> list[Segment]:
    """Cut a range of a run's rows into pieces (:func:`piece`) of at most ``rows`` rows, in order.

    Raises:
        TerminalError: the rows are not all there (any more).
    """
    pieces: list[Segment] = []
    rest = segment
    while rest.first_id <= rest.last_id:
        found, _ = piece(cur, tables, run_id, rest, rows)
        if found is None:
            break
        pieces.append(found)
        rest = Segment(found.last_id + 1, segment.last_id, rest.rows - found.rows)
    all_there(tables, segment.rows, sum(found.rows for found in pieces))
    return pieces


def all_there(tables: Tables, rows: int, found: int) -> None:
    """See that the rows of a run that were read are found.

    Raises:
        TerminalError: they are not all there (any more).
    """
    if found != rows:
        raise TerminalError(
            f"stream {tables.key}: {rows} rows were read and {found} are there; "
            f"explore.{tables.raw} was changed while the run went on: sync again"
        )


def read(
    cur: extensions.cursor,
    tables: Tables,
    run_id: str | None,
    piece: Segment,
    columns: tuple[Column, ...],
    as_typed: Collection[str] = (),
) -> pa.Table:
    """The rows of a piece, in order, as one batch.

    It has ``_atlas_id`` (int64) and each of ``columns`` under its name as texts: a string as it
    is, a column of type jsonb as JSON text, everything else as its JSON text; a JSON null and an
    absent property are null.

    Args:
        as_typed: names of columns whose values are given as their type writes them, so that equal
            ones are equal texts (:func:`atlas.layers.values.written`); what does not fit its type
            is given as it is.

    Raises:
        TerminalError: the rows are not all there (any more).
    """
    database.settle(cur)
    extraction = Extraction(columns)
    raws = [Identifier(f"v{n}") for n in range(len(columns))]
    values: list[Composable] = [SQL("e._atlas_id")]
    for column, value in zip(columns, raws, strict=True):
        if column.name in as_typed:
            fitting = written(column.type, typed(column, value, Identifier("data")))
            values.append(SQL("coalesce({}, {}::text)").format(fitting, value))
        else:
            values.append(value)
    names = ["_atlas_id", *(column.name for column in columns)]
    kinds = {name: pa.int64() if name == "_atlas_id" else pa.string() for name in names}
    query = SQL(
        # Extracted in a step of its own, for a value is looked at several times to type it.
        "COPY (SELECT {values} FROM (SELECT {raws} FROM {table} r{source} WHERE {within}"
        " ORDER BY r._atlas_id OFFSET 0) e) TO STDOUT (FORMAT csv)"
    ).format(
        values=SQL(", ").join(values),
        raws=SQL(", ").join(
            [
                SQL("r._atlas_id, r.data" if as_typed else "r._atlas_id"),
                *(
                    SQL("{} AS {}").format(extraction.raw(column), value)
                    for column, value in zip(columns, raws, strict=True)
                ),
            ]
        ),
        table=Identifier("explore", tables.raw),
        source=extraction.source,
        within=within(piece, run_id),
    )
    found = batch(cur, query, kinds)
    all_there(tables, piece.rows, found.num_rows)
    return found


def whole(cur: extensions.cursor, tables: Tables) -> list[Segment]:
    """All rows that stand in the raw table, whichever run read them, as one range; or none."""
    cur.execute(
        SQL("SELECT min(_atlas_id), max(_atlas_id), count(*) FROM {} HAVING count(*) > 0").format(
            Identifier("explore", tables.raw)
        )
    )
    return [Segment(*found) for found in cur.fetchall()]


def within(piece: Segment, run_id: str | None) -> Composable:
    """Condition that raw row ``r`` is in a piece of the rows that a run has read, or (None) any."""
    condition = SQL("r._atlas_id BETWEEN {} AND {}").format(
        Literal(piece.first_id), Literal(piece.last_id)
    )
    if run_id is None:
        return condition
    return SQL("{} AND r._atlas_run_id = {}::uuid").format(condition, Literal(run_id))


def batch(cur: extensions.cursor, copy: Composable, kinds: dict[str, pa.DataType]) -> pa.Table:
    """What ``copy``, a COPY to CSV, gives, with columns of these names and types."""
    buffer = io.BytesIO()
    cur.copy_expert(copy, buffer, size=1 << 16)
    size, names = buffer.tell(), list(kinds)
    if not size:  # no rows, which the reader takes for no CSV
        return pa.schema(list(kinds.items())).empty_table()
    return csv.read_csv(
        pa.py_buffer(buffer.getbuffer()),
        # one block, for a row must not be longer than a block
        read_options=csv.ReadOptions(column_names=names, block_size=size + 1, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=kinds,
            null_values=[""],
            strings_can_be_null=True,
            # COPY quotes the empty string and leaves NULL bare
            quoted_strings_can_be_null=False,
        ),
    )
