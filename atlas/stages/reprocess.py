"""What the stages do otherwise in a run that takes rows of a quarantine up again.

It asks no source and leaves every state as it is. Explore writes the chosen rows once more, as the
run's own; from there on they go as any rows do. Quality looks at them one by one: what is said of a
table as a whole cannot be said of some of its rows. Chart takes the rows out of the quarantine in
the transaction that promotes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa

from atlas.errors import TerminalError
from atlas.layers import names, reprocess
from atlas.ledger import backlog, claims, outbox, runs
from atlas.ledger.database import cursor
from atlas.ledger.runs import Run
from atlas.model.checks import CheckResult, OnFailure, Outcome
from atlas.quality.check import Effect, Plan
from atlas.stages import ORDER
from atlas.stages.context import Context
from atlas.stages.work import Work


def plan(work: Work, this: Run) -> None:
    """Explore: the chosen rows as raw rows of this run, no newer than they were.

    No state covers them: what this run does not come to promote stays in the quarantine, and no
    later sync takes it along.

    Raises:
        TerminalError: none of them is left.
    """
    with work.transaction() as conn:
        # What another attempt has written cannot be written again.
        claims.guard(conn, work.claim)
        cur = cursor(conn)
        found = reprocess.stream(cur, this.id)
        part = None
        if found is not None:
            tables = names.tables(cur, this.connection, found[0])
            part = reprocess.bring(cur, tables, this.id)
        if found is None or part is None:
            raise TerminalError("none of the rows is there any more: nothing is to be reprocessed")
        promoted = {item.key: item.configured for item in backlog.promoted(conn, this.connection)}
        configured = promoted.get(found[0])
        if configured is None:
            raise TerminalError(
                f"no run of stream {found[0]} is known any more: sync it, then reprocess its rows"
            )
        runs.stamp_extraction(conn, this.id)
        runs.add_streams(conn, this.id, [(configured, False)], ORDER)
        (stream,) = runs.streams(conn, this.id)
        runs.add_segment(conn, stream.id, part, covered=False)
        runs.explored(conn, stream.id)
        message = outbox.put(conn, "stream", str(stream.id))
        work.finish(conn, rows=part.rows)
    work.wake([message])


def of_rows(checks: Plan) -> Plan:
    """Quality: the checks that may speak of rows, and those that nothing gets past. A row that
    fails again goes back, and holds back no other."""
    return dataclasses.replace(
        checks,
        checks=tuple(
            dataclasses.replace(each, gate=_back(each.gate))
            for each in checks.checks
            # Of a user's own check only Soda can say.
            if each.rule is not None or each.effect is Effect.BLOCK or each.line is not None
        ),
        on_failure=_back(checks.on_failure) or checks.on_failure,
        measures=(),
    )


def that_name_rows(checks: Plan, results: Sequence[CheckResult]) -> tuple[Plan, list[CheckResult]]:
    """Of the plan and its results only the checks that did speak of rows."""
    told = [
        (check, result)
        for check, result in zip(checks.checks, results, strict=True)
        if check.rule is not None
        or check.effect is Effect.BLOCK
        or result.rows is not None
        # One that could not be evaluated may have; it is not passed over.
        or result.outcome is Outcome.ERROR
    ]
    kept = dataclasses.replace(checks, checks=tuple(check for check, _ in told))
    return kept, [result for _, result in told]


def _back(gate: OnFailure | None) -> OnFailure | None:
    return OnFailure.QUARANTINE if gate is OnFailure.BLOCK else gate


def overridable(checks: Plan) -> frozenset[str]:
    """Names of the checks that a person may override for rows: not those without which a row has no
    place in its table."""
    return frozenset(
        each.name
        for each in checks.checks
        if each.effect is Effect.GATE and (each.rule is not None or each.line is not None)
    )


def drop_outdated(work: Work, conn: sa.Connection, context: Context) -> int:
    """Chart, before it promotes: rows that the source has spoken against since; how many."""
    stream = context.stream
    claims.guard(conn, work.claim)  # see plan
    return reprocess.drop_outdated(
        cursor(conn),
        context.tables,
        stream.id,
        context.columns,
        stream.configured.primary_key,
        backlog.replaced(conn, context.run.connection, stream.key),
    )
