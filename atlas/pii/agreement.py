"""Verdicts from several sides made one: of this run and the one before, of rows with a raw row and
without, and what people say of them. None may hide that another found something personal.
"""

from __future__ import annotations

import dataclasses

from atlas.model.personal import Operator, Override, Scope, Verdict
from atlas.pii.overrides import overridden
from atlas.pii.policy import MERGING, Policy


def agreed(
    now: list[Verdict],
    before: list[Verdict],
    words: tuple[Override, ...],
    policy: Policy,
    keys: frozenset[str],
) -> list[Verdict]:
    """What this run found, what holds on of the run before, and what people say of both."""
    # What people deny must not hold on, nor keep this run's own verdicts out.
    before = overridden(before, words, policy, keys)
    return overridden(with_earlier(now, before, policy, keys), words, policy, keys)


def with_earlier(
    verdicts: list[Verdict], before: list[Verdict], policy: Policy, keys: frozenset[str]
) -> list[Verdict]:
    """The verdicts of this run, and those of the run before on whole values that this run's rows
    gave no ground to make anew.

    A few rows are not enough to see that a column holds names: what it was found to be holds on,
    until a person says otherwise in the connection's policy.
    """
    known = _replaced(verdicts)
    there = {
        (item.column, item.path, item.entity_type) for item in verdicts if item.scope is Scope.VALUE
    }
    kept = []
    for item in before:
        if item.scope is not Scope.VALUE or (item.column, item.path) in known:
            continue
        if (item.column, item.path, item.entity_type) in there:
            continue
        operator = policy.operator(item.entity_type, item.column, item.path)
        if item.column in keys and operator in MERGING:
            operator = Operator.TOKENIZE
        evidence = {**item.evidence, "kept_from_run_before": True}
        kept.append(dataclasses.replace(item, operator=operator, evidence=evidence))
    # What is kept as it is hides nothing else.
    whole = _replaced(kept)
    return [item for item in verdicts if (item.column, item.path) not in whole] + kept


def both(raw: list[Verdict], apart: list[Verdict]) -> list[Verdict]:
    """The verdicts on raw rows, with those on rows without one that say more: either must be able
    to be told by itself that a column is personal. What is kept as it is hides nothing else."""
    whole = _replaced(raw)
    more = [
        item
        for item in apart
        if item.scope is Scope.VALUE and (item.column, item.path) not in whole
    ]
    whole |= _replaced(more)
    known = {(item.column, item.path, item.entity_type) for item in raw}
    spans = [
        item
        for item in apart
        if item.scope is Scope.SPAN
        and (item.column, item.path) not in whole
        and (item.column, item.path, item.entity_type) not in known
    ]
    kept = [
        item for item in raw if item.scope is Scope.VALUE or (item.column, item.path) not in whole
    ]
    return kept + more + spans


def _replaced(verdicts: list[Verdict]) -> set[tuple[str, str]]:
    """Where nothing is left of a value that could be searched for spans."""
    return {
        (item.column, item.path)
        for item in verdicts
        if item.scope is Scope.VALUE and item.operator is not Operator.KEEP
    }
