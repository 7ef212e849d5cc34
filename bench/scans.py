"""That a scan worker's memory has an end: many scans in one process (:mod:`bench.scans_process`).

Measured: the resident memory after each tenth of the scans, and the highest that it ever was. Each
scan is of other rows, most of whose values are distinct, for what a process remembers of values is
what could grow. That has a bound (``_CACHED`` in :mod:`atlas.pii.spans`), which these rows reach
after some forty scans: so growth is judged over the last fifth.
"""

from __future__ import annotations

import json
import subprocess
import sys

from bench import Options
from bench.report import Limit, Result, Table
from bench.stack import CHECKOUT, BenchError

SCANS = 50
ROWS = 20_000
"""Rows of a scan, as many as a worker takes at a time; the limits are meant for them."""
_LIMIT_MIB = 900
_GROWTH = 1.05
_MIB = 2**20


def measure(options: Options) -> Result:
    """Measure, with its limits."""
    rows = options.rows or ROWS
    options.say(f"{SCANS} scans of {rows:,} rows")
    done = subprocess.run(
        [sys.executable, "-m", "bench.scans_process", str(rows), str(SCANS)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchError(f"the scans: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    found = json.loads(done.stdout)
    resident, peak = found["resident"], found["peak"]
    tenth = SCANS // 10
    full = SCANS * 4 // 5
    grown = resident[-1] / resident[full - 1]
    table = Table(
        f"scans: memory of one process, {SCANS} scans of {rows:,} rows, all different; "
        f"peak {peak / _MIB:.0f} MiB",
        ["after scans", "resident, MiB"],
        [[str(n), round(resident[n - 1] / _MIB)] for n in (1, *range(tenth, SCANS + 1, tenth))],
    )
    binding = rows == ROWS
    limits = [
        Limit("peak memory of the process", peak / _MIB, _LIMIT_MIB, "MiB", binding=binding),
        Limit(f"growth from scan {full} to {SCANS}", grown, _GROWTH, "x", binding=binding),
    ]
    return Result("scans", [table], limits, found)
