"""A whole Atlas of the benchmark's own: a home in a temporary directory, the command line, its end.

Everything is done as a user does it, by ``atlas up``, ``apply`` and ``sync``, with the default
settings unless a measurement says otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import yaml
from psycopg2 import extensions

from atlas.settings import Settings, parse

CHECKOUT = Path(__file__).parents[1]
_SETTLE = 1.0
_FROZEN = ("worker-", "beat", "flower")


class BenchError(Exception):
    """A measurement could not be made; one line says why."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack."""

    home: Path
    environ: dict[str, str]

    def atlas(self, *args: str) -> str:
        """Run ``atlas`` with ``args``; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "atlas.cli", *args],
            env=self.environ,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            told = (done.stderr.strip() or done.stdout.strip())[-2000:]
            raise BenchError(f"atlas {' '.join(args)}: exit code {done.returncode}: {told}")
        return done.stdout

    def apply(self, *connections: dict[str, Any]) -> None:
        """Apply connections."""
        path = self.home / "connections.yml"
        path.write_text(yaml.safe_dump({"connections": list(connections)}))
        self.atlas("apply", "-f", str(path))

    def key(self, role: str) -> str:
        """A new API key."""
        made = self.atlas("keys", "create", "--name", f"bench-{time.time_ns()}", "--role", role)
        return made.strip()

    def sync(self, name: str, rows: int) -> dict[str, Any]:
        """Sync to the end; returns the run's document.

        Raises:
            BenchError: it did not succeed at the first attempt of each stage, or did not read and
                keep ``rows`` rows: no figure of it counts.
        """
        document: dict[str, Any] = json.loads(self.atlas("sync", name, "--wait", "--json"))
        counts = [stream["rows"] for stream in document["streams"]]
        read = sum(count["explore"] for count in counts)
        kept = sum(count["promoted"] + count["quarantined"] for count in counts)
        if read != rows or kept != rows:
            raise BenchError(f"sync {name}: {read} rows read and {kept} kept, not {rows}")
        for stage in stages(document):
            if stage["attempt"] != 1:
                raise BenchError(f"sync {name}: {stage['stage']} took {stage['attempt']} attempts")
        return document

    @property
    def settings(self) -> Settings:
        """The settings of this stack."""
        return parse({k: v for k, v in self.environ.items() if k.startswith("ATLAS_")})

    @property
    def state(self) -> dict[str, Any]:
        """What `atlas up` wrote of itself."""
        return dict(json.loads((self.home / "stack.json").read_bytes()))

    @property
    def database_url(self) -> str:
        """URL of its embedded PostgreSQL."""
        return str(self.state["database_url"])

    @property
    def redis_url(self) -> str:
        """URL of its embedded Redis."""
        return str(self.state["redis_url"])

    @property
    def api_url(self) -> str:
        """URL of its web process."""
        return str(self.state["api_url"])

    def processes(self) -> dict[str, psutil.Process]:
        """The stack's processes by their names in ``atlas status``, and ``up``, their parent."""
        state = self.state
        pids = {entry["name"]: entry["pid"] for entry in state["processes"]}
        return {name: psutil.Process(pid) for name, pid in {"up": state["up_pid"], **pids}.items()}

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of each process with its children, those that ended included."""
        used: dict[str, float] = {}
        for name, process in self.processes().items():
            family = [process] if name == "up" else [process, *process.children(recursive=True)]
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    used[name] = used.get(name, 0.0) + times.user + times.system
                    if name != "up":
                        used[name] += times.children_user + times.children_system
        return used

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[str]:
        """A database of its own in the stack's server, for a peer; dropped at the end.

        Gives its URL.
        """
        with self.admin() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        try:
            head, _, query = self.database_url.partition("?")
            yield f"{head.rpartition('/')[0]}/{name}?{query}"
        finally:
            with self.admin() as cursor:
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def calm(self) -> None:
        """Let the server write out what the measurement before left to be written."""
        with self.admin() as cursor:
            cursor.execute("CHECKPOINT")
        os.sync()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Workers, beat and Flower stand still (SIGSTOP), so that a peer has the machine for
        itself; web, PostgreSQL and Redis, which do nothing unasked, stay."""
        still: list[psutil.Process] = []
        for name, process in self.processes().items():
            if name.startswith(_FROZEN):
                still += [process, *process.children(recursive=True)]
        try:
            for process in still:
                _signal(process, signal.SIGSTOP)
            yield
        finally:
            for process in reversed(still):
                _signal(process, signal.SIGCONT)
            # They do what they missed; whoever is measured next should not pay for it.
            time.sleep(_SETTLE)

    @contextlib.contextmanager
    def admin(self) -> Iterator[extensions.cursor]:
        """A cursor in its database; each statement commits."""
        connection = psycopg2.connect(self.database_url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


@contextlib.contextmanager
def cores(count: int) -> Iterator[None]:
    """This process and what it starts use no more than ``count`` cores (where that can be said)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Stack]:
    """A stack under a fresh home, stopped and removed at the end whatever happens.

    Args:
        settings: beyond the defaults, by their variables' names.
    """
    directory = Path(tempfile.mkdtemp(prefix="atlas-bench-"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
    home = directory / "home"
    # Counted as ever, and never too many.
    common = {"ATLAS_HOME": str(home), "ATLAS_PORT": "0", "ATLAS_RATE_LIMIT": "1000000/second"}
    stack = Stack(home, {**kept, **common, **settings})
    try:
        stack.atlas("up", "--detach")
        yield stack
    finally:
        # In a session of its own: a second Ctrl-C must not leave a stack behind.
        subprocess.run(
            [sys.executable, "-m", "atlas.cli", "down"],
            env=stack.environ,
            cwd=CHECKOUT,
            check=False,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        shutil.rmtree(directory)


def seconds(stage: dict[str, Any], start: str = "started_at", end: str = "finished_at") -> float:
    """Seconds between two times of a run's document or of one of its stages."""
    return (at(stage[end]) - at(stage[start])).total_seconds()


def at(text: str) -> datetime:
    """A time of a document."""
    return datetime.fromisoformat(text)


def stage_seconds(document: dict[str, Any]) -> dict[str, float]:
    """Seconds of each stage of a run with one stream, in order."""
    return {stage["stage"]: seconds(stage) for stage in stages(document)}


def stages(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages of a run with one stream, in order."""
    (stream,) = document["streams"]
    return [*document["stages"], *stream["stages"]]


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
