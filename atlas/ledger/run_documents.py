"""What users read of runs: documents, pages, attempts, as CONTRACT shapes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from atlas.ledger import paging
from atlas.ledger.runs import REMASK, REPROCESS, row_of
from atlas.ledger.tables import attempt, run, run_stream, source_change, stage_run
from atlas.model.stage import Status


def document(conn: sa.Connection, run_id: str) -> dict[str, Any]:
    """A run as CONTRACT shows it: counts, streams, stages, timings, errors.

    Raises:
        NotFound: there is none.
    """
    return _documents(conn, [row_of(conn, run_id)])[0]


# A configured stream has its whole schema, which no document shows.
_PARTS = sa.select(
    *(column for column in run_stream.c if column.name != "configured"),
    run_stream.c.configured["sync_mode"].as_string().label("sync_mode"),
).order_by(run_stream.c.id)


def _documents(
    conn: sa.Connection, rows: Sequence[sa.Row[Any]], *, brief: bool = False
) -> list[dict[str, Any]]:
    """The documents of several runs, with three queries however many they are; with ``brief``
    one, and neither stages nor changes."""
    ids = [row.id for row in rows]
    stages: dict[tuple[str, int | None], list[dict[str, Any]]] = defaultdict(list)
    whole = [] if brief else ids
    for item in conn.execute(
        sa.select(stage_run).where(stage_run.c.run_id.in_(whole)).order_by(stage_run.c.position)
    ):
        stages[item.run_id, item.run_stream_id].append(
            {
                "stage": item.stage,
                "status": item.status,
                "attempt": item.attempt,
                "started_at": rfc3339(item.started_at),
                "finished_at": rfc3339(item.finished_at),
                "rows": item.rows,
                "error": item.error,
            }
        )
    streams: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for part in conn.execute(_PARTS.where(run_stream.c.run_id.in_(ids))):
        streams[part.run_id].append(
            {
                "stream": part.stream,
                "namespace": part.namespace or None,
                "sync_mode": part.sync_mode,
                "status": part.status,
                "rows": {
                    "explore": part.rows_explore,
                    "carried": part.rows_carried,
                    "promoted": part.rows_promoted,
                    "quarantined": part.rows_quarantined,
                    "superseded": part.rows_superseded,
                    "tombstones": part.rows_tombstones,
                    "deleted": part.rows_deleted,
                    "erased": part.rows_erased,
                },
                "estimated_rows": part.rows_estimate,
                "percent": percent(part),
                "versions": {"opened": part.versions_opened, "closed": part.versions_closed},
                "remasked": part.remasked,
                "error": part.error,
                "stages": stages[part.run_id, part.id],
            }
        )
    changes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for found in conn.execute(
        sa.select(source_change)
        .where(source_change.c.run_id.in_(whole))
        .order_by(source_change.c.id)
    ):
        changes[found.run_id].append(
            {
                "stream": found.stream,
                "namespace": found.namespace or None,
                "property": found.property,
                "change": found.change,
                "detail": found.detail,
            }
        )
    return [
        {
            "run_id": row.id,
            "connection": row.connection,
            "trigger": row.trigger,
            "status": row.status,
            "created_at": rfc3339(row.created_at),
            "started_at": rfc3339(row.started_at),
            "finished_at": rfc3339(row.finished_at),
            "error": row.error,
            "repaired": row.repaired,
            "ignored": row.ignored,
            "stages": stages[row.id, None],
            "streams": streams[row.id],
            "changes": changes[row.id],
        }
        for row in rows
    ]


def page(
    conn: sa.Connection,
    *,
    limit: int,
    cursor: str | None,
    connection: str | None = None,
    status: str | None = None,
    newest_first: bool = True,
    brief: bool = False,
) -> dict[str, Any]:
    """A page of runs: ``{"items": […], "next_cursor": str | None}``.

    Args:
        brief: leave out stages and changes, of which there may be thousands.

    Raises:
        UsageError: the cursor is not one of ours.
    """
    # Runs get their numbers in the order in which they are made.
    query = paging.behind(
        sa.select(run), run.c.seq, paging.before(cursor), down=newest_first
    ).limit(limit + 1)
    if connection is not None:
        query = query.where(run.c.connection == connection)
    if status is not None:
        query = query.where(run.c.status == status)
    rows = conn.execute(query).all()
    more = len(rows) > limit
    return {
        "items": _documents(conn, rows[:limit], brief=brief),
        "next_cursor": str(rows[limit - 1].seq) if more else None,
    }


def before(conn: sa.Connection, run_id: str) -> dict[str, Any] | None:
    """The run of the same connection before this one that has ended: of a sync, the sync before
    it; None: it is the first.

    Raises:
        NotFound: there is no such run.
    """
    this = row_of(conn, run_id)
    ended = [status.value for status in Status if status.ended]
    query = (
        sa.select(run)
        .where(run.c.connection == this.connection, run.c.seq < this.seq, run.c.status.in_(ended))
        .order_by(run.c.seq.desc())
        .limit(1)
    )
    if this.trigger not in (REMASK, REPROCESS):
        query = query.where(run.c.trigger.not_in((REMASK, REPROCESS)))
    row = conn.execute(query).one_or_none()
    return None if row is None else _documents(conn, [row])[0]


def attempts(conn: sa.Connection, run_id: str) -> list[dict[str, Any]]:
    """Every claim of every stage of a run, oldest first, and what became of it."""
    rows = conn.execute(
        sa.select(attempt, stage_run.c.stage, run_stream.c.stream)
        .join(stage_run, stage_run.c.id == attempt.c.stage_run_id)
        .outerjoin(run_stream, run_stream.c.id == stage_run.c.run_stream_id)
        .where(stage_run.c.run_id == run_id)
        .order_by(attempt.c.id)
    )
    return [
        {
            "stream": row.stream,
            "stage": row.stage,
            "holder": row.holder,
            "started_at": rfc3339(row.started_at),
            "finished_at": rfc3339(row.finished_at),
            "outcome": row.outcome,
            "error": row.error,
        }
        for row in rows
    ]


def percent(part: sa.Row[Any]) -> int | None:
    """How much of a stream has been read, where its source said what to expect. What is more than
    expected is not the end yet."""
    if part.explored_at is not None:
        return 100
    if not part.rows_estimate:
        return None
    return min(99, int(100 * part.rows_explore // part.rows_estimate))


def rfc3339(value: datetime | None) -> str | None:
    """A time of the ledger (sessions are in UTC) as documents show it."""
    return None if value is None else value.isoformat().replace("+00:00", "Z")
