"""That time grows with the rows and no faster: 10,000, 100,000 and 1,000,000 rows, stage by stage.

The source is :mod:`bench.fast_source` with few different notes (one in a hundred rows), so that
what is measured is Atlas moving rows: how the search for personal data grows with hundreds of
thousands of *different* notes is another question, which ``memory`` asks. A small sync first, so
that models and libraries are loaded; and what every stage costs whatever its rows (starting a
connector, a scan of no rows) is taken off, as measured by a sync of a hundred rows.

Growth of a step, from one size to the next, is how many times as long a stage takes over how many
times as many rows there are: 1 is linear, less is better, and 1.15 the limit of each stage and both
steps. A fixed cost flatters that, so the last step has the same limit once more for what a row
takes beyond the fixed cost, where that is enough to be told from noise.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import median

from bench import Options, fast_source, stack
from bench.report import Limit, Result, Table
from bench.stack import Stack

ROWS = 1_000_000
"""The largest size that the limit is meant for."""
_LIMIT = 1.15
_SOURCE = Path(fast_source.__file__)
_FEW = 100
_WORTH = 0.25
"""Seconds at the middle size below which what a row takes is shown and not judged: it is noise."""
_SHORTEST = 0.001
"""Seconds: what the ledger's times can tell apart."""


def measure(options: Options) -> Result:
    """Measure, with its limit for each stage."""
    rows, runs = options.rows or ROWS, options.runs or 1
    sizes = [max(rows // 100, 1), max(rows // 10, 1), rows]
    taken: dict[int, list[dict[str, float]]] = {size: [] for size in (_FEW, *sizes)}
    with stack.running() as atlas:
        _sync(atlas, "warm", 10_000)
        for number in range(1, runs + 1):
            for size in taken:
                atlas.calm()
                taken[size].append(_sync(atlas, f"grow{number}x{size}", size))
                options.say(f"{size:,} rows: {sum(taken[size][-1].values()):.1f} s in all stages")
    seconds = {
        size: {stage: median(one[stage] for one in found) for stage in found[0]}
        for size, found in taken.items()
    }
    return _result(sizes, seconds, binding=rows == ROWS)


def _sync(atlas: Stack, name: str, rows: int) -> dict[str, float]:
    config = {"rows": rows, "rows_per_note": 100}
    atlas.apply({"name": name, "executable": str(_SOURCE), "config": config})
    return stack.stage_seconds(atlas.sync(name, rows))


def _result(sizes: list[int], seconds: dict[int, dict[str, float]], *, binding: bool) -> Result:
    small, middle, large = sizes
    fixed = seconds[_FEW]
    rows: list[list[str | float | None]] = []
    limits: list[Limit] = []
    for stage in fixed:
        row: list[str | float | None] = [stage, fixed[stage]]
        for size in (small, middle, large):
            row += [seconds[size][stage], 1e6 * _each(seconds[size][stage], fixed[stage], size)]
        for one, other in pairwise(sizes):
            grown = seconds[other][stage] / max(seconds[one][stage], _SHORTEST) * one / other
            row.append(grown)
            what = f"growth of {stage}, {one:,} to {other:,} rows"
            limits.append(Limit(what, grown, _LIMIT, "x", binding=binding))
        per_row = _each(seconds[middle][stage], fixed[stage], middle)
        growth = _each(seconds[large][stage], fixed[stage], large) / per_row if per_row else None
        rows.append([*row, growth])
        if growth is not None and seconds[middle][stage] >= _WORTH:
            what = f"growth of {stage} a row, {middle:,} to {large:,} rows"
            limits.append(Limit(what, growth, _LIMIT, "x", binding=binding))
    columns = ["stage", f"{_FEW} rows: s"]
    for size in (small, middle, large):
        columns += [f"{size:,}: s", "µs/row"]
    table = Table(
        "growth: seconds by stage; µs a row beyond the fixed cost; one different note in 100 rows",
        [*columns, "first step", "second step", "second, a row"],
        rows,
    )
    figures = {"seconds": {str(size): found for size, found in seconds.items()}}
    return Result("growth", [table], limits, figures)


def _each(seconds: float, fixed: float, rows: int) -> float:
    return max(seconds - fixed, 0.0) / rows
