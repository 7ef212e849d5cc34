"""A hundred connections with one small stream each, all asked for at once, on two cores.

Measured: that every run succeeds, with all its rows, and the wall time from the first request to
the last run's end; first into tables that are not there yet, with every configuration new to its
source, then again. Overhead per run is that time, divided by the runs, less what the source itself
takes of the two cores (the commands that Atlas asks of it: check, discover and read the first time,
then discover and read).

Everything as a user has it: the API, default settings, the source a program of its own.
"""

from __future__ import annotations

from statistics import median

from bench import Options, plain, runs, stack
from bench.report import Cell, Limit, Result, Table
from bench.stack import Stack

CONNECTIONS = 100
_ROWS = 10
_CORES = 2
_VERBS = (("check", "discover", "read"), ("discover", "read"))


def measure(options: Options) -> Result:
    """Measure; ``--rows`` are connections here."""
    count = options.rows or CONNECTIONS
    names = [f"small{number}" for number in range(count)]
    rows: list[list[Cell]] = []
    succeeded = []
    figures: dict[str, object] = {}
    with stack.cores(_CORES), stack.running() as atlas:
        atlas.apply(*(plain.connection(atlas, name, rows=_ROWS) for name in names))
        key = atlas.key("operator")
        options.say(f"{count} connections are applied")
        for what, verbs in zip(("first sync", "again"), _VERBS, strict=True):
            own = _own(atlas, verbs)
            ended = runs.together(atlas, key, names)
            wall = max(run.end for run in ended) - min(run.begin for run in ended)
            seconds = sorted(run.seconds for run in ended)
            well = [run for run in ended if run.status == "succeeded" and run.rows == _ROWS]
            succeeded.append(len(well))
            each = wall / count
            over = each - own / _CORES
            rows.append(
                [
                    *(what, succeeded[-1], wall, each, own / _CORES, over),
                    *(median(seconds), seconds[int(count * 0.95)]),
                ]
            )
            figures[what] = {"wall": wall, "own": own, "overhead": over, "runs": seconds}
            options.say(f"{what}: {succeeded[-1]} of {count} succeeded in {wall:.1f} s")
    columns = ["", "succeeded", "wall, s", "wall per run", "source per run", "overhead per run"]
    table = Table(
        f"connections: {count} at once, a stream of {_ROWS} rows each, {_CORES} cores",
        [*columns, "request to end: median", "95 of 100"],
        rows,
    )
    limit = Limit("runs that succeeded", min(succeeded), count, "runs", at_most=False)
    return Result("connections", [table], [limit], figures)


def _own(atlas: Stack, verbs: tuple[str, ...]) -> float:
    """Seconds that the source itself takes for one run."""
    return sum(
        median(plain.seconds_alone(atlas, verb, rows=_ROWS) for _ in range(5)) for verb in verbs
    )
