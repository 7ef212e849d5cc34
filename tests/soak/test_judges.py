"""What `make soak` judges by, with series and accounts that are made up: an hour is too long for a
test, and a judge that lets a leak or a lost row pass would make it worthless."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from tests.soak import report, rows
from tests.soak.account import Batch, judge
from tests.soak.rows import KINDS
from tests.soak.samples import MEMORY
from tests.soak.trend import Sample

HOUR = 3600.0
WEB = MEMORY + "web"
Curve = Callable[[float], float]


def _hour(curve: Curve, *, restarts: int = 0, noise: float = 3.0) -> list[Sample]:
    """An hour's samples; whatever grows begins anew at each restart, from a cold start."""
    dice = random.Random(1)
    found = []
    for number in range(360):
        at = number * 10.0
        life = int(at / HOUR * (restarts + 1))
        since = at - life * HOUR / (restarts + 1)
        cold = 40 * max(1 - since / 60, 0) if life else 0
        # The first has been at work since before the samples.
        grown = curve(since if life else since + 600)
        found.append(Sample(at, 300 + grown - cold + dice.gauss(0, noise), life))
    return found


def _grown(samples: list[Sample], name: str = WEB) -> list[str]:
    return report.judged({name: samples}, warm=120)[1]


def _leak(mib_in_an_hour: float) -> Curve:
    return lambda seconds: mib_in_an_hour * seconds / HOUR


@pytest.mark.parametrize("restarts", [0, 1, 6])
def test_a_leak_is_found_however_often_the_process_is_started_anew(restarts: int) -> None:
    (told,) = _grown(_hour(_leak(45), restarts=restarts))
    assert told.startswith(f"{WEB}: **GROWS**")


@pytest.mark.parametrize("restarts", [0, 1, 6])
@pytest.mark.parametrize("curve", [_leak(0), _leak(15), lambda s: 40 * (s % 400 < 30)])
def test_noise_peaks_and_cold_starts_are_no_leak(curve: Curve, restarts: int) -> None:
    assert _grown(_hour(curve, restarts=restarts)) == []


def test_a_peak_at_the_end_is_no_leak_and_a_leak_that_ends_low_is_one() -> None:
    calm, leaking = _hour(_leak(0)), _hour(_leak(60))
    assert _grown([*calm[:-1], Sample(HOUR, 900, 0)]) == []
    assert _grown([*leaking[:-1], Sample(HOUR, 100, 0)]) != []


def test_a_cache_that_fills_in_each_life_is_no_leak() -> None:
    def cache(seconds: float) -> float:
        return 30 * (1 - math.exp(-seconds / 150))

    assert _grown(_hour(cache, restarts=6, noise=0.3)) == []
    # Beside a leak it hides none.
    both = _hour(lambda s: cache(s) + 45 * s / HOUR, restarts=6, noise=0.3)
    assert _grown(both) != []


def _pool(curve: Curve, *, killed: bool) -> tuple[list[Sample], list[Sample]]:
    """An hour's samples of four processes, as a sum and one by one. If one is killed after half of
    it, another takes its place that holds more from its start."""
    sums, parts = [], []
    for number in range(360):
        at = number * 10.0
        new = killed and at > HOUR / 2
        values = {pid: 100 + curve(at) for pid in (1, 2, 3)}
        values |= {5: 160 + curve(at - HOUR / 2)} if new else {4: 100 + curve(at)}
        sums.append(Sample(at, sum(values.values())))
        parts += [Sample(at, value, pid) for pid, value in values.items()]
    return sums, parts


@pytest.mark.parametrize("killed", [False, True])
def test_each_process_of_a_kind_is_compared_with_itself(killed: bool) -> None:
    for leak, found in ((0, 0), (4, 0), (15, 1)):
        sums, parts = _pool(_leak(leak), killed=killed)
        assert len(report.judged({WEB: sums}, {WEB: parts}, warm=120)[1]) == found
    # The sum alone takes who came later for growth.
    if killed:
        assert _grown(_pool(_leak(0), killed=True)[0]) != []


def test_a_tenth_of_what_is_much_is_no_leak() -> None:
    large = [Sample(s.at, s.value + 1000, s.life) for s in _hour(_leak(60))]
    assert _grown(large) == []


def test_what_is_bounded_may_grow_up_to_its_bound() -> None:
    log = "disk: write-ahead log"
    assert _grown([Sample(n, 10.0 * n) for n in range(100)], log) == []
    (told,) = _grown([Sample(n, 30.0 * n) for n in range(100)], log)
    assert "OUT OF BOUNDS" in told


def test_data_may_grow_and_staging_tables_may_not() -> None:
    growing = [Sample(n, 5.0 * n) for n in range(100)]
    assert _grown(growing, "data: layers") == []
    assert _grown(growing, "staging tables") != []


# --- the account ----------------------------------------------------------------------------------


def _batches(kind: str, final: int) -> list[Batch]:
    """What runs read that came every two versions; one of them failed in the midst."""
    found = []
    seen = 0
    for number, version in enumerate([*range(0, final, 2), final]):
        now = rows.held(kind, version)
        sent = [rows.key(record) for record in (now[seen:] if KINDS[kind].incremental else now)]
        succeeded = number != 3
        if not succeeded:
            sent = sent[: len(sent) // 2]
        if KINDS[kind].incremental:
            seen += len(sent)
        aside = [row for row in sent if rows.aside(row)]
        found.append(Batch(str(number), succeeded, sent, aside))
    return found


def _left(kind: str, final: int) -> tuple[list[rows.Row], list[tuple[rows.Row, bool]]]:
    """What is in chart and navigate after those runs, as told by hand: one after the other."""
    made = KINDS[kind]
    chart: dict[object, rows.Row] = {}
    history: list[tuple[rows.Row, bool]] = []
    sent = {rows.key(record): record for record in rows.held(kind, final)}
    waiting: list[rows.Row] = []
    for batch in _batches(kind, final):
        if not batch.succeeded:
            waiting = batch.sent if made.incremental else []
            continue
        last = {}
        for row in [*waiting, *batch.sent]:
            if not rows.aside(row):
                last[row[0] if made.keyed else row] = row
        waiting = []
        if not made.incremental:
            history += [(chart.pop(name), False) for name in set(chart) - set(last)]
        for name, row in last.items():
            if chart.get(name) == row:
                continue
            if name in chart:
                history.append((chart.pop(name), False))
            if not (row in sent and rows.gone(sent[row])):
                chart[name] = row
    return list(chart.values()), history + [(row, True) for row in chart.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_as_it_should_be_passes(kind: str) -> None:
    chart, navigate = _left(kind, 21)
    found = judge("x", kind, 21, _batches(kind, 21), chart, navigate)
    assert (found.lost, found.twice) == ([], [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", ["explore", "chart", "navigate"])
def test_one_row_that_is_missing_or_there_twice_is_found(kind: str, layer: str) -> None:
    for change in (lambda items: items.pop(), lambda items: items.append(items[-1])):
        batches = _batches(kind, 21)
        chart, navigate = _left(kind, 21)
        change({"explore": batches[-1].sent, "chart": chart, "navigate": navigate}[layer])  # type: ignore[no-untyped-call, operator]
        found = judge("x", kind, 21, batches, chart, navigate)
        assert any(layer in line for line in found.lost + found.twice)


def test_a_row_that_quarantine_lost_is_found() -> None:
    batches = _batches("entries", 21)
    next(batch for batch in batches if batch.aside).aside.clear()
    chart, navigate = _left("entries", 21)
    assert judge("x", "entries", 21, batches, chart, navigate).lost
