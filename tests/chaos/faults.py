"""What can go wrong: each fault is done to a stack by :meth:`~Fault.inject` and, where it lasts,
undone by :meth:`~Fault.mend`. What takes its time comes before the runs, in :meth:`~Fault.prepare`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psutil
import redis

from tests.chaos.brake import QUEUE
from tests.chaos.stack import ANSWER, LEASE, Stack, Wires, set_clock, wait


class Fault:
    """A fault of a stack at work.

    Args:
        stages: the stages that it is meant for, where it has a choice.
    """

    after_end = False
    """Whether it lasts until the runs have ended, in spite of it."""

    def __init__(self, stack: Stack, wires: Wires | None, stages: Sequence[str]) -> None:
        self.stack = stack
        self._wires = wires
        self.workers = sorted({f"worker-{QUEUE.get(stage, 'load')}" for stage in stages})

    @property
    def wires(self) -> Wires:
        """The proxies and the clock of a stack that has them."""
        assert self._wires is not None
        return self._wires

    def prepare(self) -> None:
        """Before the runs that are to be disturbed are asked for."""

    def call_off(self) -> None:
        """Undo what was prepared, where it comes to nothing more."""

    def inject(self) -> None:
        """Let it happen, at once."""

    def mend(self) -> None:
        """Undo what lasts; what restarts by itself, wait for it."""

    def until_up(self, *names: str, instead_of: Sequence[int] = ()) -> None:
        """Wait until the supervisor has started these anew."""
        for name in names:
            assert wait(partial(self._is_up, name, instead_of), 60), f"{name} is not started anew"

    def _is_up(self, name: str, instead_of: Sequence[int]) -> bool:
        pid = self.stack.pid(name)
        return pid not in instead_of and psutil.pid_exists(pid)


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """The pool of a worker: what it forked, not what that started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


class KilledChild(Fault):
    """SIGKILL of the pool processes that work on the stages."""

    def inject(self) -> None:
        for name in self.workers:
            _kill(_children(self.stack.pid(name)))


class _KilledProcess(Fault):
    names: tuple[str, ...] = ()

    def inject(self) -> None:
        self._pids = [self.stack.pid(name) for name in self.names or self.workers]
        _kill(self._pids)

    def mend(self) -> None:
        self.until_up(*(self.names or self.workers), instead_of=self._pids)


class KilledWorker(_KilledProcess):
    """SIGKILL of the workers' parent processes."""


class KilledWeb(_KilledProcess):
    """SIGKILL of the web process."""

    names = ("web",)


class KilledBeat(_KilledProcess):
    """SIGKILL of beat."""

    names = ("beat",)


class KilledRedis(_KilledProcess):
    """SIGKILL of Redis, which the supervisor starts anew."""

    names = ("redis",)


class KilledPostgres(_KilledProcess):
    """SIGKILL of PostgreSQL's first process, which the supervisor starts anew."""

    names = ("postgres",)

    def mend(self) -> None:
        super().mend()
        assert wait(lambda: self.stack.rows("SELECT 1"), 60)


class Frozen(Fault):
    """SIGSTOP of whole workers for longer than their leases, then SIGCONT; meanwhile another host's
    worker takes over."""

    after_end = True

    def inject(self) -> None:
        self._frozen: list[int] = []
        for name in self.workers:
            pid = self.stack.pid(name)
            self._frozen += [pid, *_children(pid)]
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        self.stack.start_second_host()
        time.sleep(LEASE + 1)

    def mend(self) -> None:
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        # They wake up, learn that they lost their claims, and what they held on to ends.
        time.sleep(LEASE)
        self.stack.end_second_host()


class DownAndUp(Fault):
    """SIGTERM of everything, and `atlas up` again."""

    def inject(self) -> None:
        os.kill(int(self.stack.state["up_pid"]), signal.SIGTERM)
        self.stack.run("down")
        assert wait(lambda: not self._living(), 10), f"after `atlas down`: {self._living()}"

    def mend(self) -> None:
        self.stack.up()

    def _living(self) -> list[psutil.Process]:
        return [process for process in self.stack.processes() if process.ppid() != os.getpid()]


class Flushed(Fault):
    """FLUSHALL of Redis, again and again for as long as the stages change hands."""

    def inject(self) -> None:
        self.stack.redis.flushall()

    def mend(self) -> None:
        client = self.stack.redis
        for _ in range(15):
            client.flushall()
            time.sleep(0.1)


class Redelivered(Fault):
    """Every message that is being worked on is delivered once more, at once and after the end."""

    after_end = True

    def inject(self) -> None:
        client = self.stack.redis
        self._copies: list[tuple[str, bytes]] = []
        for entry in client.hvals("unacked"):  # type: ignore[union-attr]
            message, _, queue = json.loads(entry)
            self._copies.append((queue, json.dumps(message).encode()))
        self._send(client)

    def mend(self) -> None:
        client = self.stack.redis
        self._send(client)
        assert wait(lambda: not any(client.llen(q) for q, _ in self._copies), 30)

    def _send(self, client: redis.Redis) -> None:
        for queue, message in self._copies:
            client.lpush(queue, message)


class TwoBeats(Fault):
    """A second beat."""

    after_end = True

    def prepare(self) -> None:
        with (self.stack.home / "logs" / "second-beat.log").open("ab") as log:
            self._beat = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "celery", "-A", "workers", "beat"),
                    "--scheduler=celery.beat:Scheduler",
                ],
                env=self.stack.process_environ,
                cwd=self.stack.home,
                stdout=log,
                stderr=log,
            )
        time.sleep(3)

    def call_off(self) -> None:
        self._beat.terminate()
        self._beat.wait(30)

    def mend(self) -> None:
        self.call_off()


class PostgresHole(Fault):
    """A network that swallows what goes to PostgreSQL for longer than a lease, and nobody says so;
    meanwhile another host's worker takes over."""

    def inject(self) -> None:
        self.wires.postgres.silence()
        self.stack.start_second_host()

    def mend(self) -> None:
        time.sleep(LEASE + 3)
        self.wires.postgres.mend()
        # Those who were cut off learn that they lost their claims.
        time.sleep(LEASE)
        self.stack.end_second_host()


class RedisHole(Fault):
    """A network that swallows what goes to Redis, and nobody says so: for longer than a lease, and
    than a worker waits for an answer."""

    def inject(self) -> None:
        self.wires.redis.silence()

    def mend(self) -> None:
        time.sleep(ANSWER + 2)
        self.wires.redis.mend()


class PostgresReset(Fault):
    """Connections to PostgreSQL break, and new ones are refused for a while."""

    def inject(self) -> None:
        self.wires.postgres.cut()

    def mend(self) -> None:
        time.sleep(LEASE + 1)
        self.wires.postgres.mend()


class RedisReset(Fault):
    """Connections to Redis break, and new ones are refused for a while."""

    def inject(self) -> None:
        self.wires.redis.cut()

    def mend(self) -> None:
        time.sleep(LEASE + 1)
        self.wires.redis.mend()


class _Clock(KilledChild):
    after_end = True
    off = 0

    def prepare(self) -> None:
        for name in self.workers:
            for pid in _children(self.stack.pid(name)):
                maps = Path(f"/proc/{pid}/maps").read_text()
                assert "libfaketime" in maps, f"the clock of {name} cannot be set"
        set_clock(self.wires.clock, self.off)
        time.sleep(1.5)

    def call_off(self) -> None:
        set_clock(self.wires.clock, 0)

    def mend(self) -> None:
        self.call_off()


class ClockAhead(_Clock):
    """The workers' clock is an hour ahead of everybody else's when their children are killed."""

    off = 3600


class ClockBehind(_Clock):
    """The workers' clock is an hour behind everybody else's when their children are killed."""

    off = -3600


_Make = Callable[[Stack, Wires | None, Sequence[str]], Fault]
PLAIN: dict[str, _Make] = {
    "child": KilledChild,
    "worker": KilledWorker,
    "web": KilledWeb,
    "beat": KilledBeat,
    "freeze": Frozen,
    "down_up": DownAndUp,
    "flushall": Flushed,
    "redis": KilledRedis,
    "postgres": KilledPostgres,
    "redeliver": Redelivered,
    "two_beats": TwoBeats,
}
"""Faults of a stack with its own servers."""
WIRED: dict[str, _Make] = {
    "postgres_hole": PostgresHole,
    "postgres_reset": PostgresReset,
    "redis_hole": RedisHole,
    "redis_reset": RedisReset,
    "clock_ahead": ClockAhead,
    "clock_behind": ClockBehind,
}
"""Faults of a stack with proxies and a clock."""
FAULTS = PLAIN | WIRED
