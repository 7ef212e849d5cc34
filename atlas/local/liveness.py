"""Looking again and again, in the background, whether the stack's workers take work.

Each look is an `atlas worker-health` in a process of its own: the broker's client stays out of the
process that supervises, which can neither hang nor grow with it, and sees what a user would see.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from atlas.process import end, spawn
from atlas.settings import Settings

_LONGEST_ANSWER = 10.0
# Beyond the answer itself: Python's start on a busy machine, the parents, the ledger.
_LONGEST_LOOK = 60.0
_FAILURES = 3
# A worker loads its models before it answers for the first time.
_PATIENCE = 300.0


@dataclass(slots=True)
class _Seen:
    """What is remembered of a worker's process: when it was seen first, in seconds of the
    monotonic clock, whether it was ever well, and how many looks on end it has failed."""

    since: float
    well: bool = False
    failures: int = 0


class Liveness:
    """A thread that looks at the workers every ``settings.probe_interval`` seconds.

    Where nothing can be known (Redis or PostgreSQL does not answer) nobody has failed.

    Args:
        env: the environment of the stack's processes.
        on_event: told, a line at a time, when looking fails and when it works again.
    """

    def __init__(
        self, settings: Settings, env: Mapping[str, str], on_event: Callable[[str], object]
    ) -> None:
        self._interval = settings.probe_interval
        self._env = env
        self._event = on_event
        self._ended = threading.Event()
        self._busy = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._blind = ""
        self._seen: dict[int, _Seen] = {}
        # Replaced as a whole, for another thread reads it.
        self._given_up: dict[int, str] = {}
        self._thread = threading.Thread(target=self._run, name="liveness", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def given_up(self, pid: int) -> str | None:
        """How a worker that is to be ended was found, else None; never waits."""
        return self._given_up.get(pid)

    def stop(self) -> None:
        """End the look under way, and look no more."""
        self._ended.set()
        with self._busy:
            if self._process is not None:
                self._process.kill()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            found = self._look()
            if not self._ended.is_set():
                self._judge(found)

    def _look(self) -> list[dict[str, Any]] | None:
        """The workers as `atlas worker-health` found them; None when it could not."""
        timeout = min(self._interval, _LONGEST_ANSWER)
        with self._busy:
            if self._ended.is_set():
                return None
            # From this thread, whose end would end it.
            self._process = spawn(
                [
                    *(sys.executable, "-P", "-m", "atlas.cli"),
                    *("worker-health", "--json", "--timeout", str(max(timeout, 1.0))),
                ],
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        try:
            output, errors = self._process.communicate(timeout=_LONGEST_LOOK)
        except subprocess.TimeoutExpired:
            output, errors = b"", b"it did not end"
        finally:
            with self._busy:
                end(self._process, grace=0.0, first=signal.SIGKILL)
                self._process = None
        with contextlib.suppress(ValueError):
            found: list[dict[str, Any]] = json.loads(output)["workers"]
            self._tell("")
            return found
        last = (errors.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        self._tell(last.removeprefix("atlas: "))
        return None

    def _tell(self, blind: str) -> None:
        if bool(blind) != bool(self._blind) and not self._ended.is_set():
            self._event(
                f"cannot look whether the workers work: {blind}"
                if blind
                else "the workers are looked at again"
            )
        self._blind = blind

    def _judge(self, found: list[dict[str, Any]] | None) -> None:
        if found is None:
            for seen in self._seen.values():
                seen.failures = 0
            self._given_up = {}
            return
        now = time.monotonic()
        # Of a process that is gone the supervisor knows by itself.
        workers = {each["pid"]: each for each in found if each["state"] != "dead"}
        self._seen = {pid: self._seen.get(pid) or _Seen(now) for pid in workers}
        for pid, seen in self._seen.items():
            if workers[pid]["healthy"]:
                seen.well, seen.failures = True, 0
            elif seen.well or now - seen.since > _PATIENCE:
                seen.failures += 1
        self._given_up = {
            pid: f"was found {workers[pid]['state']} {seen.failures} times on end and is killed"
            for pid, seen in self._seen.items()
            if seen.failures >= _FAILURES
        }
