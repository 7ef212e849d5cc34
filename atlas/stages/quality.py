"""Quality: the checks of a stream on its staging table, the scores, and the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from psycopg2 import extensions

from atlas.layers import marks, staging
from atlas.ledger import checks, results
from atlas.ledger.database import cursor
from atlas.lineage.datasets import ColumnCounts
from atlas.model.checks import CheckResult
from atlas.model.personal import Operator
from atlas.model.stage import Status
from atlas.quality.check import Plan
from atlas.quality.plan import plan
from atlas.quality.rules import failing
from atlas.quality.score import gate, overall, scores, too_many
from atlas.quality.soda import MOST_TOLD, SodaHost
from atlas.quality.usual import MOST_RUNS
from atlas.settings import database_url
from atlas.stages import remask, reprocess
from atlas.stages.context import Context, load
from atlas.stages.work import Work


@cache
def _host() -> SodaHost:
    # Soda takes seconds to import: one warm process a worker.
    return SodaHost()


def run(work: Work) -> None:
    """Scan, score, mark the rows to set aside, and let the gate decide.

    A gate that closes ends the stream ``blocked``: the reason names the checks.

    Raises:
        TransientError: the scan could not be done. TerminalError: the checks are wrong.
    """
    context = load(work)
    if context.run.remasks:
        remask.nothing(work)
        return
    stream = context.stream
    asked = context.connection.quality.of(stream.key)
    again = context.run.reprocesses
    planned = plan(
        stream.key.name,
        context.columns,
        context.key,
        context.cursor,
        asked=asked,
        expected_rows=stream.rows,
        full_refresh=stream.refreshes,
        history=_history(work, context),
        masked=_masked(work, context),
    )
    if again:
        planned = reprocess.of_rows(planned)
    work.when_lost(_host().stop)
    scanned = _host().scan(
        database_url(work.settings),
        "pipeline",
        staging.name(stream.id),
        planned,
        work.settings.quality_timeout,
    )
    found = scanned.results
    if again:
        planned, found = reprocess.that_name_rows(planned, found)
    by_dimension = scores(found)
    decision = gate(planned, found)
    with work.transaction() as conn:
        cur = cursor(conn)
        set_aside = marks.mark(
            cur,
            stream.id,
            context.tables,
            context.columns,
            stream.configured.primary_key,
            [(rule.check, failing(rule)) for rule in decision.rules],
            rows=decision.rows,
            overridable=reprocess.overridable(planned) if again else (),
        )
        reason = decision.reason
        if reason is None and asked.max_quarantined is not None and not again:
            marked = marks.count(cur, stream.id)
            reason = too_many(marked, stream.rows, asked.max_quarantined)
        stored = {dimension.value: score for dimension, score in by_dimension.items()}
        whole = overall(by_dimension, context.connection.quality.weights)
        if whole is not None:
            stored["overall"] = whole
        if reason is not None:
            set_aside = {}  # what is blocked sets nothing aside
        found = _with_rows(cur, stream.id, planned, found, set_aside)
        results.put_checks(conn, stream.id, found, stored, set_aside)
        if not again:  # some rows of one's choice are no measure of others
            results.put_measured(conn, stream.id, scanned.comparable())
        work.finish(
            conn,
            rows=stream.rows,
            status=Status.SUCCEEDED if reason is None else Status.BLOCKED,
            error=reason,
            detail={
                "checks": tuple(found),
                "metrics": {
                    column: ColumnCounts(nulls=nulls) for column, nulls in scanned.missing().items()
                },
            },
        )


def _history(work: Work, context: Context) -> list[dict[tuple[str, str], float]]:
    with work.engine.connect() as conn:
        return checks.measured(
            conn,
            context.connection.name,
            context.stream.key,
            context.stream.id,
            full_refresh=context.stream.refreshes,
            limit=MOST_RUNS,
        )


def _masked(work: Work, context: Context) -> set[str]:
    """Columns whose values ``pii`` has just said are to be masked."""
    with work.engine.connect() as conn:
        found = results.findings(conn, context.stream.id)
    return {verdict.column for verdict in found if verdict.operator is not Operator.KEEP}


def _with_rows(
    cur: extensions.cursor,
    run_stream_id: int,
    planned: Plan,
    found: Sequence[CheckResult],
    set_aside: Mapping[str, int],
) -> list[CheckResult]:
    """The results, those of checks that set no rows aside with the ids of some that fail them: who
    asks why a run is blocked, or what is warned of, is to find them."""
    rules = {
        check.name: check.rule
        for check, result in zip(planned.checks, found, strict=True)
        if check.rule is not None and result.failed_rows and check.name not in set_aside
    }
    ids = marks.some(
        cur, run_stream_id, [(name, failing(rule)) for name, rule in rules.items()], MOST_TOLD
    )
    told = []
    for result in found:
        rows = ids.get(result.name) or list(result.rows or ())[:MOST_TOLD]
        if rows and result.name not in set_aside:
            result = replace(result, detail=result.detail | {"ids": rows})
        told.append(result)
    return told
