"""Two scan workers against one, on a stream that gives the search for personal data much to do.

Measured: the pii stage as the ledger tells it, from its first claim to its end, of a first sync of
the same rows, each a text of its own that a language model has to read (:mod:`bench.plain_source`).
Two stacks that differ in ``ATLAS_SCAN_CONCURRENCY`` alone (scan processes: one, two) take turns, on
two cores; while one works the other's workers stand still. Models are loaded before, by a small
sync. Batches, and with them the parts that workers share, are smaller than by default
(``ATLAS_BATCH_ROWS``), so that a stream that can be waited for has as many parts as a long one.
"""

from __future__ import annotations

from statistics import median

from bench import Options, plain, runs, stack
from bench.report import Limit, Result, Table
from bench.stack import Stack

LIMIT = 1.8
ROWS = 42_000
"""How many the limit is meant for."""
_BATCH = 5_000
_WORDS = 15
_CORES = 2
_WARM_UP = 100


def measure(options: Options) -> Result:
    """Measure, with its limit."""
    rows, rounds = options.rows or ROWS, options.runs or 2
    times: dict[int, list[float]] = {1: [], 2: []}
    with (
        stack.cores(_CORES),
        stack.running(ATLAS_SCAN_CONCURRENCY="1", ATLAS_BATCH_ROWS=str(_BATCH)) as one,
        stack.running(ATLAS_SCAN_CONCURRENCY="2", ATLAS_BATCH_ROWS=str(_BATCH)) as two,
    ):
        stacks = {1: one, 2: two}
        keys = {workers: atlas.key("operator") for workers, atlas in stacks.items()}
        for number in range(rounds + 1):
            for workers, atlas in stacks.items():
                count = rows if number else _WARM_UP
                with stacks[3 - workers].frozen():
                    taken = _pii(atlas, keys[workers], number, count)
                if number:
                    times[workers].append(taken)
                    options.say(f"round {number}: {workers} scan process(es), {taken:.1f} s")
    single, double = median(times[1]), median(times[2])
    ratios = [alone / both for alone, both in zip(times[1], times[2], strict=True)]
    table = Table(
        f"scan: stage pii of {rows:,} rows of {_WORDS} words, median of {rounds} rounds",
        ["scan processes", "seconds", "rows/s", "times as fast", "from", "to"],
        [
            [str(workers), middle, rows / middle, single / middle, min(found), max(found)]
            for workers, middle, found in ((1, single, times[1]), (2, double, times[2]))
        ],
    )
    limit = Limit(
        "two scan workers against one",
        median(ratios),
        LIMIT,
        "x",
        at_most=False,
        binding=rows == ROWS,
    )
    return Result("scan", [table], [limit], {"seconds": times})


def _pii(atlas: Stack, key: str, number: int, rows: int) -> float:
    name = f"prose{number}"
    atlas.apply(plain.connection(atlas, name, rows=rows, words=_WORDS, edition=number))
    ended = runs.together(atlas, key, [name], patience=3600)
    runs.must_succeed(ended)
    return ended[0].stages["pii"]
