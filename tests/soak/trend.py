"""Whether a measure grows: judged by all of its samples, not by the first and the last.

The slope is Theil and Sen's: of the slopes between any two samples, each as weighty as its two are
apart, the median. So neither a moment's peak nor a process that is killed turns it. Samples on both
sides of a restart are not compared, and of a process that was started meanwhile its second half
counts, once it is warm: a leak goes on in each of its lives, however often it begins anew, while
what a cache holds grows less and less. So that a short life is not taken for the whole time.

What the slope comes to over the whole time is its growth. It counts when it is more than the line's
limit *and* more samples rose than chance would have (Mann and Kendall's test, one side, 1 %). So a
leak that adds the limit within the time of a soak is found: one of 32 MiB in an hour by an hour of
soak, one of 32 MiB in ten minutes by ten minutes of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

_MOST = 90
"""Samples that are compared with each other; of more, medians of neighbours."""
_SURE = 2.33
"""Standard deviations: chance has more in one of a hundred."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a measure.

    Attributes:
        at: seconds from any moment on.
        life: of whom: another one after a restart.
    """

    at: float
    value: float
    life: object = None


@dataclass(frozen=True, slots=True)
class Trend:
    """What a measure did: its level at the start and the end, and what it grew between, by its
    slope, with whether that was more than chance."""

    start: float
    end: float
    growth: float
    sure: bool


def trend(samples: Sequence[Sample], parts: Sequence[Sample] = (), *, warm: float) -> Trend:
    """Judge the samples of a measure, in their order.

    Args:
        parts: of a measure that is a sum over processes, what each of these adds, in the order of
            time: it grows if they do, each in its life, not if there are others or more of them.
        warm: seconds that a process takes until it has loaded what it needs to work; of the lives
            that begin later than the samples do these, and their first half, are left out.
    """
    whole = parts or samples
    began: dict[object, float] = {}
    ended: dict[object, float] = {}
    for sample in whole:
        began.setdefault(sample.life, sample.at)
        ended[sample.life] = sample.at
    first = samples[0].at
    steady = [
        sample
        for sample in whole
        if began[sample.life] == first
        or sample.at - began[sample.life]
        >= max(warm, (ended[sample.life] - began[sample.life]) / 2)
    ]
    thinned = _thinned(steady or list(whole))
    # As many of them as there were, on average.
    duration = (samples[-1].at - first) * len(whole) / len(samples)
    slope, sure = _slope(thinned)
    edge = max(len(samples) // 10, 1)
    return Trend(
        _median([sample.value for sample in samples[:edge]]),
        _median([sample.value for sample in samples[-edge:]]),
        slope * duration,
        sure,
    )


def _slope(samples: Sequence[Sample]) -> tuple[float, bool]:
    """Units a second, and whether it surely rises."""
    slopes: list[tuple[float, float]] = []
    score, variance = 0, 0.0
    lives: dict[object, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.life, []).append(sample)
    for life in lives.values():
        for one, other in combinations(life, 2):
            gap = other.at - one.at
            if gap > 0:
                slopes.append(((other.value - one.value) / gap, gap))
                score += (other.value > one.value) - (other.value < one.value)
        n = len(life)
        variance += n * (n - 1) * (2 * n + 5) / 18
    if not slopes:
        return 0.0, False
    slopes.sort()
    half, weight = sum(gap for _, gap in slopes) / 2, 0.0
    slope = slopes[-1][0]
    for each, gap in slopes:
        weight += gap
        if weight >= half:
            slope = each
            break
    return slope, score > _SURE * math.sqrt(variance)


def _thinned(samples: list[Sample]) -> list[Sample]:
    """At most about so many, each the median of neighbours of one life."""
    size = math.ceil(len(samples) / _MOST)
    if size == 1:
        return samples
    lives: dict[object, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.life, []).append(sample)
    return [
        Sample(
            sum(each.at for each in some) / len(some), _median([each.value for each in some]), name
        )
        for name, life in lives.items()
        for some in (life[first : first + size] for first in range(0, len(life), size))
    ]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
