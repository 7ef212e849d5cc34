"""What is usual for a dataset, by its earlier runs, and the checks that hold a run against it.

Usual is the median of the last runs, give or take three deviations (the median absolute deviation,
scaled as for a normal distribution), and never narrower than a tolerance: of few runs that are all
alike not every other one is remarkable. Neither a single wild run nor a slow change moves it much.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from atlas.model.stream import Column, ColumnType

FEWEST_RUNS = 5
"""Of fewer runs nothing is usual yet."""

MOST_RUNS = 20
"""How many runs are looked back."""

FEWEST_ROWS = 20
"""An average of fewer values would tell too much of each."""

ROWS = "rows"
MISSING = "missing"
AVERAGE = "average"
LENGTH = "length"

Measured = Mapping[tuple[str, str], float]
"""What a run measured, by column and metric; rows stand under column ''. Missing is a share."""

_SCALE = 1.4826
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NUMBERS = (ColumnType.BIGINT, ColumnType.NUMERIC)


class Range(NamedTuple):
    """The values that are usual, both included."""

    least: float
    greatest: float


class Measure(NamedTuple):
    """Something to measure of a column: ``metric`` as Soda calls it is ``soda``."""

    column: str
    metric: str
    soda: str


def measures(
    columns: Sequence[Column],
    left_out: Sequence[str],
    rows: int | None,
    masked: Collection[str] = (),
) -> tuple[Measure, ...]:
    """What is measured of a run's columns: the missing values of each, the average of numbers, the
    average length of texts; not of ``left_out``, nor of columns whose name SodaCL cannot take; of
    ``masked`` ones only the missing values, as the average of equal values is the value."""
    found: list[Measure] = []
    for column in columns:
        name = column.name
        if name in left_out or not _PLAIN.fullmatch(name):
            continue
        found.append(Measure(name, MISSING, f'missing_count("{name}")'))
        if name in masked or (rows is not None and rows < FEWEST_ROWS):
            continue
        if column.type in _NUMBERS:
            found.append(Measure(name, AVERAGE, f'avg("{name}")'))
        elif column.type is ColumnType.TEXT:
            found.append(Measure(name, LENGTH, f'avg_length("{name}")'))
    return tuple(found)


def usual(
    history: Sequence[Measured], column: str, metric: str, *, full_refresh: bool
) -> Range | None:
    """What is usual of a metric, or None while too few runs have measured it.

    Args:
        full_refresh: whether the runs read all of the stream; how many rows come otherwise varies.
    """
    values = [run[column, metric] for run in history if (column, metric) in run]
    middle = abs(median(values)) if values else 0.0
    tolerance = {
        ROWS: middle * (0.2 if full_refresh else 1.0),
        MISSING: 0.05,
        AVERAGE: middle * 0.1,
        LENGTH: middle * 0.1,
    }[metric]
    found = around(values, tolerance)
    if found is None or metric == AVERAGE:
        return found
    most = 1.0 if metric == MISSING else found.greatest
    return Range(max(0.0, found.least), min(most, found.greatest))


def around(values: Sequence[float], tolerance: float) -> Range | None:
    """The range of usual values after ``values``, or None where they are too few."""
    if len(values) < FEWEST_RUNS:
        return None
    middle = median(values)
    spread = _SCALE * median(abs(value - middle) for value in values)
    width = max(3 * spread, tolerance)
    return Range(middle - width, middle + width)
