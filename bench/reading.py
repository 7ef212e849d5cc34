"""That the memory of the worker that reads stays flat: 100,000 rows, then 5,000,000.

A view makes the rows as they are read (some 300 bytes each), so that the source's table costs no
disk; amid the large read stands one of 5 MB. Measured: how far each process of the stack grows
during the explore stage beyond what it had after the small read, as :mod:`bench.sampler` counts.
"""

from __future__ import annotations

import sys

import psycopg2

from bench import Options
from bench.postgres import explored
from bench.report import Limit, Result, Table
from bench.sampler import Growth, Sampler
from bench.stack import BenchError, running

ROWS = 5_000_000
"""How many the limit is meant for."""
LIMIT_MIB = 64
_MIB = 2**20
_VIEW = """
CREATE VIEW {name} AS SELECT g AS id, timestamptz '2024-01-01' + g * interval '1 second' AS at,
       jsonb_build_object('n', g % 100, 'tags', jsonb_build_array('a', 'b')) AS payload,
       CASE g WHEN {large} THEN repeat('five megabytes! ', 327680) ELSE repeat(md5(g::text), 6) END
           AS note
FROM generate_series(1, {rows}) g;
"""


def measure(options: Options) -> Result:
    """Measure, with a limit for the worker that reads."""
    if sys.platform != "linux":
        raise BenchError("memory is read from /proc, which only Linux has")
    rows = options.rows or ROWS
    sizes = {"few": max(rows // 50, 1), "many": rows}
    seconds = {}
    with (
        running(ATLAS_EXTRACT_CONCURRENCY="1") as atlas,
        atlas.database("source") as url,
        Sampler(atlas, _is_source) as sampler,
    ):
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute(_VIEW.format(name="few", rows=sizes["few"], large=0))
            cursor.execute(_VIEW.format(name="many", rows=sizes["many"], large=rows // 2))
        connection.close()
        for name, size in sizes.items():
            seconds[name] = explored(atlas, url, name, name, size)
            if name == "few":
                sampler.mark()
            options.say(f"{size:,} rows read in {seconds[name]:.1f} s")
        growth = sampler.growth()
    worker = max(
        (one for one in growth if one.kind.startswith("worker-extract")), key=lambda one: one.grown
    )
    table = Table(
        f"reading: MiB after {sizes['few']:,} rows, and at most while {rows:,} came, one of 5 MB",
        ["process", "after few", "peak", "growth"],
        [_row(one) for one in sorted(growth, key=lambda one: (not one.ours, -one.grown))],
    )
    limit = Limit(
        f"growth of {worker.kind} over {rows:,} rows",
        worker.grown / _MIB,
        LIMIT_MIB,
        "MiB",
        binding=rows == ROWS,
    )
    figures = {
        "sizes": sizes,
        "seconds": seconds,
        "growth": [
            {"kind": one.kind, "baseline": one.baseline, "peak": one.peak} for one in growth
        ],
    }
    return Result("reading", [table], [limit], figures)


def _row(one: Growth) -> list[str | float | None]:
    name = one.kind + ("" if one.ours else " (source-postgres)")
    return [name, round(one.baseline / _MIB), round(one.peak / _MIB), round(one.grown / _MIB)]


def _is_source(argv: list[str]) -> bool:
    return any("connectors.sources" in part for part in argv)
