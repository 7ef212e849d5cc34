"""Pii: what is personal in the run's rows, and a typed copy of them with masked twins.

Two passes over the raw rows: the first looks at every distinct value and ends in verdicts on the
columns, the second masks by them. Nothing is promoted that has not been through both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache

import pyarrow as pa
import sqlalchemy as sa

from atlas.layers import explore as raw
from atlas.layers import staging
from atlas.ledger import backlog, results, runs
from atlas.ledger.database import cursor
from atlas.ledger.secrets import derive
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import Segment
from atlas.pii.masker import Masker
from atlas.pii.policy import MERGING, Policy, parse
from atlas.pii.scanner import Scanner
from atlas.settings import Settings, secret_key, settings
from atlas.stages.context import Context, load
from atlas.stages.work import Work

_SCAN_SECONDS = 600.0
"""How long a reading transaction may wait while a batch is scanned or masked."""


@cache
def _scanner(current: Settings) -> Scanner:
    # Models are loaded once in a process.
    return Scanner(current)


def warm_up() -> None:
    """Load the models of this process before the first stream comes."""
    _scanner(settings())


def run(work: Work) -> None:
    """Scan, decide, and write the staging table.

    Raises:
        TerminalError: a recognizer or the model failed; nothing is promoted.
    """
    context = load(work)
    stream = context.stream
    current = work.settings
    secret = secret_key(current)
    scanner = _scanner(current)
    policy = parse(context.connection.pii)
    keys = frozenset(context.key)
    with work.reading() as conn:
        parts = {context.run.id: runs.segments(conn, stream.id)}
        carried = backlog.Carried({}, replaces=False)
        if not stream.refreshes:  # what is read from its start brings everything anew
            carried = backlog.unpromoted(conn, context.run.connection, stream.key, stream.id)
        before = results.findings_before(conn, context.run.connection, stream.key, stream.id)
    # Older rows first: of two for one key, the later one wins where cursors do not decide.
    parts = {**carried.parts, **parts}
    study = scanner.study(list(context.columns), keys)
    with work.reading(idle=_SCAN_SECONDS) as conn:
        for _, batch in _batches(conn, context, parts, current.batch_rows):
            study.observe(batch)
    verdicts = _with_earlier(study.verdicts(policy), before, policy, keys)
    masker = Masker(scanner, list(context.columns), verdicts, keys, derive(secret, "tokens"))
    with work.transaction() as conn:
        staging.create(cursor(conn), stream.id, context.columns, masker.columns)
    rows = 0
    with work.reading(idle=_SCAN_SECONDS) as source:
        for run_id, batch in _batches(source, context, parts, current.batch_rows):
            # Masked before the transaction: a holder that freezes in it keeps its locks.
            masked = masker.mask(batch) if masker.columns else None
            with work.transaction() as conn:
                staging.hash_key(cursor(conn), derive(secret, "rows"))
                rows += staging.write(
                    cursor(conn),
                    stream.id,
                    context.tables,
                    run_id,
                    context.columns,
                    raw.segment_of(batch),
                    masked,
                )
    with work.transaction() as conn:
        results.put_findings(conn, stream.id, verdicts)
        runs.count(
            conn,
            stream.id,
            rows_carried=carried.rows,
            carries_refresh=carried.replaces,
        )
        work.finish(conn, rows=rows)


def _batches(
    conn: sa.Connection, context: Context, parts: dict[str, list[Segment]], batch_rows: int
) -> Iterator[tuple[str, pa.Table]]:
    """The rows of these ranges, by the run that brought them."""
    for run_id, segments in parts.items():
        for batch in raw.read_batches(
            cursor(conn), context.tables, run_id, segments, context.columns, batch_rows
        ):
            yield run_id, batch


def _with_earlier(
    verdicts: list[Verdict], before: list[Verdict], policy: Policy, keys: frozenset[str]
) -> list[Verdict]:
    """The verdicts of this run, and those of the run before on whole values that this run's rows
    gave no ground to make anew.

    A few rows are not enough to see that a column holds names: what it was found to be holds on,
    until a person says otherwise in the connection's policy.
    """
    known = {(item.column, item.path): item for item in verdicts if item.scope is Scope.VALUE}
    kept = []
    for item in before:
        if item.scope is not Scope.VALUE or (item.column, item.path) in known:
            continue
        operator = policy.operator(item.entity_type, item.column, item.path)
        if item.column in keys and operator in MERGING:
            operator = Operator.TOKENIZE
        evidence = {**item.evidence, "kept_from_run_before": True}
        kept.append(dataclasses.replace(item, operator=operator, evidence=evidence))
    whole = {(item.column, item.path) for item in kept}
    return [item for item in verdicts if (item.column, item.path) not in whole] + kept
