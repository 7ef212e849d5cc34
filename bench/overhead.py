"""What one run costs beside its rows: request, ledger, six stages, lineage, on an empty stream.

Measured: from the request of a run (through the API) to its end in the ledger, on a connection that
has been synced before, its source a program that starts, says its catalog, and has no rows
(:mod:`bench.plain_source`). Against what nobody can do without: a chain of six empty tasks through
Celery with its defaults, from the call to the last one's end, and one ``read`` of the same program.
Atlas starts the program twice (discover and read) and is charged with it; the bare side holds one.

One at a time, taking turns, on the same PostgreSQL and Redis; workers are warm: rounds before, many
runs at once so that each child of each pool has had its share, are not counted.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

from bench import Options, peers, plain, runs, stack
from bench.report import Limit, Result, Table

LIMIT = 15.0
_WARM = 8
_EMPTY = "empty"


def measure(options: Options) -> Result:
    """Measure, with its limit."""
    rounds = options.runs or 30
    measured: list[runs.Run] = []
    chains: list[float] = []
    reads: list[float] = []
    with stack.running() as atlas, peers.bare_worker(atlas) as bare:
        names = [f"warm{number}" for number in range(_WARM)]
        atlas.apply(*(plain.connection(atlas, name) for name in [_EMPTY, *names]))
        key = atlas.key("operator")
        for group in (names, names, [_EMPTY]):
            runs.must_succeed(runs.together(atlas, key, group))
        options.say("workers are warm")
        for _ in range(rounds):
            measured += runs.together(atlas, key, [_EMPTY])
            started = perf_counter()
            bare.run_chain()
            chains.append(perf_counter() - started)
            reads.append(plain.seconds_alone(atlas, "read"))
    runs.must_succeed(measured)
    stages = runs.by_stage(measured)
    run_times = [run.seconds for run in measured]
    whole, chain, read = median(run_times), median(chains), median(reads)
    against = Table(
        f"overhead: seconds of one run of an empty stream, median of {rounds}",
        ["", "seconds", "vs bare", "from", "to"],
        [
            [what, middle, middle / (chain + read), min(times), max(times)]
            for what, middle, times in (
                ("Atlas: a run, request to end", whole, run_times),
                ("bare Celery: chain of six empty tasks", chain, chains),
                ("connector alone: read", read, reads),
            )
        ],
    )
    within = Table(
        "overhead: where it goes (wait: since the stage before ended, or the request)",
        ["stage", "wait, s", "seconds", "share of the run"],
        [[name, wait, taken, (wait + taken) / whole] for name, (wait, taken) in stages.items()],
    )
    limit = Limit(
        "a run against a bare chain of six and the connector", whole / (chain + read), LIMIT, "x"
    )
    figures = {"runs": run_times, "chains": chains, "reads": reads, "stages": stages}
    return Result("overhead", [against, within], [limit], figures)
