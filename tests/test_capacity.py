"""The arithmetic of docs/sizing.md: what is measured of one run, and what a day takes by it."""

from __future__ import annotations

import pytest

from bench.capacity import Rates, plan, tables

RATES = Rates(
    rows=100_000,
    stages={
        "explore": 10.0,
        "pii": 20.0,
        "quality": 2.0,
        "chart": 3.0,
        "navigate": 4.0,
        "lineage": 1.0,
    },
    cpu={"extract": 7.0, "scan": 35.0, "load": 0.7, "postgres": 14.0},
    stored=200_000_000,
)


def test_a_day_of_as_many_rows_as_one_core_does() -> None:
    # 1,000 rows a second: a hundredth of the run each second, and a core is busy 70 % of it.
    found = plan(RATES, 86_400_000)
    assert found.per_second == 1_000
    assert found.cores == pytest.approx(
        {"extract": 0.1, "scan": 0.5, "load": 0.01, "postgres": 0.2}
    )
    # Explore takes 0.1 s of each second, loading 0.1 s: one process of each does.
    assert found.processes == {"extract": 1, "scan": 1, "load": 1, "control": 2}
    assert found.connections == 22 + 4 * 5 + 1 + 10
    assert found.stored == 2_000 * 86_400_000
    assert found.first == "scan"


def test_more_rows_take_more_in_proportion() -> None:
    found = plan(RATES, 8_640_000_000)
    assert found.cores == pytest.approx(
        {"extract": 10.0, "scan": 50.0, "load": 1.0, "postgres": 20.0}
    )
    assert found.processes["scan"] in (50, 51)
    assert found.processes["extract"] in (15, 16)
    assert found.processes["load"] in (15, 16)


def test_it_is_printed_row_by_row() -> None:
    stages, kinds, rest = tables(RATES, plan(RATES, 86_400_000))
    assert stages.rows[0] == ["explore", 10.0, 10_000.0]
    assert [row[0] for row in kinds.rows] == list(RATES.cpu)
    assert rest.rows[-1][-1] == "scan"
