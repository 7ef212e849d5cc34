"""One process of the stack as the supervisor sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from atlas.local import files, leftovers
from atlas.local.children import Child
from atlas.process import end, spawn


class Watched:
    """A process of the stack, how it is started, and how often it had to be.

    ``created`` identifies it together with ``pid``; ``since`` and ``again_at`` (when it is to be
    started anew, None while it runs) are seconds of the monotonic clock.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], int],
        poll: Callable[[], int | None],
        queues: tuple[str, ...] = (),
        kill: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.poll = poll
        self.kill = kill
        self.queues = queues
        self.pid = 0
        self.created: float | None = None
        self.since = 0.0
        self.deaths = 0
        self.again_at: float | None = None
        self._start = start

    def run(self) -> None:
        """Start it."""
        self.pid = self._start()
        self.created = leftovers.created(self.pid)
        self.since = time.monotonic()
        self.again_at = None


class Group:
    """A child with its process group and its log, which says more from ``log_start`` on."""

    def __init__(self, child: Child, home: Path) -> None:
        self.child = child
        self.log = home / "logs" / f"{child.name}.log"
        self.log_start = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._home = home

    def spawn(self, env: Mapping[str, str]) -> int:
        """Start the child and return its pid; call it again when it has died."""
        self.kill()  # what it forked may live on and hold its port or its queue
        descriptor, self.log, self.log_start = files.open_log(self._home, self.child.name)
        try:
            self.process = spawn(self.child.argv, env=env, stdout=descriptor, stderr=descriptor)
        finally:
            os.close(descriptor)
        return self.process.pid

    def kill(self) -> None:
        """End it with all that it forked, at once."""
        if self.process is not None:
            end(self.process, grace=0.0, first=signal.SIGKILL)

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        return self.process.poll() if self.process else None


def fate(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
