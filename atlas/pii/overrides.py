"""What people say of columns, laid over what a scan found. Their word wins, and is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from atlas.model.personal import Operator, Override, Says, Scope, Verdict
from atlas.pii.policy import MERGING, Policy


def searched(overrides: Iterable[Override]) -> frozenset[str]:
    """Columns of which every value must be searched, however clear it seems what they are: what is
    not masked whole after all must have been read for what else is in it."""
    return frozenset(item.column for item in overrides if item.says is Says.IS_NOT)


def denied(overrides: Sequence[Override]) -> Callable[[str, str], frozenset[str]]:
    """Entity types that a column or leaf is not, by people's word, as a study asks for them."""

    def of(column: str, path: str) -> frozenset[str]:
        return frozenset(
            item.entity_type
            for item in overrides
            if item.says is Says.IS_NOT
            and item.entity_type is not None
            and (item.column, item.path) in ((column, ""), (column, path))
        )

    return of


def asked_for(policy: Policy, overrides: Iterable[Override]) -> Policy:
    """The policy with the operators that people ask for, which win over those of the connection."""
    asked = {
        item.column + item.path[1:]: item.operator
        for item in overrides
        if item.says is Says.OPERATOR and item.operator is not None
    }
    return dataclasses.replace(policy, columns={**policy.columns, **asked})


def overridden(
    verdicts: Sequence[Verdict],
    overrides: Iterable[Override],
    policy: Policy,
    keys: frozenset[str],
) -> list[Verdict]:
    """The verdicts as people have them; a word on a leaf comes after one on its column.

    Args:
        keys: names of the primary key's columns: an entity's operator that would make keys equal
            becomes ``tokenize``.

    """
    for item in sorted(overrides, key=lambda item: (item.column, len(item.path), item.path)):
        there = [verdict for verdict in verdicts if _covers(item, verdict)]
        rest = [verdict for verdict in verdicts if not _covers(item, verdict)]
        verdicts = rest + _said(item, there, policy, keys)
    return list(verdicts)


def _covers(item: Override, verdict: Verdict) -> bool:
    return verdict.column == item.column and item.path in ("", verdict.path)


def _said(
    item: Override, there: list[Verdict], policy: Policy, keys: frozenset[str]
) -> list[Verdict]:
    match item.says:
        case Says.IS_NOT:
            return [
                verdict
                for verdict in there
                if item.entity_type is not None and verdict.entity_type != item.entity_type
            ]
        case Says.IS:
            assert item.entity_type is not None  # noqa: S101 - the table says so
            operator = policy.operator(item.entity_type, item.column, item.path)
            if item.column in keys and operator in MERGING:
                operator = Operator.TOKENIZE
            best = next((it for it in there if it.entity_type == item.entity_type), None)
            # What is kept as it is hides nothing else.
            rest = [it for it in there if operator is Operator.KEEP and it is not best]
            return [_whole(item, item.entity_type, operator, best), *rest]
        case Says.OPERATOR:
            # Its operator came with the policy.
            return [
                dataclasses.replace(it, evidence=it.evidence | {"override": _shown(item)})
                for it in there
            ]
        case Says.WITHDRAWN:
            return there


def _whole(item: Override, entity_type: str, operator: Operator, found: Verdict | None) -> Verdict:
    return Verdict(
        column=item.column,
        path=item.path,
        entity_type=entity_type,
        score=1.0,
        scope=Scope.VALUE,
        operator=operator,
        share=0.0 if found is None else found.share,
        evidence=({} if found is None else found.evidence) | {"override": _shown(item)},
    )


def _shown(item: Override) -> dict[str, Any]:
    return {
        "says": item.says.value,
        "entity_type": item.entity_type,
        "operator": None if item.operator is None else item.operator.value,
        "actor": item.actor,
        "why": item.why,
        "at": item.at.isoformat(),
    }
