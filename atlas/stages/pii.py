"""Pii: what is personal in the run's rows, and a typed copy of them with masked twins.

Two passes over the raw rows: the first looks at every distinct value and ends in verdicts on the
columns, the second masks by them. Nothing is promoted that has not been through both.

A stream of many rows is cut into parts, which any number of workers scan and mask side by side:
the stage studies the first part, whose evidence the others begin with, is parked until the rest is
studied, makes the verdicts, and is parked again until all is masked. What a part's evidence is
does not depend on who gathers it, nor on where the source's checkpoints fell
(:mod:`atlas.stages.pieces`). So parts are studied while their source is still being read, and the
stage finds most of that done when it begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from atlas.layers import erased, filling, renewed, staging
from atlas.layers import explore as raw
from atlas.ledger import (
    backlog,
    claims,
    erasures,
    outbox,
    parts,
    policies,
    results,
    runs,
    verdict_changes,
)
from atlas.ledger.backlog import Carried
from atlas.ledger.database import cursor
from atlas.ledger.parts import PartStatus
from atlas.ledger.secrets import derive
from atlas.model.personal import Verdict
from atlas.model.stream import Segment
from atlas.pii.agreement import agreed, both
from atlas.pii.masker import Masker
from atlas.pii.overrides import asked_for, denied, searched
from atlas.pii.policy import Policy, asked, named, over, unknown
from atlas.pii.scanner import Scanner
from atlas.pii.sealing import Sealing
from atlas.pii.study import Study
from atlas.settings import Settings, settings
from atlas.stages import pieces, remask
from atlas.stages.context import Context, load
from atlas.stages.pieces import Pieces
from atlas.stages.work import Held, PartWork, Work


@cache
def _scanner(current: Settings) -> Scanner:
    # Models are loaded once in a process.
    return Scanner(current)


def warm_up() -> None:
    """Load the models of this process before the first stream comes."""
    _scanner(settings())
    # pyarrow imports pandas, where that is installed, when it makes its first array of a list.
    pa.array([], pa.string())


def run(work: Work) -> None:
    """Scan, decide, and write the staging table; or park the stage until its parts are done.

    Raises:
        TerminalError: a recognizer or the model failed; nothing is promoted.
    """
    context = load(work)
    stream = context.stream
    # One that was parked has planned all there is, or parts of few rows.
    if not work.claim.resumed and not _planned(work, context):
        return
    with work.reading() as conn:
        first = parts.of_stream(conn, stream.id)[0]
    if first.status is PartStatus.TO_STUDY:
        study = _study(work, context)
        study.observe(_read(work, context, first.run_id, first.segment))
        with work.transaction() as conn:
            # The stage's row first, as whoever ends the part ahead of it.
            claims.guard(conn, work.claim)
            parts.own(conn, first, study.evidence(), work.claim.holder)
            claims.progress(conn, work.claim)
    if _parked(work, stream.id, PartStatus.TO_STUDY):
        return
    with work.reading() as conn:
        undecided = parts.count(conn, stream.id, PartStatus.STUDIED)
    if undecided:
        _decide(work, context)
    if _parked(work, stream.id, PartStatus.TO_MASK):
        return
    if context.run.remasks:
        _orphans(work, context)
    with work.transaction() as conn:
        rows = sum(piece.rows for _, piece in parts.planned(conn, stream.id))
        _withhold(conn, context)
        work.finish(conn, rows=rows)


def run_part(work: PartWork) -> None:
    """Study or mask the rows of one part.

    Raises:
        TerminalError: a recognizer or the model failed; nothing is promoted.
    """
    context = load(work)
    part, settings = work.part, work.settings
    if part.status is PartStatus.TO_STUDY:
        with work.reading() as conn:
            first = parts.first_evidence(conn, part.run_stream_id)
        study = _study(work, context, first if part.position else ())
        study.observe(_read(work, context, part.run_id, part.segment))
        with work.transaction() as conn:
            messages = parts.done(conn, part, evidence=study.evidence(), holder=work.holder)
    else:
        with work.reading() as conn:
            verdicts = results.findings(conn, part.run_stream_id)
        masker = _masker(settings, context, verdicts)
        # Masked before the transaction: a holder that freezes in it keeps its locks.
        masked = _masked(work, context, masker, part.run_id, part.segment)
        with work.transaction() as conn:
            _write(conn, context, part.run_id, part.segment, masked)
            _renew(conn, context, masker)
            messages = parts.done(conn, part)
    work.done = True
    work.wake(messages)


def _planned(work: Work, context: Context) -> bool:
    """Cut the stream into parts, as far as that is not done; False: it has so few rows that the
    stage has ended at once."""
    stream, most, anew = context.stream, work.settings.batch_rows, context.run.remasks
    with work.reading() as conn:
        if anew:
            carried = Carried({}, replaces=False)
            ranges = {context.run.id: raw.whole(cursor(conn), context.tables)}
        else:
            # What earlier syncs left is for the next one.
            carried = (
                Carried({}, replaces=False)
                if context.run.reprocesses
                else pieces.carried(conn, context.run.connection, stream)
            )
            ranges = {**carried.parts, context.run.id: runs.ranges(conn, stream.id)}
        planned = parts.planned(conn, stream.id)
        if sum(part.rows for found in ranges.values() for part in found) <= most:
            whole = pieces.cut(conn, context.tables, ranges, most, anew=anew)
            more: Pieces = []
        else:
            more = pieces.cut_on(conn, context.tables, ranges, most, planned, anew=anew)
            whole = planned + more
    if len(whole) <= 1:
        _at_once(work, context, carried, whole)
        return False
    with work.transaction() as conn:
        claims.guard(conn, work.claim)  # see run: the stage's row before its parts'
        parts.begin(conn, stream.id, _scanner(work.settings).fingerprint)
        if whole != planned + more:  # the source took back so much that few are left
            parts.plan(conn, stream.id, whole)
        else:
            parts.extend(conn, stream.id, more)
        _count(conn, context, carried)
    return True


def _at_once(work: Work, context: Context, carried: Carried, whole: Pieces) -> None:
    """Few rows need no parts: they are studied and masked here."""
    study = _study(work, context)
    batches = [(run_id, piece, _read(work, context, run_id, piece)) for run_id, piece in whole]
    for _, _, batch in batches:
        study.observe(batch)
    verdicts = _verdicts(work, context, study)
    masker = _masker(work.settings, context, verdicts)
    masked = [_masked(work, context, masker, *each) for each in batches]
    with work.transaction() as conn:
        _create(conn, context, masker)
        _renew(conn, context, masker)
        for (run_id, piece, _), twins in zip(batches, masked, strict=True):
            _write(conn, context, run_id, piece, twins)
        _keep(conn, context, verdicts)
        if not context.run.remasks:
            _count(conn, context, carried)
            _withhold(conn, context)
            work.finish(conn, rows=sum(piece.rows for _, piece in whole))
    if context.run.remasks:
        _orphans(work, context)
        with work.transaction() as conn:
            work.finish(conn, rows=sum(piece.rows for _, piece in whole))


def _orphans(work: Work, context: Context) -> None:
    """In a run that masks anew: what stands in rows whose raw row is gone."""
    with work.reading() as conn:
        found = results.findings(conn, context.stream.id)

    def decided(study: Study) -> list[Verdict]:
        verdicts = both(found, _verdicts(work, context, study))
        remask.refuse_two_keys(found, verdicts, context)
        return verdicts

    def masker(verdicts: list[Verdict]) -> Masker:
        return _masker(work.settings, context, verdicts, again=True)

    remask.mask_orphans(work, context, _study(work, context), decided, masker)


def _decide(work: Work, context: Context) -> None:
    """All parts are studied: make the verdicts, and the staging table by them."""
    study = _study(work, context)
    with work.reading() as conn:
        for part in parts.of_stream(conn, context.stream.id):
            study.merge(part.evidence or ())
    verdicts = _verdicts(work, context, study)
    masker = _masker(work.settings, context, verdicts)
    with work.transaction() as conn:
        _create(conn, context, masker)
        _keep(conn, context, verdicts)
        parts.to_mask(conn, context.stream.id)


def _parked(work: Work, run_stream_id: int, status: PartStatus) -> bool:
    """Park the stage if parts wait for others to work on them, or are being worked on."""
    with work.transaction() as conn:
        # Under the stage's lock no part ends: what is counted holds.
        claims.guard(conn, work.claim)
        left = parts.count(conn, run_stream_id, status)
        if not left:
            return False
        message = outbox.put(conn, "scan", str(run_stream_id))
        work.park(conn, left)
    work.wake([message])
    return True


def _read(work: Held, context: Context, run_id: str, piece: Segment) -> pa.Table:
    reader = _reader(context, run_id)
    with work.reading() as conn:
        return raw.read(cursor(conn), context.tables, reader, piece, context.columns)


def _masked(
    work: Held,
    context: Context,
    masker: Masker,
    run_id: str,
    piece: Segment,
    batch: pa.Table | None = None,
) -> pa.Table | None:
    """The masked columns of a piece, if there are any.

    Args:
        batch: its rows as they were sent, if they are at hand.
    """
    if not masker.columns:
        return None
    if batch is None or masker.as_typed:
        what = tuple(each for each in context.columns if each.name in masker.columns)
        with work.reading() as conn:
            reader = _reader(context, run_id)
            batch = raw.read(cursor(conn), context.tables, reader, piece, what, masker.as_typed)
    return masker.mask(batch)


def _reader(context: Context, run_id: str) -> str | None:
    """The run that read the rows of a piece; None: any, where all that stand are masked anew."""
    return None if context.run.remasks else run_id


def _write(
    conn: sa.Connection,
    context: Context,
    run_id: str,
    piece: Segment,
    masked: pa.Table | None,
) -> None:
    cur = cursor(conn)
    filling.hash_key(cur, derive(context.identity, "rows"))
    filling.write(
        cur,
        context.stream.id,
        context.tables,
        _reader(context, run_id),
        context.columns,
        piece,
        masked,
    )


def _create(conn: sa.Connection, context: Context, masker: Masker) -> None:
    cur = cursor(conn)
    staging.create(cur, context.stream.id, context.columns, masker.columns)
    if context.former_tokens is not None:
        renewed.create(cur, context.stream.id)


def _renew(conn: sa.Connection, context: Context, masker: Masker) -> None:
    """Write down which tokens took the place of which."""
    if context.former_tokens is not None:
        renewed.put(cursor(conn), context.stream.id, masker.renewed)


def _count(conn: sa.Connection, context: Context, carried: Carried) -> None:
    runs.count(conn, context.stream.id, rows_carried=carried.rows, carries_refresh=carried.replaces)


def _withhold(conn: sa.Connection, context: Context) -> None:
    """What was erased, and is sent again as it was, goes no further and does not stay. A run that
    masks anew brings nothing."""
    stream, cur = context.stream, cursor(conn)
    if context.run.remasks or not erased.there(cur, context.run.connection, stream.key):
        return
    filling.hash_key(cur, derive(context.identity, "rows"))
    where = (cur, context.run.connection, context.tables, stream.id, context.columns)
    same = (stream.configured.primary_key, stream.configured.cursor_field)
    behind = backlog.left_behind(conn, context.run.connection, stream.key, stream.id)
    erasures.discount(conn, stream.key, erased.sweep(*where, *same, behind))
    gone = erased.withhold(*where, *same)
    erasures.discount(conn, stream.key, gone)
    erasures.discount_carried(conn, stream.id, sum(run_id != context.run.id for _, run_id in gone))


def _masker(
    settings: Settings, context: Context, verdicts: list[Verdict], *, again: bool = False
) -> Masker:
    return Masker(
        _scanner(settings),
        context.columns,
        verdicts,
        frozenset(context.key),
        context.tokens,
        Sealing(derive(context.identity, "encrypt")),
        again=again,
        former=None if again else context.former_tokens,
    )


def _study(work: Held, context: Context, first: Sequence[Mapping[str, Any]] = ()) -> Study:
    with work.reading() as conn:
        policy = _policy(conn, context)
    return _scanner(work.settings).study(
        context.columns,
        frozenset(context.key),
        first,
        searched(context.overrides),
        policy.kept,
        context.tokens,
    )


def _verdicts(work: Work, context: Context, study: Study) -> list[Verdict]:
    stream, keys = context.stream, frozenset(context.key)
    with work.reading() as conn:
        before = results.findings_before(conn, context.run.connection, stream.key, stream.id) or []
        policy = asked_for(_policy(conn, context), context.overrides)
    now = study.verdicts(policy, denied(context.overrides))
    return agreed(now, before, context.overrides, policy, keys)


def _policy(conn: sa.Connection, context: Context) -> Policy:
    """The policy as it was when the run was made: its parts and attempts mask alike."""
    kept = context.run.policy
    if kept is not None:
        there = {key: kept[key] for key in ("entities", "columns")}
        return named(kept["name"], there, stored=True)
    # Nobody wrote it down: the run is from before that was done, or there is no such policy.
    name = asked(context.connection.pii)
    stored = policies.get(conn, name)
    if stored is None and name != policies.DEFAULT:
        raise unknown(name, [policies.DEFAULT, *(each["name"] for each in policies.stored(conn))])
    there = {"entities": stored["entities"], "columns": stored["columns"]} if stored else {}
    return over(named(name, there, stored=True), context.connection.pii, stored=True)


def _keep(conn: sa.Connection, context: Context, verdicts: list[Verdict]) -> None:
    stream = context.stream
    results.put_findings(conn, stream.id, verdicts)
    before = results.findings_before(conn, context.run.connection, stream.key, stream.id)
    if before is not None:
        verdict_changes.put(conn, stream.id, before, verdicts)
