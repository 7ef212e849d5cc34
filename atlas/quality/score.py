"""Scores of the dimensions, and the gate.

A check's score is the share of rows that satisfy it, 1 or 0 where rows cannot be counted, and 0
when it could not be evaluated. A dimension's is the mean of its checks', the overall one the mean
of the dimensions', both weighted. A dimension without a check has no score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atlas.model.checks import CheckResult, Dimension, OnFailure, Outcome, RowRule
from atlas.quality.check import Plan


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says of a run's rows.

    Attributes:
        blocked: whether nothing may be promoted.
        rules: the rules whose rows are set aside.
        rows: ids of further rows that are set aside, by the name of the check.
        blocking: names of the checks that block.
        failed: names of all checks that failed or could not be evaluated.
        warned: names of the checks that warn.
        reason: one line for the user when blocked, else None.
    """

    blocked: bool
    rules: tuple[RowRule, ...]
    rows: Mapping[str, tuple[int, ...]]
    blocking: tuple[str, ...]
    failed: tuple[str, ...]
    warned: tuple[str, ...]
    reason: str | None


def scores(
    results: Sequence[CheckResult], weights: Mapping[str, float] | None = None
) -> dict[Dimension, float]:
    """Score of each dimension that has a result.

    Args:
        weights: of checks, by name; 1 where none is given. A dimension whose checks weigh nothing
            has no score.
    """
    found: dict[Dimension, float] = {}
    for dimension in Dimension:
        own = [
            (result.score, (weights or {}).get(result.name, 1.0))
            for result in results
            if result.dimension is dimension
        ]
        score = _mean(own)
        if score is not None:
            found[dimension] = score
    return found


def overall(
    dimensions: Mapping[Dimension, float], weights: Mapping[Dimension, float] | None = None
) -> float | None:
    """The overall score, or None when no dimension has one."""
    return _mean(
        [(score, (weights or {}).get(dimension, 1.0)) for dimension, score in dimensions.items()]
    )


def _mean(weighted: Sequence[tuple[float, float]]) -> float | None:
    total = sum(weight for _, weight in weighted)
    if total <= 0:
        return None
    # The sum's rounding must not lift a score above 1.
    return min(1.0, sum(score * weight for score, weight in weighted) / total)


def gate(plan: Plan, results: Sequence[CheckResult]) -> Decision:
    """What may be promoted, after ``results`` of the checks of ``plan``.

    A check that failed, could not be evaluated, or has no result counts as failed. Then:

    ============ ==================== ============================== ====================
    its effect   gate: block          gate: quarantine               gate: warn
    ============ ==================== ============================== ====================
    set_aside    blocked              its rows set aside             (refused)
    block        blocked              (refused)                      (refused)
    gate         blocked              its rows set aside; blocked,   promoted
                                      when it can name none
    ============ ==================== ============================== ====================

    The gate is the one that the user gave the check, else the stream's ``on_failure``; without a
    word on it, set_aside is quarantine.
    Blocked when it can name none: to promote all the rows would promote those that it found wrong.
    A check of the user's own that could not be evaluated names none: what its words mean is what
    Soda makes of them, and a rule that PostgreSQL refuses too would fail the run without its name.
    A check that may do no harm says ``warn:``; its outcome ``warn`` stops nothing.
    """
    by_name = {result.name: result for result in results}
    rules: list[RowRule] = []
    rows: dict[str, tuple[int, ...]] = {}
    blocking: list[str] = []
    failed: list[str] = []
    warned: list[str] = []
    for check in plan.checks:
        result = by_name.get(check.name)
        outcome = Outcome.ERROR if result is None else result.outcome
        if outcome is Outcome.WARN:
            warned.append(check.name)
        if outcome in (Outcome.PASS, Outcome.WARN):
            continue
        failed.append(check.name)
        unknown = outcome is Outcome.ERROR and check.line is not None
        match plan.gate(check):
            case OnFailure.QUARANTINE if unknown:
                blocking.append(check.name)
            case OnFailure.QUARANTINE if check.rule is not None:
                rules.append(check.rule)
            case OnFailure.QUARANTINE if result is not None and result.rows is not None:
                rows[check.name] = result.rows
            case OnFailure.WARN:
                warned.append(check.name)
            case _:
                blocking.append(check.name)
    return Decision(
        blocked=bool(blocking),
        rules=tuple(rules),
        rows=rows,
        blocking=tuple(blocking),
        failed=tuple(failed),
        warned=tuple(warned),
        reason=_reason(blocking, by_name),
    )


def too_many(set_aside: int, rows: int, share: float) -> str | None:
    """Why nothing may be promoted of a run that would set ``set_aside`` of its ``rows`` aside,
    where at most ``share`` of them may be; None: it may."""
    if set_aside <= share * rows:
        return None
    return (
        f"blocked by quality: {set_aside} of {rows} rows would be set aside, and "
        f"max_quarantined is {share:g}"
    )


def _reason(blocking: Sequence[str], results: Mapping[str, CheckResult]) -> str | None:
    if not blocking:
        return None
    told = []
    for name in blocking[:3]:
        result = results.get(name)
        if result is None or result.outcome is Outcome.ERROR:
            told.append(f"{name} (could not be evaluated)")
        elif result.failed_rows:
            told.append(f"{name} ({result.failed_rows} of {result.detail.get('rows')} rows)")
        else:
            told.append(name)
    more = f" and {len(blocking) - 3} more" if len(blocking) > 3 else ""
    return f"blocked by quality: {', '.join(told)}{more}"
