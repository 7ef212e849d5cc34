"""The memory of every process of a stack, looked at five times a second.

What counts is what a process has for itself. For Atlas's own that is its resident set. A process of
PostgreSQL has shared buffers in its resident set too, which belong to the server as a whole and
are bounded by a setting; so of the servers only anonymous memory counts. Between two looks nothing
is lost, where the kernel remembers the highest resident set and lets us reset it.

Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.stack import Stack

_EVERY = 0.2
_FIELDS = re.compile(r"^(VmHWM|VmRSS|RssAnon):\s+(\d+) kB$", re.MULTILINE)
_SERVERS = ("postgres", "redis")
_POSTGRES = ("checkpointer", "background", "walwriter", "autovacuum", "logical", "io", "startup")
_STARTING = "starting"

Id = tuple[int, int]
"""A process: its pid and when it was born, in the kernel's ticks."""


@dataclass(slots=True)
class Seen:
    """A process, in bytes.

    Attributes:
        kind: what it is, the same for all of its kind.
        ours: False for a connector, whose memory is its own affair.
        baseline: None for one that :meth:`Sampler.mark` did not meet.
        now: at the last look.
        peak: the highest since :meth:`Sampler.mark`.
        remembered: whether the kernel's own highest began at the mark.
    """

    kind: str
    ours: bool
    baseline: int | None = None
    now: int = 0
    peak: int = 0
    remembered: bool = True


@dataclass(frozen=True, slots=True)
class Growth:
    """The process of a kind that grew the most, in bytes."""

    kind: str
    ours: bool
    baseline: int
    peak: int

    @property
    def grown(self) -> int:
        """Peak beyond baseline."""
        return self.peak - self.baseline


class Sampler:
    """Samples in a thread while it is open.

    Args:
        foreign: whether a command line is that of the connector.
    """

    def __init__(self, stack: Stack, foreign: Callable[[list[str]], bool]) -> None:
        self._stack = stack
        self._foreign = foreign
        self._seen: dict[Id, Seen] = {}
        self._past: dict[str, int] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def mark(self) -> None:
        """From here on: growth beyond what each process has now.

        One that is born later is compared with the highest that its kind had before: a child made
        for one piece of work loads its libraries anew, and that is no growth.
        """
        with self._lock:
            alive = self._look()
            for seen in self._seen.values():
                self._past[seen.kind] = max(self._past.get(seen.kind, 0), seen.peak)
            self._seen = {id_: seen for id_, seen in self._seen.items() if id_ in alive}
            for (pid, _), seen in self._seen.items():
                seen.remembered = _reset_highest(pid)
                seen.baseline = seen.peak = seen.now

    def growth(self) -> list[Growth]:
        """What happened since :meth:`mark`: for each kind the process that grew the most."""
        with self._lock:
            if self._error is not None:
                raise self._error
            self._look()
            kinds: dict[str, list[Growth]] = {}
            for seen in self._seen.values():
                baseline = self._past.get(seen.kind, 0) if seen.baseline is None else seen.baseline
                grown = Growth(seen.kind, seen.ours, baseline, seen.peak)
                kinds.setdefault(seen.kind, []).append(grown)
        return [max(found, key=lambda one: one.grown) for found in kinds.values()]

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            try:
                with self._lock:
                    self._look()
            except Exception as error:  # noqa: BLE001 - told by growth()
                self._error = error
                return

    def _look(self) -> set[Id]:
        """Look at all processes; returns those that live."""
        alive = set()
        for id_, name, top in self._family():
            found = _memory(id_[0], server=name in _SERVERS)
            if found is None:
                continue
            alive.add(id_)
            now, highest = found
            seen = self._seen.get(id_)
            if seen is None or seen.kind == _STARTING:
                argv = _argv(id_[0])
                ours = not self._foreign(argv)
                kind = name if id_[0] == top else _kind(name, argv, _argv(top))
                seen = self._seen[id_] = Seen(kind if ours else "connector", ours)
            seen.now = now
            seen.peak = max(seen.peak, now, highest if seen.remembered else 0)
        return alive

    def _family(self) -> Iterator[tuple[Id, str, int]]:
        """Each process of the stack with the name and the pid of the one in ``atlas status`` that
        it descends from."""
        tops = {process.pid: name for name, process in self._stack.processes().items()}
        table = dict(_table())
        for pid, (_, born) in table.items():
            top = pid
            while top in table and top not in tops:
                top = table[top][0]
            if top in tops and (tops[top] != "up" or top == pid):
                yield (pid, born), tops[top], top


def ours(found: Iterable[Growth]) -> list[Growth]:
    """Without the connectors, the most grown first."""
    return sorted((one for one in found if one.ours), key=lambda one: -one.grown)


def _kind(name: str, argv: list[str], parent: list[str]) -> str:
    """What a child of ``name`` is, from its command line; the same for all children of a kind."""
    if argv == parent:
        return f"{name}: pool"
    title = re.match(r"postgres: \S+: (\w+)", " ".join(argv))
    if title:
        return f"{name}: {title[1] if title[1] in _POSTGRES else 'backend'}"
    # The launcher is about to become something else.
    if not argv or any(part.endswith("atlas/process.py") for part in argv):
        return _STARTING
    if "-m" in argv[:-1]:
        return f"{name}: {argv[argv.index('-m') + 1]}"
    scripts = [part for part in argv[1:] if part.endswith(".py")]
    return f"{name}: {Path(scripts[0] if scripts else argv[0]).name}"


def _table() -> Iterator[tuple[int, tuple[int, int]]]:
    """Every process of the machine: its pid, its parent's, and when it was born."""
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # Behind the command, which may hold spaces and brackets.
                fields = (directory / "stat").read_text().rpartition(")")[2].split()
                yield int(directory.name), (int(fields[1]), int(fields[19]))


def _argv(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _memory(pid: int, *, server: bool) -> tuple[int, int] | None:
    """Bytes now, and the highest that the kernel remembers; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = {name: int(size) * 1024 for name, size in _FIELDS.findall(text)}
    if not sizes:  # a zombie
        return None
    return (sizes["RssAnon"], 0) if server else (sizes["VmRSS"], sizes["VmHWM"])


def _reset_highest(pid: int) -> bool:
    """Whether the kernel let us; if not, the looks alone tell."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return False
    return True
