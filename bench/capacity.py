"""How much a core does, and what a day of many rows takes: the model of docs/sizing.md.

Measured: one run of :mod:`bench.fast_source`, whose rows cost next to nothing to make, through all
stages of a stack with its default settings. Of the ledger: how long each stage took. Of the
machine: the processor seconds of each kind of process, its children's among them; and the bytes
that the database grew by. One large stream a run: the stages of one stream follow one another, and
those of many overlap.

The arithmetic (:func:`plan`) takes rates to be the same per core on any number of cores, which
holds for workers and not for ever for PostgreSQL: docs/sizing.md says where it ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import Options, fast_source, stack
from bench.report import Cell, Result, Table, cores
from bench.stack import Stack

ROWS = 500_000
PER_DAY = 1_000_000_000
BUSY = 0.7
"""The share of its time that a core, or a process that waits for SQL, is planned to be at work."""
_WARM_UP = 10_000
_LOAD = ("quality", "chart", "navigate", "lineage")
_CONTROL = 2
_WEB_CONNECTIONS = 22
_PER_PROCESS = 4
_SPARE = 10


@dataclass(frozen=True, slots=True)
class Rates:
    """What one run cost.

    Attributes:
        rows: rows of it.
        stages: seconds of each stage, as the ledger has them.
        cpu: processor seconds by kind of process: ``extract``, ``scan``, ``load``, ``postgres``.
        stored: bytes that the database grew by.
    """

    rows: int
    stages: Mapping[str, float]
    cpu: Mapping[str, float]
    stored: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a number of rows a day takes.

    Attributes:
        per_second: rows a second, evenly over the day.
        cores: by kind of process.
        processes: of the workers, by queue.
        connections: most that these, two web processes and a few commands open to PostgreSQL.
        stored: bytes a day.
        first: the kind of process that takes most cores.
    """

    per_second: float
    cores: dict[str, float]
    processes: dict[str, int]
    connections: int
    stored: float
    first: str


def plan(rates: Rates, per_day: int) -> Plan:
    """The arithmetic.

    Cores of a kind: rows a second, times its processor seconds a row, over the share of time that a
    core is to be busy. Processes: on ``scan`` as many as its cores, for they only compute; on
    ``extract`` and ``load``, which wait for the source and for SQL, rows a second times the seconds
    a row of their stages, over the same share.
    """
    per_second = per_day / 86_400
    share = per_second / rates.rows / BUSY
    needed = {kind: seconds * share for kind, seconds in rates.cpu.items()}
    waits = {
        "extract": rates.stages["explore"],
        "load": sum(rates.stages[name] for name in _LOAD),
    }
    processes = {
        "extract": math.ceil(waits["extract"] * share),
        "scan": max(math.ceil(needed["scan"]), 1),
        "load": math.ceil(waits["load"] * share),
        "control": _CONTROL,
    }
    return Plan(
        per_second=per_second,
        cores=needed,
        processes=processes,
        # A Soda process beside each on `load` has one, too.
        connections=_WEB_CONNECTIONS
        + _PER_PROCESS * sum(processes.values())
        + processes["load"]
        + _SPARE,
        stored=rates.stored / rates.rows * per_day,
        first=max(needed, key=lambda kind: needed[kind]),
    )


def measure(options: Options) -> Result:
    """Measure, and plan a day of a billion rows; there is no limit."""
    rows = options.rows or ROWS
    with stack.running() as atlas:
        options.say("warming up")
        _run(atlas, "warm", _WARM_UP)
        options.say(f"{rows:,} rows through all stages")
        rates = _run(atlas, "rows", rows)
    return Result("capacity", tables(rates, plan(rates, PER_DAY)), [], {"rows": rows})


def _run(atlas: Stack, name: str, rows: int) -> Rates:
    program = str(Path(fast_source.__file__).absolute())
    atlas.apply({"name": name, "executable": program, "config": {"rows": rows}})
    atlas.calm()
    size, before = _size(atlas), _cpu(atlas)
    document = atlas.sync(name, rows)
    used = {kind: seconds - before[kind] for kind, seconds in _cpu(atlas).items()}
    return Rates(rows, stack.stage_seconds(document), used, _size(atlas) - size)


def _size(atlas: Stack) -> int:
    with atlas.admin() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])  # type: ignore[index]


def _cpu(atlas: Stack) -> dict[str, float]:
    # Not control: what it does goes by the time, not by the rows.
    kinds = ("extract", "scan", "load")
    found = atlas.cpu()
    return {kind: found[f"worker-{kind}"] for kind in kinds} | {"postgres": found["postgres"]}


def tables(rates: Rates, planned: Plan) -> list[Table]:
    """What is printed."""
    stages: list[list[Cell]] = [
        [name, seconds, rates.rows / seconds if seconds else None]
        for name, seconds in rates.stages.items()
    ]
    by_kind: list[list[Cell]] = [
        [
            kind,
            seconds,
            rates.rows / seconds if seconds else None,
            planned.cores[kind],
            planned.processes.get(kind),
        ]
        for kind, seconds in rates.cpu.items()
    ]
    return [
        Table(
            f"capacity: {rates.rows:,} rows in one stream, {cores()} cores: stages by the ledger",
            ["stage", "seconds", "rows/s"],
            stages,
        ),
        Table(
            f"capacity: rows per second and core, and a day of {PER_DAY:,} rows"
            f" ({planned.per_second:,.0f} a second, cores {BUSY:.0%} busy)",
            ["process", "CPU seconds", "rows/s and core", "cores for it", "processes for it"],
            by_kind,
        ),
        Table(
            "capacity: the rest of that day",
            ["", "of it"],
            [
                ["connections to PostgreSQL, at most", planned.connections],
                ["GB that PostgreSQL grows by, before retention", planned.stored / 1e9],
                ["takes most cores, so comes to its end first", planned.first],
            ],
        ),
    ]
