"""What a soak measures of a running stack, one look at a time, and how much of each is a leak."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis
import sqlalchemy as sa

from tests.chaos.stack import Stack
from tests.soak.trend import Sample

MIB = 2**20
MEMORY = "memory of "
FILES = "open files of "
SERVERS = ("postgres", "redis")
WORK_TABLES = ("outbox", "tick", "worker", "scan_part", "measurement", "idempotency")
"""What these hold belongs to work under way, or is summed up: their rows go with it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table.

    Attributes:
        leak: growth within the soak that is too much, in the line's unit; None: it is data, which
            grow.
        most: what it never exceeds, however it grows below that; None: no such bound is known.
    """

    name: str
    unit: str = ""
    leak: float | None = None
    most: float | None = None
    digits: int = 0


LINES = (
    Line("threads of Atlas's processes", leak=20),
    Line("sessions of PostgreSQL", leak=8),
    Line("keys of Redis", leak=15),
    Line("data in Redis", "MiB", leak=4, digits=1),
    Line("messages in queues", leak=40),
    Line("rows of the tables of work", leak=400),
    Line("staging tables", leak=15),
    Line("outbox: oldest", "s", leak=20, digits=1),
    Line("lineage: oldest not delivered", "s", leak=20, digits=1),
    Line("schedules: latest", "s", leak=30, digits=1),
    Line("disk: tables of work", "MiB", leak=8, digits=1),
    Line("disk: PostgreSQL's own catalog", "MiB", leak=16, digits=1),
    # max_wal_size of the embedded server.
    Line("disk: write-ahead log", "MiB", most=2048 + 64),
    # The file that Redis appends to is made anew above 64 MiB, at twice its size.
    Line("disk: file of Redis", "MiB", most=200, digits=1),
    # Two of 10 MB a process (atlas.local.files), and what is written between two looks.
    Line("disk: logs", "MiB", most=400, digits=1),
    Line("disk: other files of ATLAS_HOME", "MiB", leak=2, digits=1),
    Line("files in ATLAS_HOME/tmp", leak=10),
    Line("data: layers", "MiB", digits=1),
    Line("data: ledger of what was done", "MiB", digits=1),
    Line("data: ledger, a run", "KiB", digits=1),
    Line("data: lineage/events.jsonl", "MiB", digits=1),
)
"""Every line but those of kinds of processes, which depend on what there is."""


def of_processes(name: str, start: float) -> Line:
    """The line of a measure of a kind of process; a tenth of what is much in any case is no
    leak."""
    if name.startswith(FILES):
        return Line(name, leak=max(20.0, start / 10))
    return Line(name, "MiB", leak=max(32.0, start / 10))


class Samples:
    """The looks so far.

    Args:
        homes: the homes whose ``stack.json`` name processes: of the stack, and of further hosts.
    """

    def __init__(self, stack: Stack, homes: Iterable[Path]) -> None:
        self._stack = stack
        self._homes = list(homes)
        self._began = time.monotonic()
        self.series: dict[str, list[Sample]] = defaultdict(list)
        self.parts: dict[str, list[Sample]] = defaultdict(list)
        """Of a measure that is a sum over processes, what each of these adds, by its pid."""
        self.looks = 0
        self.missed = 0

    def look(self) -> None:
        """One look at everything; what a fault hides just now is missing from it."""
        at = time.monotonic() - self._began
        self.looks += 1
        server = self._server()
        for name, value, parts in self._processes():
            self._add(at, name, value)
            self.parts[name] += [Sample(at, part, pid) for pid, part in parts.items()]
        parts = (self._files, self._broker, self._database)
        for part in parts:
            try:
                for name, value in part():
                    self._add(at, name, value, server if part is self._database else None)
            except (sa.exc.DBAPIError, redis.RedisError, OSError):
                self.missed += 1

    def begin(self) -> None:
        """Forget what was before: from here on counts."""
        self.series.clear()
        self.parts.clear()
        self.looks = self.missed = 0

    def _add(self, at: float, name: str, value: float, life: object = None) -> None:
        self.series[name].append(Sample(at, value, life))

    def _server(self) -> object:
        with contextlib.suppress(StopIteration, OSError, ValueError):
            return self._stack.pid("postgres")
        return None

    # --- processes -----------------------------------------------------------------------------

    def _processes(self) -> Iterator[tuple[str, float, dict[int, float]]]:
        """Each measure of a kind, and what of it is whose."""
        memory: dict[str, dict[int, float]] = defaultdict(dict)
        files: dict[str, dict[int, float]] = defaultdict(dict)
        threads: dict[int, float] = {}
        for kind, process in self._living():
            with contextlib.suppress(psutil.Error, OSError):
                memory[kind][process.pid] = self._memory(process.pid, kind == "postgres") / MIB
                if kind not in SERVERS:
                    files[kind][process.pid] = process.num_fds()
                    threads[process.pid] = process.num_threads()
        for what, found in ((MEMORY, memory), (FILES, files)):
            for kind, each in sorted(found.items()):
                yield what + kind, sum(each.values()), each
        yield "threads of Atlas's processes", sum(threads.values()), threads

    def _living(self) -> Iterator[tuple[str, psutil.Process]]:
        """All processes that last, with what kind each is of: a pool is another than who forked
        it."""
        kinds = set()
        for name, pid in self._named():
            kind = re.sub(r"-\d+$", "", name)
            kinds.add(kind)
            with contextlib.suppress(psutil.Error):
                top = psutil.Process(pid)
                yield kind, top
                if kind == "supervisor":
                    continue
                forked = kind if kind in SERVERS else f"{kind}: what it forked"
                for child in top.children(recursive=True):
                    # Connectors come and go.
                    with contextlib.suppress(psutil.Error):
                        line = " ".join(child.cmdline())
                        if "source.py" not in line and "atlas/process.py" not in line:
                            yield forked, child
        for kind, pids in self._elsewhere().items():
            if kind not in kinds:
                for pid in pids:
                    with contextlib.suppress(psutil.Error):
                        yield kind, psutil.Process(pid)

    def _named(self) -> Iterator[tuple[str, int]]:
        """Name and pid of each process that somebody keeps alive."""
        for home in self._homes:
            with contextlib.suppress(OSError, ValueError):
                state = (
                    self._stack.state
                    if home == self._stack.home
                    else json.loads((home / "stack.json").read_text())
                )
                yield from ((each["name"], each["pid"]) for each in state.get("processes", ()))
                if home == self._stack.home and state.get("up_pid"):
                    yield "supervisor", state["up_pid"]

    def _elsewhere(self) -> dict[str, list[int]]:
        """The servers' processes as they tell of them, where they work on this machine."""
        found: dict[str, list[int]] = {}
        with contextlib.suppress(sa.exc.DBAPIError, redis.RedisError, OSError):
            sessions = self._stack.rows(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'atlas%'"
            )
            found["postgres"] = [pid for (pid,) in sessions if _comm(pid) == "postgres"]
            pid = int(self._stack.redis.info("server")["process_id"])  # type: ignore[index]
            found["redis"] = [pid] if _comm(pid) == "redis-server" else []
        return found

    def _memory(self, pid: int, server: bool) -> int:
        """Its proportional share, which counts what is shared once; else what is resident. Of
        PostgreSQL what each process has for itself: its shared buffers are bounded by a setting."""
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            wanted = "Pss_Anon" if server else "Pss"
        except PermissionError:  # another user's
            text = Path(f"/proc/{pid}/status").read_text()
            wanted = "RssAnon"
        return 1024 * int(re.search(rf"^{wanted}:\s+(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]

    # --- files, Redis, PostgreSQL --------------------------------------------------------------

    def _files(self) -> Iterator[tuple[str, float]]:
        home = self._stack.home
        sizes: dict[str, int] = defaultdict(int)
        for top in home.iterdir():
            if top.name != "postgres":
                sizes[top.name] += _size(top)
        yield "disk: logs", sizes.pop("logs", 0) / MIB
        if "redis" in sizes:
            yield "disk: file of Redis", sizes.pop("redis") / MIB
        yield "data: lineage/events.jsonl", sizes.pop("lineage", 0) / MIB
        sizes.pop("tmp", None)
        yield "files in ATLAS_HOME/tmp", sum(1 for _ in (home / "tmp").glob("*"))
        yield "disk: other files of ATLAS_HOME", sum(sizes.values()) / MIB
        if (wal := home / "postgres" / "pg_wal").is_dir():
            yield "disk: write-ahead log", _size(wal) / MIB

    def _broker(self) -> Iterator[tuple[str, float]]:
        client = self._stack.redis
        try:
            yield "keys of Redis", float(client.dbsize())  # type: ignore[arg-type]
            info = client.info("memory")
            yield "data in Redis", info["used_memory_dataset"] / MIB  # type: ignore[index]
            waiting = sum(
                int(client.llen(queue))  # type: ignore[arg-type]
                for queue in ("extract", "scan", "load", "control")
            )
            yield "messages in queues", waiting
        finally:
            client.close()

    def _database(self) -> Iterator[tuple[str, float]]:
        rows = self._stack.rows(
            "SELECT n.nspname, CASE WHEN n.nspname <> 'pipeline' THEN ''"
            "   WHEN c.relname LIKE 'staging%' THEN 'staging' WHEN c.relname = ANY(:work)"
            "   THEN 'work' ELSE 'done' END,"
            " sum(pg_total_relation_size(c.oid)), count(*)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm') AND n.nspname IN"
            "   ('explore', 'chart', 'navigate', 'pipeline', 'pg_catalog')"
            " GROUP BY 1, 2",
            work=list(WORK_TABLES),
        )
        size = {(schema, part): (int(bytes_ or 0), count) for schema, part, bytes_, count in rows}
        layers = [size.get((layer, ""), (0, 0))[0] for layer in ("explore", "chart", "navigate")]
        done = size[("pipeline", "done")][0]
        yield "data: layers", sum(layers) / MIB
        yield "data: ledger of what was done", done / MIB
        yield "disk: tables of work", size[("pipeline", "work")][0] / MIB
        yield "disk: PostgreSQL's own catalog", size[("pg_catalog", "")][0] / MIB
        yield "staging tables", size.get(("pipeline", "staging"), (0, 0))[1]
        union = " UNION ALL ".join(f"SELECT count(*) FROM pipeline.{t}" for t in WORK_TABLES)
        ((lines, runs, sessions, outbox, lineage, late),) = self._stack.rows(
            f"SELECT (SELECT sum(count) FROM ({union}) x), (SELECT count(*) FROM pipeline.run),"
            " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            "    AND application_name LIKE 'atlas%'),"
            " coalesce((SELECT extract(epoch FROM clock_timestamp() - min(created_at))"
            "    FROM pipeline.outbox), 0),"
            " coalesce((SELECT extract(epoch FROM clock_timestamp() - min(created_at))"
            "    FROM pipeline.lineage_event WHERE delivered_at IS NULL), 0),"
            " coalesce((SELECT extract(epoch FROM clock_timestamp() - min(due_at))"
            "    FROM pipeline.connection WHERE due_at < clock_timestamp()), 0)"
        )
        yield "rows of the tables of work", float(lines)
        yield "data: ledger, a run", done / 1024 / max(int(runs), 1)
        yield "sessions of PostgreSQL", float(sessions)
        yield "outbox: oldest", float(outbox)
        yield "lineage: oldest not delivered", float(lineage)
        yield "schedules: latest", float(late)


def _comm(pid: int) -> str:
    """The name of a process of this machine; nothing where there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _size(path: Path) -> int:
    """Bytes of a file, or of all below a directory."""
    total = 0
    for each in [path, *(path.rglob("*") if path.is_dir() else ())]:
        with contextlib.suppress(OSError):
            if each.is_file():
                total += each.stat().st_size
    return total
