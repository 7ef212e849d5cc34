"""Recognising and ending processes of a stack whose ``atlas up`` was killed.

A pid alone names nobody: it may have been given to another process since. Who is meant is
recognised by the time it was created or by its command line, and always by its user.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

# A pid, and when its process was created, as :func:`created` says it.
Identity = tuple[int, float]


def created(pid: int) -> float | None:
    """When the process was created, in a unit of the system's own; None when it is gone.

    On Linux these are ticks since boot: the time of day that psutil makes of them moves whenever
    the clock is set, and an identity must not.
    """
    try:
        if sys.platform == "linux":
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            state, *fields = text.rpartition(")")[2].split()
            return None if state in ("Z", "X") else float(fields[18])
        else:  # noqa: RET505 - mypy tells platforms apart by the branches
            process = psutil.Process(pid)
            gone = process.status() == psutil.STATUS_ZOMBIE
            return None if gone else process.create_time()
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return None


def alive(pid: int, when: float) -> bool:
    """Whether the process that was created at ``when`` as ``pid`` still runs."""
    return created(pid) == when


def of_session(leader: int, when: float) -> list[Identity]:
    """The processes of the session that the process created at ``when`` as ``leader`` opened.

    Its leader may be gone: a pid is not given away while a session bears it. Empty when the pid
    belongs to somebody else by now.
    """
    if created(leader) not in (None, when):
        return []
    return matching(lambda process: os.getsid(process.pid) == leader)


def matching(wanted: Callable[[psutil.Process], bool]) -> list[Identity]:
    """The running processes that ``wanted`` picks, without those of users we could not signal."""
    mine = os.geteuid()
    found = []
    for process in psutil.process_iter():
        # Processes end, and some may not be looked at; neither are ours.
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if mine in (0, process.uids().effective) and wanted(process):
                when = created(process.pid)
                if when is not None:
                    found.append((process.pid, when))
    return found


def end_all(processes: Iterable[Identity], signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, and wait up to its seconds, until all processes have ended."""
    left = list(processes)
    for number, seconds in signals:
        left = [identity for identity in left if alive(*identity)]
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            # One that waits to be reaped by whoever adopted it has ended for us.
            left = [identity for identity in left if alive(*identity)]
