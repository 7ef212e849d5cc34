"""What is usual by earlier runs, and the checks that hold a run against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atlas.model.checks import CheckResult, OnFailure, Outcome
from atlas.model.quality import StreamQuality
from atlas.quality.soda import SodaHost
from atlas.quality.usual import Range, around, measures, usual
from tests.quality.quality_staging import USERS, Staging, users_plan

Scan = Callable[..., dict[str, CheckResult]]


def _runs(*rows: float, **of_columns: float) -> list[dict[tuple[str, str], float]]:
    named = {tuple(name.split("__")): value for name, value in of_columns.items()}
    return [{("", "rows"): each} | named for each in rows]  # type: ignore[misc]


def test_of_few_runs_nothing_is_usual() -> None:
    assert around([1.0] * 4, 0.5) is None
    assert around([1.0] * 5, 0.5) == Range(0.5, 1.5)
    assert usual(_runs(10, 10, 10, 10), "", "rows", full_refresh=True) is None


def test_one_wild_run_moves_it_little_and_what_varies_may_vary() -> None:
    assert around([10, 10, 10, 10, 10_000], 1.0) == Range(9, 11)
    found = around([80, 90, 100, 110, 120], 1.0)
    assert found is not None
    assert found.least < 60
    assert found.greatest > 140


def test_rows_of_an_incremental_sync_may_vary_more() -> None:
    history = _runs(100, 100, 100, 100, 100)
    assert usual(history, "", "rows", full_refresh=True) == (80, 120)
    assert usual(history, "", "rows", full_refresh=False) == (0, 200)


def test_shares_and_lengths_stay_what_they_can_be() -> None:
    history = _runs(*[9] * 5, name__missing=0.01, note__missing=0.99, name__length=0.0)
    assert usual(history, "name", "missing", full_refresh=True) == (0, pytest.approx(0.06))
    assert usual(history, "note", "missing", full_refresh=True) == (pytest.approx(0.94), 1)
    assert usual(history, "name", "length", full_refresh=True) == (0, 0)
    assert usual(history, "gone", "missing", full_refresh=True) is None


def test_few_rows_are_not_averaged_and_odd_names_not_measured() -> None:
    of_few = measures(USERS, ["id"], 19)
    assert {each.metric for each in of_few} == {"missing"}
    assert {each.column for each in of_few} == {column.name for column in USERS} - {"id"}
    of_many = {(each.column, each.metric) for each in measures(USERS, ["id"], 20)}
    assert {("price", "average"), ("name", "length")} <= of_many
    assert ("name", "average") not in of_many
    # Where all values are equal, the average is the value.
    of_masked = {(e.column, e.metric) for e in measures(USERS, ["id"], 20, {"price", "name"})}
    assert {("price", "missing"), ("name", "missing")} <= of_masked
    assert not {("price", "average"), ("name", "length")} & of_masked


def _history(**changes: float) -> list[dict[tuple[str, str], float]]:
    usual_run = {
        ("", "rows"): 30.0,
        ("price", "missing"): 0.0,
        ("price", "average"): 12.5,
        ("name", "length"): 8.0,
    }
    for name, value in changes.items():
        usual_run[tuple(name.split("__"))] = value  # type: ignore[index]
    return [usual_run] * 5


@pytest.fixture
def thirty(staging: Staging) -> Staging:
    for number in range(30):
        staging.user(number)
    return staging


def test_a_run_is_measured(thirty: Staging, host: SodaHost) -> None:
    thirty.execute("UPDATE pipeline.staging_1 SET price = NULL WHERE id < 3")
    planned = users_plan(expected_rows=30)
    found = host.scan(thirty.url, "pipeline", "staging_1", planned, 60)
    assert found.missing()["price"] == 3
    measured = found.comparable()
    assert measured["price", "missing"] == pytest.approx(0.1)
    assert measured["price", "average"] == pytest.approx(12.5)
    assert measured["name", "length"] == 8
    assert measured["", "rows"] == 30
    # What is measured is no check.
    assert len(found.results) == len(planned.checks)


def test_what_is_as_usual_passes(thirty: Staging, scan: Scan) -> None:
    results = scan(thirty, expected_rows=30, history=_history(), full_refresh=True)
    names = ["completeness.usual_rows", "completeness.price.usual_missing"]
    names += ["consistency.price.usual_average", "consistency.name.usual_length"]
    assert [results[name].outcome for name in names] == [Outcome.PASS] * 4
    assert [results[name].score for name in names] == [1.0] * 4


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("completeness.usual_rows", {"__rows": 100.0}),
        ("completeness.price.usual_missing", {"price__missing": 0.5}),
        ("consistency.price.usual_average", {"price__average": -20.25}),
        ("consistency.name.usual_length", {"name__length": 80.0}),
    ],
)
def test_what_is_not_warns(
    thirty: Staging, scan: Scan, name: str, before: dict[str, float]
) -> None:
    history = _history(**before)
    results = scan(thirty, expected_rows=30, history=history, full_refresh=True)
    assert results[name].outcome is Outcome.WARN
    assert results[name].score == 0
    others = {n: r.outcome for n, r in results.items() if "usual" in n and n != name}
    assert set(others.values()) == {Outcome.PASS}


def test_a_gate_makes_it_fail(thirty: Staging, scan: Scan) -> None:
    name = "completeness.usual_rows"
    own = StreamQuality(gates={name: OnFailure.BLOCK})
    options: dict[str, Any] = {"history": _history(__rows=100.0), "full_refresh": True}
    results = scan(thirty, streams={"users": own}, expected_rows=30, **options)
    assert results[name].outcome is Outcome.FAIL
    assert results[name].gate is OnFailure.BLOCK
