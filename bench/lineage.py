"""What lineage adds to a run: every event written, its stage, and the delivery.

Measured: a run of :mod:`bench.fast_source`, all six stages performed one after the other in this
process, as the workers do, on a server with default settings. The seconds of whatever makes and
writes events (:mod:`atlas.stages.events`, within the stages' own transactions), of stage
``lineage`` from its claim to its end, and of delivering the events to the file under ``ATLAS_HOME``
(which workers do beside the runs, not in them) are taken while it runs, and held against all the
rest of it. A run with lineage against one without would tell less: runs differ by more than the
limit.

The first run is not counted: models are loaded in it. A stack spreads the search for personal data
over processes: what is the rest here takes it less time.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

from atlas.errors import AtlasError
from atlas.ledger import claims, parts, runs
from atlas.model.stage import Stage
from atlas.stages import ORDER, chart, events, explore, lineage, navigate, pii, quality
from atlas.stages.work import PartWork, Work, begin
from atlas.sync.delivery import deliver_events
from bench import Options, fast_source, house
from bench.house import CONNECTION, House
from bench.report import Limit, Result, Table
from bench.stack import BenchError

ROWS = 100_000
"""How many the limit is meant for."""
_LIMIT = 2.0
_WARM_UP = 2_000
_LEASE = 600.0
_STAGES: dict[Stage, types.ModuleType] = {
    Stage.EXPLORE: explore,
    Stage.PII: pii,
    Stage.QUALITY: quality,
    Stage.CHART: chart,
    Stage.NAVIGATE: navigate,
    Stage.LINEAGE: lineage,
}
_TITLES = {
    "events": "events of all other stages, made and written",
    "stage": "stage lineage",
    "delivery": "delivery to a file",
    "rest": "the rest of the run",
}


class _Watch:
    """Seconds spent in the functions it watches, those that they call included."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, watched."""

        @functools.wraps(function)
        def timed(*args: Any, **given: Any) -> Any:
            if self._inside:
                return function(*args, **given)
            self._inside, started = True, perf_counter()
            try:
                return function(*args, **given)
            finally:
                self.seconds += perf_counter() - started
                self._inside = False

        return timed

    @contextlib.contextmanager
    def over(self, module: types.ModuleType) -> Iterator[None]:
        """Watch all that ``module`` offers."""
        with contextlib.ExitStack() as stack:
            for name, what in vars(module).copy().items():
                ours = getattr(what, "__module__", None) == module.__name__
                if isinstance(what, types.FunctionType) and ours and not name.startswith("_"):
                    stack.enter_context(mock.patch.object(module, name, self.watched(what)))
            yield


def measure(options: Options) -> Result:
    """Measure, with its limit."""
    rows, rounds = options.rows or ROWS, options.runs or 5
    taken: list[dict[str, float]] = []
    with house.running() as home:
        try:
            for number in range(rounds + 1):
                found = _run(home, rows if number else _WARM_UP)
                if number:
                    taken.append(found)
                    told = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in found.items())
                    options.say(f"run {number} of {rounds}: {told}")
        finally:
            quality._host().close()
    shares = [
        {name: 100 * seconds / found["rest"] for name, seconds in found.items()} for found in taken
    ]
    table = Table(
        f"lineage: a run of {rows:,} rows, median of {rounds}",
        ["", "seconds", "% of the rest", "from", "to"],
        [
            [what, median(each), median(share[name] for share in shares), min(each), max(each)]
            for name, what in _TITLES.items()
            for each in [[found[name] for found in taken]]
        ],
    )
    limit = Limit(
        f"what lineage adds to a run of {rows:,} rows",
        median(sum(share.values()) - share["rest"] for share in shares),
        _LIMIT,
        "%",
        binding=rows == ROWS,
    )
    return Result("lineage", [table], [limit], {"seconds": taken})


def _run(home: House, rows: int) -> dict[str, float]:
    """One run of ``rows`` rows that nobody has read before; seconds by what they went to."""
    home.apply(executable=str(Path(fast_source.__file__)), config={"rows": rows})
    with home.engine.begin() as conn:
        run_id = runs.create(
            conn, connection=CONNECTION, trigger="cli", selected=None, full_refresh=True
        )
    home.calm()
    watch, seconds = _Watch(), 0.0
    with watch.over(events):
        seconds += _perform(home, Stage.EXPLORE, run_id=run_id)
        with home.engine.connect() as conn:
            (stream,) = runs.stream_ids(conn, run_id)
        for stage in ORDER[1:-1]:
            seconds += _perform(home, stage, run_stream_id=stream)
    last = _perform(home, Stage.LINEAGE, run_stream_id=stream)
    started = perf_counter()
    while deliver_events(home.engine, home.settings):
        pass
    delivery = perf_counter() - started
    ((status, read),) = home.execute(
        "SELECT r.status, s.rows_promoted + s.rows_quarantined FROM pipeline.run AS r"
        f" JOIN pipeline.run_stream AS s ON s.run_id = r.id WHERE r.id = '{run_id}'"
    )
    if (status, read) != ("succeeded", rows):
        raise BenchError(f"the run {status}, {read} rows of {rows} promoted")
    return {
        "events": watch.seconds,
        "stage": last,
        "delivery": delivery,
        "rest": seconds - watch.seconds,
    }


def _perform(home: House, stage: Stage, **which: Any) -> float:
    """Perform a stage with its parts, in this process alone; returns its seconds."""
    started = perf_counter()
    claim = claims.claim(home.engine, stage, holder="bench", lease=_LEASE, **which)
    if not isinstance(claim, claims.Claim):
        raise BenchError(f"stage {stage} cannot be claimed: {claim}")
    work = Work(claim, home.engine, home.settings, _nobody)
    try:
        with work.transaction() as conn:
            begin(conn, home.settings, claim)
        _STAGES[stage].run(work)
        while work.parked and (part := _part(home)) is not None:
            pii.run_part(PartWork(part, "bench", home.engine, home.settings, _nobody))
    except AtlasError as error:
        raise BenchError(f"stage {stage}: {error}") from error
    seconds = perf_counter() - started
    return seconds + _perform(home, stage, **which) if work.parked else seconds


def _part(home: House) -> parts.Part | None:
    return parts.claim(home.engine, holder="bench", lease=_LEASE, max_attempts=3)


def _nobody(messages: list[int]) -> None:
    """Nobody waits for messages here."""
