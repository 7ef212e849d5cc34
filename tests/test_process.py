"""A child gets no signal dispositions of its parent's, and dies with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from atlas.process import end, spawn

_PARENT = """
import sys, time
from pathlib import Path
from atlas.process import spawn
child = spawn(["sleep", "60"])
Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""


def test_what_the_parent_ignores_the_child_does_not(tmp_path: Path) -> None:
    told = tmp_path / "status"
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with told.open("wb") as file:
            child = spawn(["grep", "SigIgn", "/proc/self/status"], stdout=file)
            assert child.wait(10) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    ignored = int(told.read_text().split()[1], 16)
    assert not ignored & 1 << (signal.SIGTERM - 1)


def test_a_group_ends_whole() -> None:
    child = spawn(["sh", "-c", "sleep 60 & sleep 60"])
    _until(lambda: len(psutil.Process(child.pid).children()) == 2)
    family = psutil.Process(child.pid).children()
    end(child, grace=5)
    # The signal is sent; what is killed goes a moment later.
    _until(lambda: not [one for one in family if _lives(one)])


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _PARENT,
            str(pid_file),
        ]
    )
    _until(lambda: pid_file.exists() and pid_file.read_text() != "")
    pid = int(pid_file.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until(true: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
