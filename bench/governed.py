"""What governing costs: a whole run with every stage against merely loading the same rows.

Measured: a run from its request to its end, explore, pii, quality, chart, navigate and lineage,
with the workers' models loaded. Against PyAirbyte's PostgresCache, which loads the rows into one
table and does nothing of the rest, and against the connector alone, writing to /dev/null. Same
rounds as :mod:`bench.explore`, same server, same stream; both start at a first sync into tables
that are not there yet. Scanning goes on while the source is read: how long ``pii`` takes beyond the
end of explore is measured against explore itself. Whose CPU time it was is shown by process.
"""

from __future__ import annotations

from statistics import median

from bench import Options
from bench.faker import USERS, rounds
from bench.report import Limit, Result, Table

LIMIT = 1.0
LIMIT_ALONE = 2.0
LIMIT_BEHIND = 0.2


def measure(options: Options) -> Result:
    """Measure, with its limit."""
    rows = options.rows or USERS
    of = rounds(rows, options.runs or 3, options.say)
    alone, cache, governed = median(of.alone), median(of.cache), median(of.governed)
    whole = Table(
        f"governed: {rows:,} users of source-faker, median of {len(of.governed)} rounds",
        ["", "seconds", "rows/s", "vs PostgresCache", "from", "to"],
        [
            [what, middle, rows / middle, middle / cache, min(times), max(times)]
            for what, middle, times in (
                ("Atlas: whole run, request to end", governed, of.governed),
                (
                    "Atlas: `atlas sync --wait` as typed",
                    median(of.governed_asked),
                    of.governed_asked,
                ),
                ("PyAirbyte: PostgresCache, load only", cache, of.cache),
                ("connector alone > /dev/null", alone, of.alone),
            )
        ],
    )
    stages = Table(
        "governed: where the time goes",
        ["stage", "begins at, s", "seconds", "rows/s", "share of the run"],
        [
            [name, of.begin(name), of.stage(name), rows / of.stage(name), of.stage(name) / governed]
            for name in of.stages[0]
        ],
    )
    behind = median(
        (begins["pii"] + taken["pii"] - begins["explore"] - taken["explore"]) / taken["explore"]
        for begins, taken in zip(of.begins, of.stages, strict=True)
    )
    ratio = median(run / source for run, source in zip(of.governed, of.alone, strict=True))
    kinds = sorted({name for found in of.cpu for name in found})
    cpu = Table(
        "governed: CPU seconds of a run",
        ["process, with its children", "seconds"],
        [[name, median(found.get(name, 0.0) for found in of.cpu)] for name in kinds],
    )
    binding = rows == USERS
    limits = [
        Limit(
            "whole governed run against PostgresCache",
            governed / cache,
            LIMIT,
            "x",
            binding=binding,
        ),
        Limit("whole governed run against its source", ratio, LIMIT_ALONE, "x", binding=binding),
        Limit("pii beyond explore, of explore", behind, LIMIT_BEHIND, "x", binding=binding),
    ]
    return Result("governed", [whole, stages, cpu], limits, of.figures())
