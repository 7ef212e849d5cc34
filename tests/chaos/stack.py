"""Stacks to be broken: a whole Atlas as a user runs it, what it needs to be reached through
proxies or under another clock, and what must not be left of it once it is at rest."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import psutil
import redis
import sqlalchemy as sa

from tests import command
from tests.chaos.proxy import Proxy
from tests.e2e.conftest import Atlas

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
"""Debian's libfaketime."""
SETTINGS = {
    "ATLAS_SECRET_KEY": "the same key for every stack of the trials",
    "ATLAS_LEASE_SECONDS": "5",
    "ATLAS_RECOVERY_INTERVAL": "2",
    "ATLAS_RELAY_INTERVAL": "2",
    "ATLAS_REDISPATCH_SECONDS": "3",
    "ATLAS_RETRY_BASE_SECONDS": "0.5",
    "ATLAS_CHECKPOINT_ROWS": "5",
    # Each look starts a process; no fault here is one that only they see.
    "ATLAS_PROBE_INTERVAL": "60",
    # Several parts of a scan in each stream.
    "ATLAS_BATCH_ROWS": "25",
    # Six stages are held at once; what they hold up must get past them.
    "ATLAS_LOAD_CONCURRENCY": "6",
}
LEASE = float(SETTINGS["ATLAS_LEASE_SECONDS"])
ANSWER = 10.0
"""Seconds that a worker waits for an answer of Redis (celeryconfig)."""
WORKERS = ("worker-extract", "worker-scan", "worker-load")
_PER_PROCESS = 4
"""Connections to PostgreSQL that a process of Atlas holds at most."""


def lacking() -> str | None:
    """What this machine lacks to break a stack in every way; None: nothing."""
    if shutil.which("socat") is None:
        return "socat is not installed: apt-get install socat"
    if FAKETIME is None:
        return "libfaketime is not installed: apt-get install libfaketime"
    return None


@dataclass
class Stack(Atlas):
    """A stack under a home of its own, with hands to break it."""

    database: str | None = None
    """URL of the database, past any proxy; None: as stack.json says."""
    broker: str | None = None
    """The same of Redis."""
    calm_seconds: float = 0.0
    """How long the last sync took that nothing disturbed; 0: there was none."""
    _key: str = ""
    _second: subprocess.Popen[bytes] | None = None

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``atlas`` with ``args``, in the stack's home: its processes are known by that."""
        self.home.mkdir(parents=True, exist_ok=True)
        done = command.run(*args, env=self.environ, cwd=self.home)
        if check:
            assert done.returncode == 0, f"atlas {' '.join(args)}:\n{done.stdout}\n{done.stderr}"
        return done

    def up(self) -> None:
        """Start it; returns when it is ready."""
        self.run("up", "--detach")

    def down(self) -> None:
        """Stop it, with the second host's worker if there is one."""
        self.end_second_host()
        if self._engine is not None:
            self._engine.dispose()
        self.run("down")

    @property
    def state(self) -> dict[str, Any]:
        """What stack.json says now; {} while nothing runs."""
        try:
            return dict(json.loads((self.home / "stack.json").read_text()))
        except FileNotFoundError:
            return {}

    @property
    def database_url(self) -> str:
        """The database's URL, past any proxy."""
        return self.database or str(self.state["database_url"])

    @property
    def engine(self) -> sa.Engine:
        """Connections to the database, past any proxy."""
        if self._engine is None:
            self._engine = sa.create_engine(
                self.database_url,
                pool_pre_ping=True,
                pool_size=2,
                max_overflow=-1,
                connect_args={"application_name": "chaos", "connect_timeout": 5},
            )
        return self._engine

    @property
    def redis(self) -> redis.Redis:
        """A client of the broker, past any proxy."""
        return redis.Redis.from_url(self.broker or str(self.state["redis_url"]))

    # --- asking for syncs ----------------------------------------------------------------------

    def request(self, name: str) -> str:
        """Ask for a sync over HTTP; returns the run's id."""
        if not self._key:
            made = self.json("keys", "create", "--name", "chaos", "--role", "operator")
            self._key = str(made["key"])
        asked = urllib.request.Request(
            f"{self.state['api_url']}/api/v1/connections/{name}/syncs",
            method="POST",
            headers={"Authorization": f"Bearer {self._key}"},
        )
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return str(json.load(answer)["run_id"])

    def statuses(self, run_ids: list[str]) -> dict[str, str]:
        """Status of each run that has ended."""
        return dict(
            self.rows(
                "SELECT CAST(id AS text), status FROM pipeline.run"
                " WHERE id = ANY(CAST(:ids AS uuid[])) AND finished_at IS NOT NULL",
                ids=run_ids,
            )
        )

    def wait_all(self, run_ids: list[str], seconds: float) -> dict[str, str]:
        """Wait for the ends of runs; returns the statuses of those that ended in time."""
        found: dict[str, str] = {}

        def ended() -> bool:
            found.update(self.statuses(run_ids))
            return len(found) == len(set(run_ids))

        wait(ended, seconds, every=0.1)
        return found

    # --- processes -----------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Pid of a process of the stack."""
        return next(int(p["pid"]) for p in self.state["processes"] if p["name"] == name)

    def processes(self) -> list[psutil.Process]:
        """Every process of this stack, wherever it has got to: known by its environment, its
        directory or its arguments."""
        home = str(self.home)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if (
                    process.environ().get("ATLAS_HOME") == home
                    or process.cwd().startswith(home)
                    or any(home in part for part in process.cmdline())
                ):
                    found.append(process)
        return found

    def start_second_host(self, queues: str = "extract,scan,load,control") -> None:
        """Run one more worker, for all queues, past any proxy: as on another host."""
        log = (self.home / "logs" / "second-host.log").open("ab")
        with log:
            self._second = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "celery", "-A", "workers", "worker"),
                    *("-Q", queues, "-n", "second@%h", "--concurrency=4", "--loglevel=INFO"),
                    *("--without-gossip", "--without-mingle"),
                ],
                env={**self.process_environ, "REMAP_SIGTERM": "SIGQUIT"},
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def process_environ(self) -> dict[str, str]:
        """The environment of a process of this stack that a user runs by hand."""
        return {
            **{k: v for k, v in self.environ.items() if k != "CHAOS_CLOCK"},
            "ATLAS_DATABASE_URL": self.database_url,
            "ATLAS_REDIS_URL": self.broker or str(self.state["redis_url"]),
        }

    def end_second_host(self) -> None:
        """Stop the second host's worker as its supervisor would."""
        if self._second is not None:
            self._second.send_signal(signal.SIGTERM)
            self._second.wait(60)
            self._second = None

    # --- at rest -------------------------------------------------------------------------------

    def left_behind(self, seconds: float = 30.0) -> list[str]:
        """What is still there that should not be once all runs have ended, a line each.

        Waits up to ``seconds`` for it to go: a killed process's session, a transaction of a
        process that was frozen, and events on their way may take their time.
        """
        found: list[str] = []

        def clean() -> bool:
            try:
                living = self.processes()
                found[:] = [*self._left_in_database(living), *self._left_running(living)]
            except (sa.exc.OperationalError, redis.RedisError) as error:
                found[:] = [f"a server does not answer: {type(error).__name__}"]
            return not found

        wait(clean, seconds, every=0.5)
        return found

    def _left_in_database(self, living: list[psutil.Process]) -> Iterator[str]:
        for table, run_id in self.rows(
            "SELECT t.tablename, s.run_id FROM pg_tables t"
            " LEFT JOIN pipeline.run_stream s"
            "   ON s.id = CAST(substring(t.tablename from '^staging_(\\d+)') AS bigint)"
            " WHERE t.schemaname = 'pipeline' AND t.tablename LIKE 'staging%'"
        ):
            yield f"staging: table {table} of run {run_id}"
        for kind, ref in self.rows("SELECT kind, ref FROM pipeline.outbox"):
            yield f"outbox: {kind} {ref}"
        for (count,) in self.rows(
            "SELECT count(*) FROM pipeline.lineage_event WHERE delivered_at IS NULL"
        ):
            if count:
                yield f"outbox: {count} lineage events are not delivered"
        sessions = self.rows(
            "SELECT application_name, state, wait_event_type, count(*),"
            " extract(epoch FROM clock_timestamp() - min(xact_start)), min(left(query, 100))"
            " FROM pg_stat_activity"
            " WHERE application_name LIKE 'atlas%' AND datname = current_database()"
            " GROUP BY 1, 2, 3"
        )
        # A tick may be at its work when we look, but not each time.
        for name, state, wait_type, count, age, query in sessions:
            if state != "idle":
                since = f"for {age or 0:.1f} s, {query!r}"
                yield f"connection: {count} of {name} {state} ({wait_type}) {since}"
        bound = _PER_PROCESS * sum(_is_python(process) for process in living)
        if (count := sum(row[3] for row in sessions)) > bound:
            yield f"connection: {count}, more than {bound}"

    def _left_running(self, living: list[psutil.Process]) -> Iterator[str]:
        up = self.state.get("up_pid")
        roots = {up, os.getpid()}
        for process in living:
            with contextlib.suppress(psutil.Error):
                command = " ".join(process.cmdline())
                ancestors = {process.pid, *(parent.pid for parent in process.parents())}
                if not ancestors & roots:
                    yield f"process: {process.pid} has no parent: {command[:120]}"
                elif "source.py" in command or "atlas-guard" in command:
                    yield f"process: {process.pid} of a connector: {command[:120]}"
        for directory in (self.home / "tmp").glob("*"):
            yield f"file: {directory}"

    # --- evidence ------------------------------------------------------------------------------

    def warnings(self, last: int = 6) -> list[str]:
        """The last warnings of each log, and the last words of the supervisor's."""
        found = []
        for log in sorted((self.home / "logs").glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            if log.stem != "up":
                lines = [line for line in lines if " WARNING " in line or " ERROR " in line]
            found += [f"{log.stem}: {line[:200]}" for line in lines[-last:]]
        return found

    def keep_evidence(self, directory: Path) -> None:
        """Copy what tells of a failure: the logs, and the ledger of runs."""
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.home / "logs", directory / "logs", dirs_exist_ok=True)
        for name, query in (
            (
                "stage_run",
                "SELECT to_jsonb(x) FROM pipeline.stage_run x ORDER BY id DESC LIMIT 200",
            ),
            ("attempt", "SELECT to_jsonb(x) FROM pipeline.attempt x ORDER BY id DESC LIMIT 300"),
            ("run", "SELECT to_jsonb(x) FROM pipeline.run x ORDER BY seq DESC LIMIT 20"),
            ("outbox", "SELECT to_jsonb(x) FROM pipeline.outbox x ORDER BY id"),
            ("segment", "SELECT to_jsonb(x) FROM pipeline.segment x ORDER BY id DESC LIMIT 100"),
            (
                "run_stream",
                "SELECT to_jsonb(x) - 'configured' FROM pipeline.run_stream x ORDER BY id DESC",
            ),
            ("sessions", "SELECT to_jsonb(x) - 'query' FROM pg_stat_activity x"),
        ):
            try:
                lines = [json.dumps(row) for (row,) in self.rows(query)]
            except sa.exc.SQLAlchemyError as error:
                lines = [f"not read: {error}"]
            (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def _is_python(process: psutil.Process) -> bool:
    try:
        return Path(process.exe()).name.startswith("python")
    except (psutil.Error, OSError):
        return False


def wait(true: Callable[[], Any], seconds: float, every: float = 0.05) -> bool:
    """Poll until ``true()`` is; whether it came to be in time. A server away is not yet true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return True
        except (sa.exc.OperationalError, redis.RedisError, OSError):
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(every)


@dataclass
class Wires:
    """The proxies of a stack, and its workers' clock."""

    postgres: Proxy
    redis: Proxy
    clock: Path


@contextlib.contextmanager
def plain(home: Path, settings: dict[str, str] | None = None) -> Iterator[Stack]:
    """``atlas up`` with its own servers."""
    stack = Stack(home, SETTINGS if settings is None else settings)
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


@contextlib.contextmanager
def wired(home: Path) -> Iterator[tuple[Stack, Wires]]:
    """``atlas up`` that reaches PostgreSQL and Redis through proxies, and whose workers' clock is
    a file's to set."""
    from atlas.local.postgres import Postgres
    from atlas.local.redis import Redis

    servers = home / "servers"
    with contextlib.ExitStack() as opened:
        postgres, broker = Postgres(servers), Redis(servers)
        opened.enter_context(postgres)
        opened.enter_context(broker)
        database, queue = postgres.url(), broker.url()
        wires = Wires(
            opened.enter_context(Proxy(_postgres_socket(database))),
            opened.enter_context(Proxy(unquote(urlsplit(queue).path))),
            home / "clock",
        )
        set_clock(wires.clock, 0)
        extra = {
            **SETTINGS,
            "ATLAS_DATABASE_URL": f"postgresql://atlas@127.0.0.1:{wires.postgres.port}/atlas",
            "ATLAS_REDIS_URL": f"redis://127.0.0.1:{wires.redis.port}/0",
            "CHAOS_CLOCK": str(wires.clock),
            "CHAOS_FAKETIME": str(FAKETIME),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).with_name("clock")), os.environ.get("PYTHONPATH", "")]
            ).rstrip(os.pathsep),
        }
        stack = Stack(home, extra, database=database, broker=queue)
        stack.up()
        try:
            yield stack, wires
        finally:
            stack.down()


def set_clock(path: Path, seconds: int) -> None:
    """Set the workers' clock off by so many seconds; they see it within a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{seconds:+d}\n")


def _postgres_socket(url: str) -> str:
    query = parse_qs(urlsplit(url).query)
    return f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
