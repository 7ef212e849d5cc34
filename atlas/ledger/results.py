"""What the stages found: verdicts, check results, scores, quarantined rows, lineage events.

A repeated attempt replaces what an earlier one wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from atlas.ledger import runs
from atlas.ledger.tables import (
    check_result,
    column_metric,
    finding,
    lineage_event,
    quality_score,
    quarantine,
    run,
    run_stream,
    stage_run,
)
from atlas.model.checks import CheckResult
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stage import Stage, Status
from atlas.model.stream import StreamKey


def put_findings(conn: sa.Connection, run_stream_id: int, verdicts: list[Verdict]) -> None:
    """The verdicts on the columns of one stream of a run."""
    _replace(
        conn,
        finding,
        run_stream_id,
        [
            {
                "column_name": verdict.column,
                "path": verdict.path,
                "entity_type": verdict.entity_type,
                "score": verdict.score,
                "scope": verdict.scope.value,
                "operator": verdict.operator.value,
                "share": verdict.share,
                "evidence": verdict.evidence,
            }
            for verdict in verdicts
        ],
    )


def findings_before(
    conn: sa.Connection, connection: str, key: StreamKey, run_stream_id: int
) -> list[Verdict] | None:
    """The verdicts of the last scan of this stream before this one; None: it is the first."""
    scan = last_scan(conn, connection, key, before=run_stream_id)
    return None if scan is None else findings(conn, scan.run_stream_id)


class Scan(NamedTuple):
    """A scan for personal data that was done."""

    run_stream_id: int
    run_id: str
    at: datetime


def last_scan(
    conn: sa.Connection,
    connection: str,
    key: StreamKey,
    before: int | None = None,
    *,
    reprocessed: bool = True,
) -> Scan | None:
    """The last scan of a stream, or the last before that of run stream ``before``.

    Args:
        reprocessed: whether one of a few rows that were taken up again counts: of the others it
            says nothing.
    """
    query = (
        sa.select(run_stream.c.id, run_stream.c.run_id, stage_run.c.finished_at)
        .join(run, run.c.id == run_stream.c.run_id)
        .join(stage_run, stage_run.c.run_stream_id == run_stream.c.id)
        .where(
            run.c.connection == connection,
            run_stream.c.stream == key.name,
            run_stream.c.namespace == (key.namespace or ""),
            stage_run.c.stage == Stage.PII.value,
            stage_run.c.status == Status.SUCCEEDED.value,
        )
        .order_by(run_stream.c.id.desc())
        .limit(1)
    )
    if before is not None:
        query = query.where(run_stream.c.id < before)
    if not reprocessed:
        query = query.where(run.c.trigger != runs.REPROCESS)
    row = conn.execute(query).one_or_none()
    return None if row is None else Scan(*row)


_FINDINGS = (
    sa.select(finding)
    .where(finding.c.run_stream_id == sa.bindparam("run_stream_id"))
    .order_by(finding.c.id)
)


def findings(conn: sa.Connection, run_stream_id: int) -> list[Verdict]:
    """What :func:`put_findings` was given."""
    return [_verdict(row) for row in conn.execute(_FINDINGS, {"run_stream_id": run_stream_id})]


def findings_of(conn: sa.Connection, ids: list[int], *, limit: int) -> dict[int, list[Verdict]]:
    """The same of each of these run streams, up to ``limit`` verdicts in all."""
    found: dict[int, list[Verdict]] = {each: [] for each in ids}
    query = sa.select(finding).where(finding.c.run_stream_id.in_(ids))
    for row in conn.execute(query.order_by(finding.c.id).limit(limit)):
        found[row.run_stream_id].append(_verdict(row))
    return found


def kinds_found(conn: sa.Connection, ids: list[int]) -> dict[int, dict[str, list[tuple[str, int]]]]:
    """What each of these run streams was found to hold: by entity type, in how many places which
    operator is applied to it, the most first."""
    query = (
        sa.select(
            finding.c.run_stream_id,
            finding.c.entity_type,
            finding.c.operator,
            sa.func.count().label("places"),
        )
        .where(finding.c.run_stream_id.in_(ids))
        .group_by(finding.c.run_stream_id, finding.c.entity_type, finding.c.operator)
        .order_by(sa.desc("places"), finding.c.operator)
    )
    found: dict[int, dict[str, list[tuple[str, int]]]] = {each: {} for each in ids}
    for row in conn.execute(query):
        found[row.run_stream_id].setdefault(row.entity_type, []).append((row.operator, row.places))
    return found


def _verdict(row: sa.Row[Any]) -> Verdict:
    return Verdict(
        column=row.column_name,
        path=row.path,
        entity_type=row.entity_type,
        score=row.score,
        scope=Scope(row.scope),
        operator=Operator(row.operator),
        share=row.share,
        evidence=row.evidence,
    )


def put_checks(
    conn: sa.Connection,
    run_stream_id: int,
    results: list[CheckResult],
    scores: Mapping[str, float],
    set_aside: Mapping[str, int],
) -> None:
    """The results of a stream's checks, the scores by dimension (and "overall"), and how many
    rows each check sets aside."""
    _replace(
        conn,
        check_result,
        run_stream_id,
        [
            {
                "name": result.name,
                "column_name": result.column,
                "dimension": result.dimension.value,
                "outcome": result.outcome.value,
                "score": result.score,
                "failed_rows": result.failed_rows,
                "definition": result.definition,
                "gate": result.gate.value,
                "detail": result.detail,
            }
            for result in results
        ],
    )
    _replace(
        conn,
        quality_score,
        run_stream_id,
        [{"dimension": dimension, "score": score} for dimension, score in scores.items()],
    )
    _replace(
        conn,
        quarantine,
        run_stream_id,
        [{"check_name": check, "rows": rows} for check, rows in set_aside.items() if rows],
    )


def put_measured(
    conn: sa.Connection, run_stream_id: int, measured: Mapping[tuple[str, str], float]
) -> None:
    """What the checks of a stream measured, by column and metric."""
    _replace(
        conn,
        column_metric,
        run_stream_id,
        [
            {"column_name": column, "metric": metric, "value": value}
            for (column, metric), value in measured.items()
        ],
    )


def scores(conn: sa.Connection, run_stream_id: int) -> dict[str, float]:
    """Scores by dimension, and "overall"."""
    rows = conn.execute(
        sa.select(quality_score.c.dimension, quality_score.c.score).where(
            quality_score.c.run_stream_id == run_stream_id
        )
    )
    return {row.dimension: row.score for row in rows}


def _replace(
    conn: sa.Connection, table: sa.Table, run_stream_id: int, rows: list[dict[str, Any]]
) -> None:
    conn.execute(table.delete().where(table.c.run_stream_id == run_stream_id))
    if rows:
        conn.execute(table.insert(), [{"run_stream_id": run_stream_id, **row} for row in rows])


# As text, for SQLAlchemy compiles a statement with ON CONFLICT anew whenever it is executed.
_PUT_EVENT = sa.text(
    "INSERT INTO pipeline.lineage_event (run_id, key, event)"
    " VALUES (CAST(:run_id AS uuid), :key, :event) ON CONFLICT DO NOTHING"
).bindparams(sa.bindparam("event", type_=lineage_event.c.event.type))


def put_event(conn: sa.Connection, run_id: str, key: str, event: dict[str, Any]) -> bool:
    """A lineage event, to be delivered later; ``key`` makes it one however often it is put.

    Returns: whether it is new.
    """
    return bool(conn.execute(_PUT_EVENT, {"run_id": run_id, "key": key, "event": event}).rowcount)


_MOMENT_AFTER = sa.text(
    "SELECT clock_timestamp() AS at FROM pipeline.lineage_event WHERE key = :key"
)


def moment_after(conn: sa.Connection, key: str) -> datetime | None:
    """The time now, for an event that comes after the one under ``key``; None: that was not put."""
    moment: datetime | None = conn.execute(_MOMENT_AFTER, {"key": key}).scalar()
    return moment
