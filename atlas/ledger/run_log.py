"""The log of a run: what its connector says and what its stages do, line by line.

Lines are numbered by a counter in the run's row, which whoever writes holds until the commit: a
line's number is its place in the order of the commits, so that a reader who has seen up to some
number has missed nothing below it, whichever process asks next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from atlas.ledger import paging
from atlas.ledger.claims import Claim
from atlas.ledger.run_documents import rfc3339
from atlas.ledger.runs import row_of
from atlas.ledger.tables import run, run_log, run_stream

LEVELS = ("debug", "info", "warning", "error")
"""From the least to the most severe."""

_AIRBYTE = {"TRACE": "debug", "DEBUG": "debug", "WARN": "warning", "WARNING": "warning"}
_SEVERE = {"ERROR": "error", "FATAL": "error", "CRITICAL": "error"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is to be written; ``message`` is one line, redacted."""

    level: str
    message: str
    at: datetime


def level_of(word: str) -> str:
    """One of :data:`LEVELS` for the word with which a connector says it."""
    return {**_AIRBYTE, **_SEVERE}.get(word.upper(), "info")


# Counting and writing in one statement. The counter's row is read anew where somebody else has it,
# and stays locked until the commit.
_PUT = sa.text(
    """
    WITH counted AS (
        UPDATE pipeline.run SET log_lines = log_lines + :count WHERE id = CAST(:run_id AS uuid)
        RETURNING log_lines - :count AS before)
    INSERT INTO pipeline.run_log
           (run_id, line, at, level, origin, stage, run_stream_id, attempt, worker, message)
    SELECT CAST(:run_id AS uuid), counted.before + given.place, given.at, given.level, :origin,
           :stage, :run_stream_id, :attempt, :worker, given.message
      FROM counted,
           unnest(CAST(:ats AS timestamptz[]), CAST(:levels AS text[]), CAST(:messages AS text[]))
           WITH ORDINALITY AS given(at, level, message, place)
    RETURNING line
    """
)


def _put(
    conn: sa.Connection, run_id: str, lines: Sequence[Line], *, origin: str, claim: Claim | None
) -> int:
    """Write lines at the end of the run's log; returns the number of the last one."""
    rows = conn.execute(
        _PUT,
        {
            "count": len(lines),
            "run_id": run_id,
            "origin": origin,
            "stage": claim and claim.stage.value,
            "run_stream_id": claim and claim.run_stream_id,
            "attempt": claim and claim.attempt,
            "worker": claim and claim.holder,
            "ats": [line.at for line in lines],
            "levels": [line.level for line in lines],
            "messages": [_storable(line.message) for line in lines],
        },
    ).scalars()
    return max(rows, default=0)


def _storable(text: str) -> str:
    """``text`` as PostgreSQL takes it: without NUL and lone surrogates."""
    return text.replace("\0", "?").encode(errors="replace").decode()


def tell(conn: sa.Connection, claim: Claim, level: str, message: str) -> None:
    """Write what a claimed stage does, in the caller's transaction and as the last thing in it;
    nothing where the stage has got another holder since."""
    # The stage's row before the run's, as whoever ends or cancels locks them.
    if conn.execute(_LOCK, _of(claim)).scalar():
        _put(conn, claim.run_id, [_now(level, message)], origin="atlas", claim=claim)


def note(conn: sa.Connection, run_id: str, level: str, message: str) -> None:
    """Write what happens to a run as a whole, in the caller's transaction."""
    _put(conn, run_id, [_now(level, message)], origin="atlas", claim=None)


def _now(level: str, message: str) -> Line:
    return Line(level, " ".join(message.split()), datetime.now(UTC))


def add(conn: sa.Connection, claim: Claim, lines: Sequence[Line], *, keep: int) -> bool:
    """Write what a stage's connector says, unless the stage has got another holder since.

    Args:
        keep: how many lines of connectors a run's log keeps; the oldest go.

    Returns: whether they were written.
    """
    if not lines or not conn.execute(_OURS, _of(claim)).scalar():
        return False
    last = _put(conn, claim.run_id, lines, origin="connector", claim=claim)
    if last > keep:
        conn.execute(
            run_log.delete().where(
                run_log.c.run_id == claim.run_id,
                run_log.c.line <= last - keep,
                run_log.c.origin == "connector",
            )
        )
    return True


# Also of a stage that has ended with this fence: its connector's last words come late.
_OURS = sa.text("SELECT true FROM pipeline.stage_run WHERE id = :id AND fence = :fence")

_LOCK = sa.text("SELECT true FROM pipeline.stage_run WHERE id = :id AND fence = :fence FOR UPDATE")


def _of(claim: Claim) -> dict[str, int]:
    return {"id": claim.stage_run_id, "fence": claim.fence}


def page(
    conn: sa.Connection,
    run_id: str,
    *,
    limit: int,
    cursor: str | None = None,
    level: str | None = None,
    q: str | None = None,
    beyond: int | None = None,
    newest_first: bool = False,
) -> dict[str, Any]:
    """A page of a run's log: ``{"items": […], "next_cursor": str | None}``.

    Args:
        cursor: number of the line that the page before ended with.
        level: only lines of this level and those more severe.
        q: only lines in which this text stands, whatever its case.
        beyond: only lines after this number.

    Raises:
        NotFound: there is no such run. UsageError: the cursor is none.
    """
    after = paging.before(cursor)
    query = _lines().where(run_log.c.run_id == row_of(conn, run_id).id).limit(limit + 1)
    query = paging.behind(query, run_log.c.line, after, down=newest_first)
    if beyond is not None:
        query = query.where(run_log.c.line > beyond)
    if level is not None:
        query = query.where(run_log.c.level.in_(LEVELS[LEVELS.index(level) :]))
    if q:
        query = query.where(sa.func.strpos(sa.func.lower(run_log.c.message), sa.func.lower(q)) > 0)
    rows = conn.execute(query).all()
    return {
        "items": [_document(row) for row in rows[:limit]],
        "next_cursor": str(rows[limit - 1].line) if len(rows) > limit else None,
    }


def last_line(conn: sa.Connection, run_id: str) -> int:
    """Number of the last line of a run's log; 0: it has none."""
    return int(conn.execute(sa.select(run.c.log_lines).where(run.c.id == run_id)).scalar() or 0)


def since(
    conn: sa.Connection, seen: Iterable[tuple[str, int]], limit: int
) -> Mapping[tuple[str, int], list[dict[str, Any]]]:
    """For each run and number the lines after that, ``limit`` at most, in one query."""
    wanted = sorted(set(seen))
    if not wanted:
        return {}
    asked = sa.text(
        """
        SELECT asked.run_id, asked.after, l.line, l.at, l.level, l.origin, l.stage, l.attempt,
               l.worker, l.message, s.stream, s.namespace
          FROM unnest(CAST(:ids AS uuid[]), CAST(:afters AS bigint[])) AS asked(run_id, after)
         CROSS JOIN LATERAL (
               SELECT * FROM pipeline.run_log l
                WHERE l.run_id = asked.run_id AND l.line > asked.after
                ORDER BY l.line LIMIT :limit) l
          LEFT JOIN pipeline.run_stream s ON s.id = l.run_stream_id
         ORDER BY l.run_id, l.line
        """
    )
    values = {
        "ids": [run_id for run_id, _ in wanted],
        "afters": [after for _, after in wanted],
        "limit": limit,
    }
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in conn.execute(asked, values):
        found.setdefault((str(row.run_id), row.after), []).append(_document(row))
    return found


def _lines() -> sa.Select[Any]:
    return sa.select(run_log, run_stream.c.stream, run_stream.c.namespace).outerjoin(
        run_stream, run_stream.c.id == run_log.c.run_stream_id
    )


def _document(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "line": row.line,
        "at": rfc3339(row.at),
        "level": row.level,
        "origin": row.origin,
        "stage": row.stage,
        "stream": row.stream,
        "namespace": row.namespace or None,
        "attempt": row.attempt,
        "worker": row.worker,
        "message": row.message,
    }
