"""How much Atlas adds to a connector: landing its records in PostgreSQL, with state.

Measured: the wall time of the explore stage, as the run says it (claimed to done: spec, discover,
reading, COPY, checkpoints). Against

- the connector alone writing to /dev/null, which nothing that reads it can beat; Atlas's time holds
  a discover besides, the connector's own does not;
- PyAirbyte's PostgresCache on the same stream, which is what one would use without Atlas: with its
  discover too, without its import and set-up.

Same program, same config and catalog, same PostgreSQL server with its settings (durable) for both.
:mod:`bench.faker` says how the rounds are made.
"""

from __future__ import annotations

from statistics import median

from bench import Options
from bench.faker import USERS, rounds
from bench.report import Limit, Result, Table

LIMIT_OVER_CONNECTOR = 1.25
LIMIT_UNDER_CACHE = 2.0


def measure(options: Options) -> Result:
    """Measure, with its two limits."""
    rows = options.rows or USERS
    of = rounds(rows, options.runs or 3, options.say)
    alone, explore, cache = median(of.alone), median(of.explore), median(of.cache)
    asked = median(of.explore_asked)
    binding = rows == USERS
    table = Table(
        f"explore: {rows:,} users of source-faker, median of {len(of.alone)} rounds",
        ["", "seconds", "rows/s", "vs connector", "from", "to"],
        [
            [what, middle, rows / middle, middle / alone, min(times), max(times)]
            for what, middle, times in (
                ("connector alone > /dev/null", alone, of.alone),
                ("Atlas: stage explore", explore, of.explore),
                ("Atlas: `atlas sync` typed to explore done", asked, of.explore_asked),
                ("PyAirbyte: PostgresCache", cache, of.cache),
            )
        ],
    )
    limits = [
        Limit(
            "explore against the connector alone",
            explore / alone,
            LIMIT_OVER_CONNECTOR,
            "x",
            binding=binding,
        ),
        Limit(
            "PostgresCache against explore",
            cache / explore,
            LIMIT_UNDER_CACHE,
            "x",
            at_most=False,
            binding=binding,
        ),
    ]
    return Result("explore", [table], limits, of.figures())
