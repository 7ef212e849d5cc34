"""``make soak MINUTES=60``: a stack at work for long, broken now and then: nothing is lost, nothing
is stuck, and nothing grows but data.

``python -m tests.soak --minutes 60 [--seed N] [--workers 2] [--connections 20] [--gap 75]``. With
``ATLAS_DATABASE_URL`` and ``ATLAS_REDIS_URL`` set it works with those servers, which are to be its
own alone: an empty database, and a Redis that it flushes. ``--home`` is that of a stack which runs
already, started by hand as docs/operations.md says, with its environment. What it draws comes from
the seed. Prints a table in Markdown; exit code 1: something grows, is lost, is there twice, or is
stuck.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from tests.chaos.stack import SETTINGS, Stack, plain, wait
from tests.soak import report
from tests.soak.account import Book
from tests.soak.byhand import BROKER, ByHand
from tests.soak.hosts import further
from tests.soak.readers import Readers
from tests.soak.samples import Samples
from tests.soak.trend import Sample
from tests.soak.trouble import ANYWHERE, EMBEDDED, FLUSHING, Trouble
from tests.soak.world import FAILING, NAMES, World

# As short as retention goes; the soak makes what is older than `kept` that old.
_RETENTION = {
    "ATLAS_EXPLORE_DAYS": "1",
    "ATLAS_QUARANTINE_DAYS": "1",
    "ATLAS_RUN_LOG_DAYS": "1",
    "ATLAS_LINEAGE_DAYS": "1",
}
_OURS = {
    **_RETENTION,
    # As a user has it.
    "ATLAS_PROBE_INTERVAL": "15",
    "ATLAS_LOAD_CONCURRENCY": "4",
    "ATLAS_RATE_LIMIT": "off",
}
_AGE = (
    "UPDATE pipeline.run SET finished_at = finished_at - interval '3 days',"
    " started_at = started_at - interval '3 days'"
    " WHERE finished_at BETWEEN now() - interval '1 day' AND now() - make_interval(secs => :kept)"
)
_AGE_ROWS = (
    "UPDATE explore.{table} SET _atlas_loaded_at = _atlas_loaded_at - interval '3 days'"
    " WHERE _atlas_loaded_at BETWEEN now() - interval '1 day'"
    " AND now() - make_interval(secs => :kept)"
)
_WARM = 120.0
"""Seconds after which a process that was started anew is warm."""
_PATIENCE = 300.0
"""Seconds within which all runs have ended once nothing new begins."""


class Soak:
    """A soak of a stack that runs."""

    def __init__(self, options: argparse.Namespace, stack: Stack, homes: list[Path]) -> None:
        self._stack = stack
        self._seconds = options.minutes * 60
        # What a process loads, it has by then; and what is kept of old comes to be deleted.
        self._warm = min(max(self._seconds / 5, 45.0), 600.0)
        self._kept = max(self._seconds / 6, 120.0)
        self._dice = random.Random(options.seed)
        self._world = World(stack.home / "sources", NAMES[: options.connections], self._dice)
        self._book = Book(self._world.streams)
        self._samples = Samples(stack, [stack.home, *homes])
        self._trouble = Trouble(
            stack,
            random.Random(f"{options.seed} faults"),
            options.gap,
            names=_faults(stack),
            tell=_tell,
        )
        self._readers = Readers(stack)
        self._gone: Counter[str] = Counter()
        self.wrong: list[str] = []

    def do(self) -> str:
        """All of it; returns the report. What is wrong is in ``wrong``."""
        self._stack.apply(*self._world.connections())
        _tell(f"{len(self._world.versions)} connections are applied; seed's draws begin")
        self._trouble.start()
        self._readers.start()
        try:
            self._soak()
        finally:
            self._readers.stop()
            self._trouble.stop()
        self._end()
        return self._told()

    def keep(self, directory: Path) -> None:
        """Write what was measured there."""
        for name, found in (("series", self._samples.series), ("parts", self._samples.parts)):
            told = {what: [(s.at, s.value, s.life) for s in each] for what, each in found.items()}
            (directory / f"{name}.json").write_text(json.dumps(told))

    def _soak(self) -> None:
        began = time.monotonic()
        every = min(max(self._seconds / 300, 2.0), 10.0)
        warm = False
        maintained = told = began
        while (now := time.monotonic()) - began < self._seconds and self._trouble.error is None:
            if not warm and now - began > self._warm:
                # From here on counts.
                self._samples.begin()
                warm = True
            self._world.go_on()
            self._samples.look()
            with _away():
                with self._stack.engine.connect() as conn:
                    self._book.write(conn)
                if now - maintained > self._kept / 4:
                    self._maintain()
                    maintained = now
            if now - told > 60:
                _tell(f"{(now - began) / 60:.0f} min: {self._book.sent:,} rows read")
                told = now
            time.sleep(max(now + every - time.monotonic(), 0.0))

    def _maintain(self) -> None:
        """Make what is old older, and have what is older than a day be deleted."""
        with self._stack.engine.begin() as conn:
            self._book.write(conn)
        tables = self._stack.rows("SELECT raw_name FROM pipeline.stream_table")
        for query in [_AGE, *(_AGE_ROWS.format(table=table) for (table,) in tables)]:
            with self._stack.engine.begin() as conn:
                conn.execute(sa.text(query), {"kept": self._kept})
        done = self._stack.run("maintenance", "--json", check=False)
        if done.stdout:
            took = json.loads(done.stdout)["deleted"]
            self._gone.update({what: n for what, n in took.items() if n})

    # --- the end -------------------------------------------------------------------------------

    def _end(self) -> None:
        """Stop what comes by itself, have all be read once more, and look at what there is."""
        stack = self._stack
        _tell("the time is over: schedules are paused, and what is under way may end")
        for name in self._world.versions:
            self._readers.pause(name)
        self._world.mend()
        self._wait_for_quiet()
        # Those that failed before, and whatever changed since.
        runs = {name: stack.request(name) for name in self._world.versions}
        ended = stack.wait_all(list(runs.values()), _PATIENCE)
        for name, run in runs.items():
            if ended.get(run) != "succeeded":
                self.wrong.append(f"the last run of {name} is {ended.get(run) or 'stuck'}: {run}")
        self._wait_for_quiet()
        self.wrong += [f"left behind: {line}" for line in stack.left_behind(60.0)]
        with stack.engine.connect() as conn:
            found = self._book.close(conn, self._world.versions)
        self._lost, self._twice = len(found.lost), len(found.twice)
        self.wrong += [f"lost: {line}" for line in found.lost[:20]]
        self.wrong += [f"twice: {line}" for line in found.twice[:20]]
        clear = stack.rows("SELECT count(*) FROM chart.people_a_people WHERE email LIKE '%@%'")
        if clear != [(0,)]:
            self.wrong.append(f"not masked: {clear[0][0]} rows of chart.people_a_people")
        if self._trouble.error is not None:
            self.wrong.append(f"a fault went wrong: {self._trouble.error}")

    def _wait_for_quiet(self) -> None:
        active = "SELECT count(*) FROM pipeline.run WHERE finished_at IS NULL"
        if not wait(lambda: self._stack.rows(active) == [(0,)], _PATIENCE, every=0.5):
            stuck = self._stack.rows(
                "SELECT connection, CAST(id AS text), status FROM pipeline.run"
                " WHERE finished_at IS NULL"
            )
            self.wrong += [f"stuck: run {run} of {name}, {status}" for name, run, status in stuck]

    def _told(self) -> str:
        stack = self._stack
        statuses = Counter(dict(stack.rows("SELECT status, count(*) FROM pipeline.run GROUP BY 1")))
        for name, count in stack.rows(
            "SELECT connection, count(*) FROM pipeline.run WHERE status <> 'succeeded' GROUP BY 1"
        ):
            if name != FAILING:
                self.wrong.append(f"{count} runs of {name} did not succeed")
        outcomes = dict(stack.rows("SELECT outcome, count(*) FROM pipeline.attempt GROUP BY 1"))
        samples = self._samples
        table, grown = report.judged(samples.series, samples.parts, warm=min(self._warm, _WARM))
        self.wrong += [f"grows: {line}" for line in grown]
        faults = ", ".join(f"{name} {n}" for name, n in sorted(self._trouble.done.items()))
        return "\n".join(
            [
                *table,
                "",
                f"Runs: {_counts(statuses)}. Attempts at stages: {_counts(outcomes)}.",
                f"Rows read: {self._book.sent:,}; lost {self._lost}, twice {self._twice}.",
                f"Faults: {self._trouble.done.total()} ({faults or 'none'}).",
                f"Retention took: {_counts(self._gone) or 'nothing'}.",
                f"Requests of readers meanwhile: {self._readers.told}.",
                f"Start is after {self._warm:.0f} s of warming up. Looks: {self._samples.looks}.",
                f"Parts of looks that a server's fault hid: {self._samples.missed}.",
                "Memory is proportional share (PSS); of PostgreSQL's sessions what is their own.",
            ]
        )


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name or 'open'} {n:,}" for name, n in sorted(found.items(), key=str))


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """What a server that is just away keeps from being done is done the next time."""
    with contextlib.suppress(sa.exc.OperationalError, sa.exc.InterfaceError, OSError):
        yield


def _faults(stack: Stack) -> tuple[str, ...]:
    """Names of what may happen to it."""
    if isinstance(stack, ByHand):
        return ANYWHERE + (FLUSHING if BROKER in os.environ else ())
    embedded = "ATLAS_DATABASE_URL" not in os.environ and "ATLAS_REDIS_URL" not in os.environ
    return ANYWHERE + FLUSHING + (EMBEDDED if embedded else ())


def _tell(line: str) -> None:
    print(f"… {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1_000_000)))
    parser.add_argument("--connections", type=int, default=20, choices=range(3, 21), metavar="3-20")
    parser.add_argument("--workers", type=int, default=1, help="workers a queue")
    parser.add_argument(
        "--gap", type=float, default=60.0, help="seconds between faults, on average"
    )
    parser.add_argument(
        "--home", type=Path, help="of a stack that runs already, started by hand (docs/operations)"
    )
    parser.add_argument(
        "--again", type=Path, metavar="DIR", help="judge anew what --keep kept there, and end"
    )
    parser.add_argument("--keep", action="store_true", help="keep the home, whatever comes of it")
    options = parser.parse_args()
    if options.again is not None:
        return _again(options.again)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = options.home or Path(tempfile.mkdtemp(prefix="atlas-soak-"))
    _tell(f"seed {options.seed}, {options.minutes:g} min, in {home}")
    began = time.monotonic()
    with _stack(home, options.workers, by_hand=options.home is not None) as (stack, homes):
        soak = Soak(options, stack, homes)
        told = soak.do()
        evidence = home / "evidence" if options.home is None else Path("evidence").resolve()
        if soak.wrong or options.keep:
            stack.keep_evidence(evidence)
            soak.keep(evidence)
    print(told)
    print(
        f"`make soak MINUTES={options.minutes:g} SEED={options.seed}`"
        f" took {(time.monotonic() - began) / 60:.1f} min."
    )
    for line in soak.wrong:
        print(line)
    if soak.wrong or options.keep:
        print(f"what tells of it is in {evidence}")
    elif options.home is None:
        shutil.rmtree(home)
    return 1 if soak.wrong else 0


def _again(directory: Path) -> int:
    found = []
    for name in ("series", "parts"):
        kept = json.loads((directory / f"{name}.json").read_text())
        found.append({what: [Sample(*each) for each in some] for what, some in kept.items()})
    table, grown = report.judged(*found, warm=_WARM)
    print("\n".join([*table, "", *(f"grows: {line}" for line in grown)]))
    return 1 if grown else 0


@contextlib.contextmanager
def _stack(home: Path, workers: int, *, by_hand: bool) -> Iterator[tuple[Stack, list[Path]]]:
    """The stack to be soaked, and the homes of its further hosts."""
    if by_hand:
        yield ByHand(home, _RETENTION), []
        return
    names = ("ATLAS_DATABASE_URL", "ATLAS_REDIS_URL")
    outside = {name: os.environ[name] for name in names if name in os.environ}
    with plain(home, {**SETTINGS, **_OURS, **outside}) as stack:
        stack.database, stack.broker = (outside.get(name) for name in names)
        with further(stack, workers) as homes:
            yield stack, homes


if __name__ == "__main__":
    sys.exit(main())
