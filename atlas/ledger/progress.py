"""How far runs are, read again and again for whoever watches: few columns, few queries, however
many runs are watched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from atlas.ledger.run_documents import percent, rfc3339
from atlas.ledger.tables import run, run_stream, stage_run
from atlas.model.stage import Status

_ACTIVE = (Status.QUEUED.value, Status.RUNNING.value)
_MOST = 1_000
_ROWS = ("explore", "promoted", "quarantined")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a run is.

    Attributes:
        head: the run as a whole, with its explore stage.
        streams: each of its streams with its stages, by the id of the run stream.
        log_lines: number of the last line of its log.
        ended: whether it has ended.
    """

    head: dict[str, Any]
    streams: dict[int, dict[str, Any]]
    log_lines: int
    ended: bool


def snapshots(conn: sa.Connection, run_ids: Collection[str]) -> Mapping[str, Snapshot]:
    """How far each of these runs is; runs that are no more are left out."""
    ids = list(run_ids)
    stages: dict[tuple[str, int | None], list[dict[str, Any]]] = defaultdict(list)
    for stage in conn.execute(
        sa.select(
            stage_run.c.run_id,
            stage_run.c.run_stream_id,
            stage_run.c.stage,
            stage_run.c.status,
            stage_run.c.attempt,
            stage_run.c.started_at,
            stage_run.c.finished_at,
            stage_run.c.rows,
            stage_run.c.error,
        )
        .where(stage_run.c.run_id.in_(ids))
        .order_by(stage_run.c.position)
    ):
        stages[stage.run_id, stage.run_stream_id].append(
            {
                "stage": stage.stage,
                "status": stage.status,
                "attempt": stage.attempt,
                "started_at": rfc3339(stage.started_at),
                "finished_at": rfc3339(stage.finished_at),
                "rows": stage.rows,
                "error": stage.error,
            }
        )
    streams: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for part in conn.execute(
        sa.select(
            run_stream.c.id,
            run_stream.c.run_id,
            run_stream.c.stream,
            run_stream.c.namespace,
            run_stream.c.status,
            run_stream.c.error,
            run_stream.c.explored_at,
            run_stream.c.rows_estimate,
            *(run_stream.c[f"rows_{name}"] for name in _ROWS),
        )
        .where(run_stream.c.run_id.in_(ids))
        .order_by(run_stream.c.id)
    ):
        streams[part.run_id][part.id] = {
            "stream": part.stream,
            "namespace": part.namespace or None,
            "status": part.status,
            "error": part.error,
            "rows": {name: getattr(part, f"rows_{name}") for name in _ROWS},
            "estimated_rows": part.rows_estimate,
            "percent": percent(part),
            "stages": stages[part.run_id, part.id],
        }
    # Last: a run that has ended by now may not have had all of its lines counted before.
    return {
        row.id: Snapshot(
            {**_brief(row), "stages": stages[row.id, None]},
            streams[row.id],
            row.log_lines,
            Status(row.status).ended,
        )
        for row in conn.execute(sa.select(*_BRIEF, run.c.log_lines).where(run.c.id.in_(ids)))
    }


def active(conn: sa.Connection) -> dict[str, dict[str, Any]]:
    """The active runs in brief, by their ids: the newest thousand."""
    rows = conn.execute(
        sa.select(*_BRIEF).where(run.c.status.in_(_ACTIVE)).order_by(run.c.seq.desc()).limit(_MOST)
    )
    return {row.id: _brief(row) for row in rows}


def briefs(conn: sa.Connection, run_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """These runs in brief, by their ids."""
    rows = conn.execute(sa.select(*_BRIEF).where(run.c.id.in_(list(run_ids))))
    return {row.id: _brief(row) for row in rows}


def ended_since(conn: sa.Connection, at: datetime) -> dict[str, dict[str, Any]]:
    """Runs that ended at or after a time, in brief: the last thousand."""
    rows = conn.execute(
        sa.select(*_BRIEF)
        .where(run.c.finished_at >= at)
        .order_by(run.c.finished_at.desc())
        .limit(_MOST)
    )
    return {row.id: _brief(row) for row in rows}


def now(conn: sa.Connection) -> datetime:
    """The time by the ledger's clock."""
    found: datetime = conn.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return found


_BRIEF = (
    run.c.id,
    run.c.connection,
    run.c.trigger,
    run.c.status,
    run.c.created_at,
    run.c.started_at,
    run.c.finished_at,
    run.c.error,
)


def _brief(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "run_id": row.id,
        "connection": row.connection,
        "trigger": row.trigger,
        "status": row.status,
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "finished_at": rfc3339(row.finished_at),
        "error": row.error,
    }
