"""The results of checks by dataset and run: what a score is made of, and how it went over time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from atlas.ledger import runs
from atlas.ledger.tables import (
    check_result,
    column_metric,
    quality_score,
    quarantine,
    run,
    run_stream,
    stage_run,
    stream_table,
)
from atlas.model.checks import Outcome
from atlas.model.stage import Stage, Status
from atlas.model.stream import StreamKey


class Checked(NamedTuple):
    """A stream of a run whose checks were evaluated: ``status`` is succeeded or blocked."""

    run_stream_id: int
    dataset: str
    connection: str
    stream: str
    namespace: str | None
    run_id: str
    at: datetime
    status: str


_CHECKED = (
    sa.select(
        run_stream.c.id,
        stream_table.c.table_name,
        run.c.connection,
        run_stream.c.stream,
        sa.func.nullif(run_stream.c.namespace, ""),
        run_stream.c.run_id,
        stage_run.c.finished_at,
        stage_run.c.status,
    )
    .join(run, run.c.id == run_stream.c.run_id)
    .join(stage_run, stage_run.c.run_stream_id == run_stream.c.id)
    .join(
        stream_table,
        sa.and_(
            stream_table.c.connection == run.c.connection,
            stream_table.c.namespace == run_stream.c.namespace,
            stream_table.c.stream == run_stream.c.stream,
        ),
    )
    .where(
        stage_run.c.stage == Stage.QUALITY.value,
        stage_run.c.status.in_([Status.SUCCEEDED.value, Status.BLOCKED.value]),
        # A run that masks anew checks nothing.
        sa.exists().where(check_result.c.run_stream_id == run_stream.c.id),
    )
    .order_by(run_stream.c.id.desc())
)


def of_dataset(
    conn: sa.Connection,
    connection: str,
    key: StreamKey,
    *,
    limit: int = 1,
    before: int | None = None,
) -> list[Checked]:
    """The times that a stream was checked, newest first; ``before`` is a run stream's id. What was
    found of rows that were taken up again says nothing of the others, and is left out."""
    query = _CHECKED.where(
        run.c.trigger != runs.REPROCESS,
        run.c.connection == connection,
        run_stream.c.stream == key.name,
        run_stream.c.namespace == (key.namespace or ""),
    ).limit(limit)
    if before is not None:
        query = query.where(run_stream.c.id < before)
    return [Checked(*row) for row in conn.execute(query)]


def of_run(
    conn: sa.Connection, run_id: str, *, limit: int | None = None, after: int = 0
) -> list[Checked]:
    """The streams of a run that were checked, in their order; ``after``: with a larger run stream's
    id."""
    query = _CHECKED.where(run_stream.c.run_id == run_id, run_stream.c.id > after)
    found = conn.execute(query.order_by(None).order_by(run_stream.c.id).limit(limit))
    return [Checked(*row) for row in found]


def scores(conn: sa.Connection, ids: list[int]) -> dict[int, dict[str, float]]:
    """Scores by dimension, and "overall", of each of these run streams."""
    found: dict[int, dict[str, float]] = {each: {} for each in ids}
    table = quality_score
    for row in conn.execute(sa.select(table).where(table.c.run_stream_id.in_(ids))):
        found[row.run_stream_id][row.dimension] = row.score
    return found


_ORDER = [Outcome.ERROR, Outcome.FAIL, Outcome.WARN, Outcome.PASS]


def all_results(conn: sa.Connection, ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    """Each check as a document, of each of these run streams: what failed first, the rest by
    name."""
    found: dict[int, list[dict[str, Any]]] = {each: [] for each in ids}
    table = check_result
    for row in conn.execute(sa.select(table).where(table.c.run_stream_id.in_(ids))):
        found[row.run_stream_id].append(
            {
                "name": row.name,
                "dimension": row.dimension,
                "column": row.column_name,
                "outcome": row.outcome,
                "score": row.score,
                "failed_rows": row.failed_rows,
                "definition": row.definition,
                "gate": row.gate,
                "reason": row.detail.get("reason"),
                "rows": row.detail.get("ids", []),
            }
        )
    for each in found.values():
        each.sort(key=lambda check: (_ORDER.index(Outcome(check["outcome"])), check["name"]))
    return found


def results(conn: sa.Connection, run_stream_id: int) -> list[dict[str, Any]]:
    """The same of one run stream."""
    return all_results(conn, [run_stream_id])[run_stream_id]


def of_check(conn: sa.Connection, ids: list[int], name: str) -> dict[int, dict[str, Any]]:
    """Outcome, score and failed rows of one check in each of these run streams that had it."""
    table = check_result
    rows = conn.execute(
        sa.select(table).where(table.c.run_stream_id.in_(ids), table.c.name == name)
    )
    return {
        row.run_stream_id: {
            "name": row.name,
            "outcome": row.outcome,
            "score": row.score,
            "failed_rows": row.failed_rows,
        }
        for row in rows
    }


def failed(conn: sa.Connection, ids: list[int]) -> dict[int, list[str]]:
    """Names of the checks that failed or could not be evaluated, of each of these run streams."""
    found: dict[int, list[str]] = {each: [] for each in ids}
    table = check_result
    for row in conn.execute(
        sa.select(table.c.run_stream_id, table.c.name)
        .where(
            table.c.run_stream_id.in_(ids),
            table.c.outcome.in_([Outcome.FAIL.value, Outcome.ERROR.value]),
        )
        .order_by(table.c.name)
    ):
        found[row.run_stream_id].append(row.name)
    return found


def measured(
    conn: sa.Connection,
    connection: str,
    key: StreamKey,
    before: int,
    *,
    full_refresh: bool,
    limit: int,
) -> list[dict[tuple[str, str], float]]:
    """What the runs before the run stream ``before`` measured, by column and metric, the last one
    first: of those whose rows were promoted, and that read all of the stream, or not all, alike."""
    earlier = (
        sa.select(run_stream.c.id)
        .join(run, run.c.id == run_stream.c.run_id)
        .join(stage_run, stage_run.c.run_stream_id == run_stream.c.id)
        .where(
            run.c.connection == connection,
            run_stream.c.stream == key.name,
            run_stream.c.namespace == (key.namespace or ""),
            run_stream.c.id < before,
            run_stream.c.configured["refreshes"].as_boolean() == full_refresh,
            stage_run.c.stage == Stage.QUALITY.value,
            stage_run.c.status == Status.SUCCEEDED.value,
            sa.exists().where(column_metric.c.run_stream_id == run_stream.c.id),
        )
        .order_by(run_stream.c.id.desc())
        .limit(limit)
    )
    return list(metrics(conn, list(conn.execute(earlier).scalars())).values())


def metrics(conn: sa.Connection, ids: list[int]) -> dict[int, dict[tuple[str, str], float]]:
    """What each of these run streams measured, by column ("" for the rows) and metric."""
    found: dict[int, dict[tuple[str, str], float]] = {each: {} for each in ids}
    table = column_metric
    for row in conn.execute(sa.select(table).where(table.c.run_stream_id.in_(ids))):
        found[row.run_stream_id][row.column_name, row.metric] = row.value
    return found


def all_set_aside(conn: sa.Connection, ids: list[int]) -> dict[int, dict[str, int]]:
    """Rows that each check set aside, of each of these run streams; one row may be named by
    several."""
    found: dict[int, dict[str, int]] = {each: {} for each in ids}
    table = quarantine
    for row in conn.execute(
        sa.select(table).where(table.c.run_stream_id.in_(ids)).order_by(table.c.check_name)
    ):
        found[row.run_stream_id][row.check_name] = row.rows
    return found
