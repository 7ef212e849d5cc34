"""Rows on their way out: PostgreSQL makes the JSON, this process moves bytes.

``COPY (SELECT row_to_json(…)) TO STDOUT`` gives one line a row. Its format is CSV with delimiter
and quote set to control characters, which JSON never holds raw: so nothing is quoted or escaped.
Lines are gathered to pieces of about a megabyte, and each becomes messages by one ``replace``. Only
the last line of a piece is ever decoded, to see what the cursor has reached.
"""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.connectors.sources import speak
from atlas.connectors.sources.postgres_tables import Column, Relation
from atlas.connectors.sources.speak import Selected

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIECE_BYTES = 1 << 20
STATE_ROWS = 10_000
"""Rows after which a state is due, if the stream has a cursor."""
_SILENCE = 60.0
"""Seconds after which a word is said while the database has not sent a row (it may be sorting)."""
_STDOUT = 1


def copy(
    cur: extensions.cursor,
    relation: Relation,
    columns: tuple[Column, ...],
    where: Composable,
    order: Composable,
    into: Lines,
) -> None:
    """Read rows, in this order, into ``into``."""
    # A column of that name would be taken for the row.
    row = "r"
    while any(column.name == row for column in columns):
        row += "_"
    document: Composable = SQL("row_to_json({})").format(Identifier(row))
    if any(column.mapped.breaks for column in columns):
        # Raw line breaks stand only between the tokens of a json value.
        document = SQL("replace(replace({}::text, E'\\n', ' '), E'\\r', ' ')").format(document)
    query = SQL(
        "COPY (SELECT {document} FROM (SELECT {values} FROM {table} t{where}{order}) {row})"
        " TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
    ).format(
        document=document,
        row=Identifier(row),
        values=SQL(", ").join(map(_value, columns)),
        table=Identifier(relation.schema, relation.name),
        where=where,
        order=order,
    )
    with io.BufferedWriter(into, PIECE_BYTES) as buffered:
        cur.copy_expert(query, buffered, size=PIECE_BYTES)


def expected(cur: extensions.cursor, relation: Relation, where: Composable) -> int:
    """The rows that the planner expects, which knows the size of tables and views as they are."""
    query = SQL("EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} t{where}").format(
        table=Identifier(relation.schema, relation.name), where=where
    )
    cur.execute(query)
    row = cur.fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN gives one
    return int(row[0][0]["Plan"]["Plan Rows"])


def _value(column: Column) -> Composable:
    value: Composable = SQL("t.{}").format(Identifier(column.name))
    if column.mapped.cast is None:
        return value
    return SQL("{value}::{type}{array} AS {name}").format(
        value=value,
        type=Identifier("pg_catalog", column.mapped.cast),
        array=SQL("[]" if column.mapped.array else ""),
        name=Identifier(column.name),
    )


class Lines(io.RawIOBase):
    """Takes the lines of a stream's COPY and prints them as RECORDs; with a cursor, also STATEs.

    Attributes:
        reached: the cursor's value in the last state, as text; None: none yet.
        since: records since the last state.
    """

    def __init__(self, stream: Selected, cursor: str | None, reached: str | None) -> None:
        super().__init__()
        self._stream = stream
        self._cursor = cursor
        self._ordered = cursor is not None
        self._head = _head(stream)
        self._unfinished: list[bytes] = []
        self._last = b""
        self._lock = threading.Lock()
        self._said = time.monotonic()
        self.reached = reached
        self.since = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Nothing: the buffer before it is closed after each COPY, and another may follow."""

    def unordered(self) -> None:
        """The rows that follow say nothing about the cursor."""
        self._ordered = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Take a piece, which may end anywhere."""
        piece = bytes(data)
        cut = piece.rfind(b"\n") + 1
        if not cut:
            self._unfinished.append(piece)
            return len(piece)
        self._unfinished.append(piece[:cut])
        self._print(b"".join(self._unfinished))
        self._unfinished = [piece[cut:]] if cut < len(piece) else []
        return len(piece)

    def estimate(self, rows: int) -> None:
        """Print how many rows are expected."""
        speak.trace("ESTIMATE", {**self._stream.descriptor, "type": "STREAM", "row_estimate": rows})

    def look(self) -> None:
        """See what the cursor has reached in the last line."""
        if self._last and self._cursor is not None:
            # Numbers as they are written: 40 digits are more than a float holds.
            row = json.loads(self._last, parse_float=str, parse_int=str)
            self.reached = row[self._cursor]

    def state(self) -> None:
        """Print what has been reached."""
        if self._cursor is None:
            # What the protocol has for a stream whose reading cannot be gone on with.
            reached: dict[str, Any] = {"__ab_no_cursor_state_message": True}
        else:
            reached = {
                "state_type": "cursor_based",
                "version": 2,
                "stream_name": self._stream.name,
                "stream_namespace": self._stream.namespace,
                "cursor_field": [self._cursor],
                "cursor": self.reached,
            }
        with self._lock:
            speak.state(self._stream, reached, self.since)
            self._said = time.monotonic()
        self.since = 0

    @contextmanager
    def talking(self) -> Iterator[None]:
        """While this lasts, a log line is printed when nothing else was for long."""
        done = threading.Event()

        def talk() -> None:
            while not done.wait(_SILENCE / 4):
                with self._lock:
                    if time.monotonic() - self._said > _SILENCE:
                        text = f"stream {self._stream.name}: waiting for the database"
                        speak.say({"type": "LOG", "log": {"level": "INFO", "message": text}})
                        self._said = time.monotonic()

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _print(self, lines: bytes) -> None:
        head = b"%b%d%b" % (self._head, speak.now(), b',"data":')
        body = lines[:-1].replace(b"\n", b"}}\n" + head)
        with self._lock:
            for part in (head, body, b"}}\n"):
                _write(part)
            self._said = time.monotonic()
        self.since += lines.count(b"\n")
        if self._ordered:
            self._last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
            if self.since >= STATE_ROWS:
                self.look()
                self.state()


def _head(stream: Selected) -> bytes:
    where = {"stream": stream.name, "namespace": stream.namespace}
    said = json.dumps({k: v for k, v in where.items() if v is not None}, ensure_ascii=False)
    return b'{"type":"RECORD","record":' + said[:-1].encode() + b',"emitted_at":'


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STDOUT, view) :]


def literal(value: str, type_name: str) -> Composable:
    """``value`` as a type of pg_catalog."""
    return SQL("CAST({} AS {})").format(Literal(value), Identifier("pg_catalog", type_name))
