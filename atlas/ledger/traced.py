"""What PostgreSQL is asked, and what the ledger tells of runs and attempts, as spans.

A statement is told as it is written: placeholders stand for the values that are bound to it, and
for literals that were composed into it. Runs and attempts are told from their rows by whoever ends
them, once that is committed: so one whose worker was killed is told by who took it up, under the id
on which what the dead worker sent hangs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from psycopg2 import extensions
from psycopg2.sql import Composable, Composed, Literal

from atlas import traces
from atlas.traces import Attributes, Kind, Span

_LONGEST = 4000
_WORD = re.compile(r"(?:\s|--[^\n]*\n)*([A-Za-z]+)")


class Cursor(extensions.cursor):
    """A cursor of psycopg2 whose statements are spans of what this thread does."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
        """Execute ``query``."""
        if traces.recording():
            _told(self, query, lambda: super(Cursor, self).execute(query, vars))
        else:
            super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """Execute ``query`` for each."""
        if traces.recording():
            _told(self, query, lambda: super(Cursor, self).executemany(query, vars_list))
        else:
            super().executemany(query, vars_list)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Copy to or from ``file``."""
        if traces.recording():
            _told(self, sql, lambda: super(Cursor, self).copy_expert(sql, file, size))
        else:
            super().copy_expert(sql, file, size)


def _told(cursor: Cursor, query: Any, do: Callable[[], None]) -> None:
    text = _written(cursor, query)
    found = _WORD.match(text)
    word = found[1].upper() if found else "SQL"
    about = {"db.system.name": "postgresql", "db.operation.name": word}
    if text:
        about["db.query.text"] = text[:_LONGEST]
    made = traces.Open(word, about, Kind.CLIENT)
    try:
        do()
    except BaseException as error:
        code = getattr(error, "pgcode", None)
        made.close({"error.type": code or type(error).__name__}, failed=True)
        raise
    made.close({"db.response.returned_rows": max(cursor.rowcount, 0)})


def _written(cursor: Cursor, query: Any) -> str:
    """``query`` without any value; nothing, where values may have been put into it already."""
    if isinstance(query, str):
        return query
    if isinstance(query, Literal):
        return "%s"
    if isinstance(query, Composed):
        return "".join(_written(cursor, part) for part in query.seq)
    if isinstance(query, Composable):
        return query.as_string(cursor)
    return ""  # bytes: made by mogrify


# --- once it is committed ------------------------------------------------------------------------

_OPEN = "atlas.traced.open"
_SAVED = "atlas.traced.saved"
_COMMITTED = "atlas.traced.committed"


def _info(conn: sa.Connection) -> dict[Any, Any]:
    """What is kept with a connection; of one that broke nothing is, and asking it would fail."""
    return {} if conn.closed or conn.invalidated else conn.info


def _send(info: dict[Any, Any]) -> None:
    for span in info.pop(_COMMITTED, ()):
        traces.put(span)


def _begun(conn: sa.Connection) -> None:
    info = _info(conn)
    _send(info)
    info[_OPEN], info[_SAVED] = [], []


def _within(conn: sa.Connection, *_: Any) -> None:
    info = _info(conn)
    info.setdefault(_SAVED, []).append(len(info.get(_OPEN, ())))


def _released(conn: sa.Connection, *_: Any) -> None:
    if saved := _info(conn).get(_SAVED):
        saved.pop()  # the innermost: they are blocks within blocks


def _undone(conn: sa.Connection, *_: Any) -> None:
    info = _info(conn)
    if saved := info.get(_SAVED):
        del info[_OPEN][saved.pop() :]


def _committing(conn: sa.Connection) -> None:
    info = _info(conn)
    info[_COMMITTED] = info.pop(_OPEN, [])


def _forgotten(conn: sa.Connection) -> None:
    info = _info(conn)
    info.pop(_OPEN, None)
    info.pop(_COMMITTED, None)


def _failed(context: Any) -> None:
    if context.connection is not None and context.statement is None:  # the commit itself
        _info(context.connection).pop(_COMMITTED, None)


def _returned(driver: Any, record: Any) -> None:
    if driver is not None:
        _send(record.info)


_EVENTS: dict[str, Callable[..., None]] = {
    "begin": _begun,
    "savepoint": _within,
    "release_savepoint": _released,
    "rollback_savepoint": _undone,
    "commit": _committing,
    "rollback": _forgotten,
    "handle_error": _failed,
    "checkin": _returned,
}


def watch(engine: sa.Engine) -> None:
    """Have spans that belong to a transaction of ``engine`` sent once it is committed."""
    for name, done in _EVENTS.items():
        sa.event.listen(engine, name, done)


def _later(conn: sa.Connection, span: Span) -> None:
    waiting = _info(conn).get(_OPEN)
    if waiting is not None:  # an engine from before traces were wanted does not tell of its commits
        waiting.append(span)


# --- attempts and runs ---------------------------------------------------------------------------

_ATTEMPTS = sa.text(
    """
    SELECT s.id, s.run_id::text AS run_id, s.stage, a.fence, a.outcome, a.cause, a.holder,
           a.started_at, a.finished_at, p.namespace, p.stream,
           CASE WHEN a.outcome = s.status THEN s.rows END AS rows,
           (SELECT count(*) FROM pipeline.attempt b
             WHERE b.stage_run_id = a.stage_run_id AND b.fence <= a.fence) AS number
      FROM pipeline.attempt a
      JOIN pipeline.stage_run s ON s.id = a.stage_run_id
      LEFT JOIN pipeline.run_stream p ON p.id = s.run_stream_id
     WHERE a.stage_run_id = :id AND a.outcome = :outcome
       AND a.finished_at >= transaction_timestamp()
    """
)
_RUN = sa.text("SELECT * FROM pipeline.run WHERE id = CAST(:id AS uuid)")
_FAILED = {"failed", "retry", "lost"}


def attempt_id(run_id: str, stage_run_id: int, fence: int) -> int:
    """The span of an attempt that began with this fence."""
    return traces.known_id("attempt", run_id, stage_run_id, fence)


def attempts_ended(conn: sa.Connection, stage_run_id: int, outcome: str) -> None:
    """Tell of the attempts at a stage that this transaction has ended so."""
    if not traces.on():
        return
    with traces.unseen():
        ended = conn.execute(_ATTEMPTS, {"id": stage_run_id, "outcome": outcome}).all()
    for row in ended:
        known = attempt_id(row.run_id, row.id, row.fence)
        about = {
            "atlas.run": row.run_id,
            "atlas.stage": row.stage,
            "atlas.stream": row.stream,
            "atlas.namespace": row.namespace or None,
            "atlas.attempt": row.number,
            "atlas.outcome": row.outcome,
            "atlas.rows": row.rows,
            "atlas.holder": row.holder,
            "error.type": (row.cause or row.outcome) if row.outcome in _FAILED else None,
        }
        span = Span(
            f"stage {row.stage}",
            traces.trace_of(row.run_id),
            known,
            traces.parent_in(row.run_id, known),
            _ns(row.started_at),
            _ns(row.finished_at),
            failed=row.outcome in _FAILED,
            attributes={name: value for name, value in about.items() if value is not None},
        )
        _later(conn, span)


def run_ended(conn: sa.Connection, run_id: str) -> None:
    """Tell of a run that this transaction has ended. One that was resumed has been told already:
    what it did since hangs on the same span, and has one of its own for the time."""
    if not traces.on():
        return
    with traces.unseen():
        row = conn.execute(_RUN, {"id": run_id}).one()
    again = row.retries > 0
    root = traces.root_of(run_id)
    about: Attributes = {
        "atlas.run": run_id,
        "atlas.connection": row.connection,
        "atlas.trigger": row.trigger,
        "atlas.status": row.status,
        "atlas.retries": row.retries,
        "atlas.rows.explore": row.rows_explore,
        "atlas.rows.promoted": row.rows_promoted,
        "atlas.rows.quarantined": row.rows_quarantined,
    }
    began = row.created_at if not again else row.started_at or row.finished_at
    span = Span(
        "run" if not again else "run resumed",
        traces.trace_of(run_id),
        root if not again else traces.known_id("resumed", run_id, row.retries),
        None if not again else root,
        _ns(began),
        _ns(row.finished_at),
        failed=row.status == "failed",
        attributes=about,
    )
    _later(conn, span)


_PART = sa.text(
    """
    SELECT s.run_id::text AS run_id, s.id,
           (SELECT max(fence) FROM pipeline.attempt
             WHERE stage_run_id = s.id AND outcome IS NULL) AS fence
      FROM pipeline.stage_run s WHERE s.run_stream_id = :id AND s.stage = 'pii'
    """
)


def of_part(engine: sa.Engine, run_stream_id: int) -> tuple[str, int] | None:
    """The run of a part of a stream, and the span that its work hangs on: the attempt at its stage,
    or the run where that has not begun; None: nobody wants to know."""
    if not traces.on():
        return None
    with traces.unseen(), engine.connect() as conn:
        row = conn.execute(_PART, {"id": run_stream_id}).one_or_none()
    if row is None:
        return None
    if row.fence is None:
        return row.run_id, traces.root_of(row.run_id)
    return row.run_id, attempt_id(row.run_id, row.id, row.fence)


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
