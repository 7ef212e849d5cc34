"""What somebody asks who looks in the morning: what runs, what failed, how fresh and how good each
connection's data are, how many rows came, and which workers live.

Each part reads few rows of an index, however many runs there have been.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from atlas.ledger.run_documents import percent, rfc3339
from atlas.ledger.runs import REMASK, REPROCESS
from atlas.ledger.tables import run, run_stream, stage_run, worker
from atlas.model.stage import Status

DAYS = 30
"""Days of which the rows are told, today among them."""

_LATELY = timedelta(days=7)
_ITEMS = 20
CONNECTIONS = 200
"""Most connections that an overview tells of; those in trouble come first."""
DEAD = 45.0
"""Seconds without a sign after which a worker is held to be gone."""

_UNWELL = (Status.FAILED.value, Status.BLOCKED.value)
_ACTIVE = (Status.QUEUED.value, Status.RUNNING.value)
_ROWS = ("explore", "promoted", "quarantined")


def overview(conn: sa.Connection) -> dict[str, Any]:
    """All that the ledger knows of it: ``{"at", "running", "failed", "connections", "rows",
    "workers"}``, as :class:`atlas.web.overview_models.Overview` describes each."""
    now: datetime = conn.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return {
        "at": rfc3339(now),
        "running": running(conn),
        "failed": _failed(conn, now - _LATELY),
        "connections": connections(conn),
        "rows": _rows_by_day(conn, now),
        "workers": _workers(conn, now),
    }


def running(conn: sa.Connection) -> dict[str, Any]:
    """The active runs: how many there are, and the newest of them with what they have done."""
    count = conn.execute(
        sa.select(sa.func.count()).select_from(run).where(run.c.status.in_(_ACTIVE))
    ).scalar_one()
    rows = conn.execute(
        sa.select(run).where(run.c.status.in_(_ACTIVE)).order_by(run.c.seq.desc()).limit(_ITEMS)
    ).all()
    ids = [row.id for row in rows]
    streams: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    for part in conn.execute(
        sa.select(
            run_stream.c.run_id,
            run_stream.c.explored_at,
            run_stream.c.rows_explore,
            run_stream.c.rows_estimate,
            run_stream.c.rows_promoted,
            run_stream.c.rows_quarantined,
        ).where(run_stream.c.run_id.in_(ids))
    ):
        streams[part.run_id].append(part)
    at_work: dict[str, list[str]] = defaultdict(list)
    for stage in conn.execute(
        sa.select(stage_run.c.run_id, stage_run.c.stage)
        .where(stage_run.c.run_id.in_(ids), stage_run.c.status == Status.RUNNING.value)
        .distinct()
        .order_by(stage_run.c.run_id, stage_run.c.stage)
    ):
        at_work[stage.run_id].append(stage.stage)
    items = [
        {
            "run_id": row.id,
            "connection": row.connection,
            "trigger": row.trigger,
            "status": row.status,
            "created_at": rfc3339(row.created_at),
            "started_at": rfc3339(row.started_at),
            "stages": at_work[row.id],
            "rows": {
                name: sum(getattr(part, f"rows_{name}") for part in streams[row.id])
                for name in _ROWS
            },
            "percent": _percent(streams[row.id]),
        }
        for row in rows
    ]
    return {"count": count, "items": items}


def _percent(parts: list[sa.Row[Any]]) -> int | None:
    """How much of a run's streams has been read; None where one does not say what to expect."""
    found = [percent(part) for part in parts]
    known = [each for each in found if each is not None]
    return sum(known) // len(found) if found and len(known) == len(found) else None


# A look of its own for each state, that takes the newest from the end of an index.
_FOUND = sa.union_all(
    *(
        sa.select(
            sa.select(run)
            .where(run.c.status == status)
            .order_by(run.c.seq.desc())
            .limit(_ITEMS)
            .subquery()
        )
        for status in _UNWELL
    )
).subquery()
_WORST = sa.select(_FOUND).order_by(_FOUND.c.seq.desc()).limit(_ITEMS)


def _failed(conn: sa.Connection, since: datetime) -> list[dict[str, Any]]:
    """The newest runs that failed or were blocked."""
    rows = conn.execute(_WORST.where(_FOUND.c.finished_at > since))
    return [
        {
            "run_id": row.id,
            "connection": row.connection,
            "trigger": row.trigger,
            "status": row.status,
            "finished_at": rfc3339(row.finished_at),
            "error": row.error,
        }
        for row in rows
    ]


_CONNECTIONS = sa.text(
    """
    SELECT c.name, c.connector, c.due_at, count(*) OVER () AS total,
           last.id AS run_id, last.status, last.finished_at, last.error, last.created_at,
           fresh.extracted_at, checked.id AS scored_in, scored.score, scored.lowest,
           (SELECT count(*) FROM pipeline.stream_table t WHERE t.connection = c.name) AS datasets
      FROM pipeline.connection c
      LEFT JOIN LATERAL (
           SELECT r.* FROM pipeline.run r
            WHERE r.connection = c.name ORDER BY r.seq DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (
           SELECT r.extracted_at FROM pipeline.run r
            WHERE r.connection = c.name AND r.status = 'succeeded'
              AND r.trigger NOT IN (:remask, :reprocess)
            ORDER BY r.seq DESC LIMIT 1) fresh ON true
      LEFT JOIN LATERAL (
           -- Of the last of its runs that was checked; those long ago say nothing of today.
           SELECT r.id FROM (
               SELECT r.id, r.seq FROM pipeline.run r
                WHERE r.connection = c.name AND r.trigger <> :reprocess
                ORDER BY r.seq DESC LIMIT 20) r
            WHERE EXISTS (SELECT FROM pipeline.run_stream s
                            JOIN pipeline.quality_score q ON q.run_stream_id = s.id
                           WHERE s.run_id = r.id AND q.dimension = 'overall')
            ORDER BY r.seq DESC LIMIT 1) checked ON true
      LEFT JOIN LATERAL (
           SELECT avg(q.score) AS score, min(q.score) AS lowest
             FROM pipeline.run_stream s
             JOIN pipeline.quality_score q ON q.run_stream_id = s.id AND q.dimension = 'overall'
            WHERE s.run_id = checked.id) scored ON true
     WHERE CAST(:names AS text[]) IS NULL OR c.name = ANY (CAST(:names AS text[]))
     ORDER BY coalesce(last.status IN ('failed', 'blocked'), false) DESC, c.name
     LIMIT :most
    """
)


def connections(conn: sa.Connection, names: list[str] | None = None) -> dict[str, Any]:
    """How connections are, at most :data:`CONNECTIONS` of them; ``names``: only these."""
    rows = conn.execute(
        _CONNECTIONS,
        {"remask": REMASK, "reprocess": REPROCESS, "most": CONNECTIONS, "names": names},
    ).all()
    return {
        "count": rows[0].total if rows else 0,
        "items": [
            {
                "name": row.name,
                "connector": row.connector,
                "datasets": row.datasets,
                "due_at": rfc3339(row.due_at),
                "last_run": row.run_id
                and {
                    "run_id": str(row.run_id),
                    "status": row.status,
                    "created_at": rfc3339(row.created_at),
                    "finished_at": rfc3339(row.finished_at),
                    "error": row.error,
                },
                "fresh_at": rfc3339(row.extracted_at),
                "score": row.score,
                "lowest_score": row.lowest,
                "scored_in": row.scored_in and str(row.scored_in),
            }
            for row in rows
        ],
    }


# Sessions are in UTC. The connection is NULL in the sums of all.
_ROWS_BY_DAY = sa.text(
    """
    WITH daily AS (
        SELECT connection, CAST(finished_at AS date) AS day, count(*) AS runs,
               sum(rows_explore) AS explore, sum(rows_promoted) AS promoted,
               sum(rows_quarantined) AS quarantined
          FROM pipeline.run WHERE finished_at >= :since GROUP BY 1, 2),
         most AS (
        SELECT connection FROM daily GROUP BY connection
         ORDER BY sum(explore) DESC, connection LIMIT :most)
    SELECT connection, day, runs, CAST(explore AS bigint) AS explore,
           CAST(promoted AS bigint) AS promoted, CAST(quarantined AS bigint) AS quarantined
      FROM daily WHERE connection IN (SELECT connection FROM most)
     UNION ALL
    SELECT NULL, day, CAST(sum(runs) AS bigint), CAST(sum(explore) AS bigint),
           CAST(sum(promoted) AS bigint), CAST(sum(quarantined) AS bigint)
      FROM daily GROUP BY day
    """
)


def _rows_by_day(conn: sa.Connection, now: datetime) -> dict[str, Any]:
    """Rows by the UTC day on which their run ended: of all runs, and of the connections that had
    the most."""
    today = now.date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    place = {day: at for at, day in enumerate(days)}
    found: dict[str | None, dict[str, list[int]]] = defaultdict(_nothing)
    for row in conn.execute(_ROWS_BY_DAY, {"since": days[0], "most": _ITEMS}):
        if row.day not in place:  # it ended in this very moment, past midnight
            continue
        for name in ("runs", *_ROWS):
            found[row.connection][name][place[row.day]] = getattr(row, name)
    total = found.pop(None, _nothing())
    return {
        "days": [day.isoformat() for day in days],
        "total": total,
        "connections": [
            {"connection": name, **found[name]}
            for name in sorted(
                filter(None, found), key=lambda each: (-sum(found[each]["explore"]), each)
            )
        ],
    }


def _nothing() -> dict[str, list[int]]:
    return {name: [0] * DAYS for name in ("runs", *_ROWS)}


def _workers(conn: sa.Connection, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "queues": row.queues,
            "beat_at": rfc3339(row.beat_at),
            "alive": (now - row.beat_at).total_seconds() < DEAD,
        }
        for row in conn.execute(sa.select(worker).order_by(worker.c.name))
    ]
