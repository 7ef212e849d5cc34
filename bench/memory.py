"""That memory stays flat: the peak of every process while many rows pass through.

Measured: how far each process of the stack grows beyond what it had after a small sync of the same
stream, when its models and libraries were loaded. The source (:mod:`bench.fast_source`) costs
nothing and has what the search for personal data must remember most of: columns whose values are
all distinct, and a quarter of a million different texts for a language model to read. Three syncs,
each into tables of its own: a hundredth of the rows, after which the baseline is taken, a tenth,
all of them. So it shows whether memory grows with the size.

Every pool has one process here, so that it is the same one that did the small sync and does the
large ones: with more, the first might have loaded nothing yet. What one process holds does not
depend on their number. :mod:`bench.sampler` says what is counted; a connector's memory is its own
affair and shown beside.

Rows per second of each stage are information: that they stay the same says that time is linear too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench import Options, fast_source, stack
from bench.report import Limit, Result, Table
from bench.sampler import Growth, Sampler, ours
from bench.stack import BenchError, Stack

ROWS = 1_000_000
"""How many the limit is meant for."""
LIMIT_MIB = 600
_SOURCE = Path(fast_source.__file__)
_MIB = 2**20
_ONE_EACH = {f"ATLAS_{queue}_CONCURRENCY": "1" for queue in ("EXTRACT", "SCAN", "LOAD", "CONTROL")}


def measure(options: Options) -> Result:
    """Measure, with its limit for each process."""
    if sys.platform != "linux":
        raise BenchError("memory is read from /proc, which only Linux has")
    rows = options.rows or ROWS
    sizes = [max(rows // 100, 1), max(rows // 10, 1), rows]
    seconds: list[dict[str, float]] = []
    growth: list[list[Growth]] = []
    with stack.running(**_ONE_EACH) as atlas, Sampler(atlas, _is_source) as sampler:
        for size in sizes:
            document = _sync(atlas, f"people{size}", size)
            seconds.append(stack.stage_seconds(document))
            if len(seconds) > 1:
                growth.append(sampler.growth())
                worst = ours(growth[-1])[0]
                options.say(f"{size:,} rows: {worst.kind} grew by {worst.grown / _MIB:.0f} MiB")
            else:
                sampler.mark()
                options.say(f"{size:,} rows: the baseline")
    worst = ours(growth[-1])[0]
    limit = Limit(
        f"growth of any process over {rows:,} rows (most: {worst.kind})",
        worst.grown / _MIB,
        LIMIT_MIB,
        "MiB",
        binding=rows == ROWS,
    )
    figures = {
        "sizes": sizes,
        "stage_seconds": seconds,
        "growth": [
            [
                {"kind": g.kind, "ours": g.ours, "baseline": g.baseline, "peak": g.peak}
                for g in found
            ]
            for found in growth
        ],
    }
    return Result("memory", [_memory(sizes, growth), _speed(sizes, seconds)], [limit], figures)


def _sync(atlas: Stack, name: str, rows: int) -> dict[str, Any]:
    atlas.apply({"name": name, "executable": str(_SOURCE), "config": {"rows": rows}})
    return atlas.sync(name, rows)


def _is_source(argv: list[str]) -> bool:
    return any(part == str(_SOURCE) for part in argv)


def _memory(sizes: list[int], growth: list[list[Growth]]) -> Table:
    middle = {found.kind: found for found in growth[0]}
    large = sorted(growth[1], key=lambda one: (not one.ours, -one.grown))
    return Table(
        f"memory: MiB of the process of each kind that grew the most; "
        f"baseline after {sizes[0]:,} rows",
        [
            "process",
            "baseline",
            f"peak, {sizes[1]:,}",
            f"peak, {sizes[2]:,}",
            f"growth, {sizes[2]:,}",
        ],
        [
            [
                found.kind + ("" if found.ours else " (not ours)"),
                round(found.baseline / _MIB),
                round(middle[found.kind].peak / _MIB) if found.kind in middle else None,
                round(found.peak / _MIB),
                round(found.grown / _MIB),
            ]
            for found in large
        ],
    )


def _speed(sizes: list[int], seconds: list[dict[str, float]]) -> Table:
    columns = ["stage"]
    for size in sizes:
        columns += [f"{size:,}: s", "rows/s"]
    rows: list[list[str | float | None]] = []
    for stage in seconds[0]:
        row: list[str | float | None] = [stage]
        for size, taken in zip(sizes, seconds, strict=True):
            row += [taken[stage], size / taken[stage]]
        rows.append(row)
    return Table("memory: the same syncs in time, pools of one process", columns, rows)
