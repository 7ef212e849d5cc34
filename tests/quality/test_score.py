"""Scores, and what the gate makes of outcomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atlas.model.checks import CheckResult, Dimension, OnFailure, Outcome, RowRule
from atlas.quality.check import Check, Effect, Plan
from atlas.quality.score import gate, overall, scores, too_many


def _result(name: str, score: float, outcome: Outcome = Outcome.PASS) -> CheckResult:
    failed = 5 if outcome is Outcome.FAIL else None
    dimension = Dimension(name.split(".")[0])
    return CheckResult(name, dimension, None, outcome, score, failed, "", detail={"rows": 10})


def _check(name: str, effect: Effect, *, rule: bool) -> Check:
    dimension = Dimension(name.split(".")[0])
    made = RowRule(name, "id", "not_null") if rule else None
    return Check(name, dimension, None, "", effect, made)


def test_a_dimension_s_score_is_the_weighted_mean_of_its_checks() -> None:
    results = [_result("validity.a", 1.0), _result("validity.b", 0.5), _result("accuracy.a", 0.0)]
    assert scores(results) == {Dimension.VALIDITY: 0.75, Dimension.ACCURACY: 0.0}
    weighed = scores(results, {"validity.b": 3.0})
    assert weighed[Dimension.VALIDITY] == pytest.approx(0.625)
    assert scores(results, {"accuracy.a": 0.0}) == {Dimension.VALIDITY: 0.75}


def test_what_was_not_checked_has_no_score() -> None:
    assert scores([]) == {}
    assert overall({}) is None
    assert overall({Dimension.VALIDITY: 0.5, Dimension.ACCURACY: 1.0}) == 0.75
    weights = {Dimension.ACCURACY: 3.0}
    assert overall({Dimension.VALIDITY: 0.5, Dimension.ACCURACY: 1.0}, weights) == 0.875


B, Q, W = OnFailure.BLOCK, OnFailure.QUARANTINE, OnFailure.WARN


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.ERROR, None])
@pytest.mark.parametrize(
    ("effect", "rule", "on_failure", "blocked", "aside"),
    [
        (Effect.GATE, True, B, True, False),
        (Effect.GATE, True, Q, False, True),
        (Effect.GATE, True, W, False, False),
        (Effect.GATE, False, B, True, False),
        (Effect.GATE, False, Q, True, False),
        (Effect.GATE, False, W, False, False),
        (Effect.SET_ASIDE, True, B, False, True),
        (Effect.SET_ASIDE, True, Q, False, True),
        (Effect.SET_ASIDE, True, W, False, True),
        (Effect.BLOCK, False, B, True, False),
        (Effect.BLOCK, False, Q, True, False),
        (Effect.BLOCK, False, W, True, False),
    ],
)
def test_the_gate(
    effect: Effect,
    rule: bool,
    on_failure: OnFailure,
    blocked: bool,
    aside: bool,
    outcome: Outcome | None,
) -> None:
    plan = Plan("users", (_check("validity.a", effect, rule=rule),), on_failure)
    results = [] if outcome is None else [_result("validity.a", 0.5, outcome)]
    decision = gate(plan, results)
    assert (decision.blocked, bool(decision.rules)) == (blocked, aside)
    assert decision.failed == ("validity.a",)
    assert (decision.reason is not None) == blocked


@pytest.mark.parametrize(
    ("effect", "given", "blocked", "aside"),
    [
        (Effect.GATE, B, True, False),
        (Effect.GATE, Q, False, True),
        (Effect.GATE, W, False, False),
        (Effect.SET_ASIDE, B, True, False),
        (Effect.SET_ASIDE, Q, False, True),
    ],
)
@pytest.mark.parametrize("on_failure", [B, Q, W])
def test_the_gate_of_a_check_wins(
    effect: Effect, given: OnFailure, on_failure: OnFailure, blocked: bool, aside: bool
) -> None:
    check = replace(_check("validity.a", effect, rule=True), gate=given)
    decision = gate(Plan("users", (check,), on_failure), [_result("validity.a", 0.5, Outcome.FAIL)])
    assert (decision.blocked, bool(decision.rules)) == (blocked, aside)


def test_rows_that_soda_names_are_set_aside() -> None:
    plan = Plan("users", (_check("validity.a", Effect.GATE, rule=False),), Q)
    result = replace(_result("validity.a", 0.5, Outcome.FAIL), rows=(7, 9))
    decision = gate(plan, [result])
    assert (decision.blocked, decision.rows) == (False, {"validity.a": (7, 9)})


def test_more_than_the_share_blocks() -> None:
    assert too_many(5, 10, 0.5) is None
    assert too_many(0, 0, 0.0) is None
    reason = too_many(6, 10, 0.5)
    assert reason is not None
    assert "6 of 10 rows" in reason


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.WARN])
@pytest.mark.parametrize("effect", list(Effect))
def test_a_check_that_passes_or_warns_stops_nothing(outcome: Outcome, effect: Effect) -> None:
    plan = Plan("users", (_check("validity.a", effect, rule=True),), OnFailure.BLOCK)
    decision = gate(plan, [_result("validity.a", 0.5, outcome)])
    assert not decision.blocked
    assert decision.rules == ()
    assert decision.warned == (("validity.a",) if outcome is Outcome.WARN else ())


def test_the_reason_names_the_checks_and_counts() -> None:
    checks = tuple(_check(f"validity.{letter}", Effect.GATE, rule=False) for letter in "abcd")
    results = [_result("validity.a", 0.5, Outcome.FAIL), _result("validity.b", 0, Outcome.ERROR)]
    decision = gate(Plan("users", checks, OnFailure.BLOCK), results)
    assert decision.reason == (
        "blocked by quality: validity.a (5 of 10 rows), validity.b (could not be evaluated), "
        "validity.c (could not be evaluated) and 1 more"
    )
