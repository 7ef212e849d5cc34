"""Quality: the checks of a stream on its staging table, the scores, and the gate."""

from __future__ import annotations

from functools import cache

from atlas.layers import marks, staging
from atlas.ledger import results
from atlas.ledger.database import cursor
from atlas.model.stage import Status
from atlas.quality.plan import plan
from atlas.quality.rules import failing
from atlas.quality.score import gate, overall, scores
from atlas.quality.soda import SodaHost
from atlas.settings import database_url
from atlas.stages import remask, reprocess
from atlas.stages.context import load
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
    checks = plan(
        stream.key.name,
        context.columns,
        context.key,
        context.cursor,
        on_failure=context.connection.on_failure,
        expected_rows=stream.rows,
        full_refresh=stream.refreshes,
        extra=context.connection.checks,
    )
    if context.run.reprocesses:
        checks = reprocess.of_rows(checks)
    work.when_lost(_host().stop)
    found = _host().scan(
        database_url(work.settings),
        "pipeline",
        staging.name(stream.id),
        checks,
        work.settings.quality_timeout,
    )
    by_dimension = scores(found)
    decision = gate(checks, found)
    with work.transaction() as conn:
        set_aside = marks.mark(
            cursor(conn),
            stream.id,
            context.tables,
            context.columns,
            stream.configured.primary_key,
            [(rule.check, failing(rule)) for rule in decision.rules],
            overridable=reprocess.overridable(checks) if context.run.reprocesses else (),
        )
        stored = {dimension.value: score for dimension, score in by_dimension.items()}
        whole = overall(by_dimension)
        if whole is not None:
            stored["overall"] = whole
        results.put_checks(conn, stream.id, found, stored, set_aside)
        work.finish(
            conn,
            rows=stream.rows,
            status=Status.BLOCKED if decision.blocked else Status.SUCCEEDED,
            error=decision.reason,
            detail={"checks": tuple(found), "on_failure": context.connection.on_failure},
        )
