"""Helpers of the embedded stack's tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atlas.settings import Settings, parse


@pytest.fixture
def eventually() -> Callable[[Callable[[], object], float], None]:
    """Wait until a condition holds; how long that takes is no part of any assertion."""

    def wait(condition: Callable[[], object], limit: float = 120.0) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, "did not come about in time"
            time.sleep(0.02)

    return wait


@pytest.fixture
def another_user() -> Iterator[tuple[list[str], Path]]:
    """A command prefix that makes a program run as a user that is not root, and a home of theirs.

    The interpreter may lie below a directory of root's (0700), so the user may read everything;
    writing, which is what the stack does, they may only where any user may.
    """
    if os.geteuid() != 0:
        with tempfile.TemporaryDirectory() as directory:
            yield [], Path(directory)
        return
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv here to become another user with")
    user = pwd.getpwnam("daemon")
    directory = tempfile.mkdtemp()
    os.chown(directory, user.pw_uid, user.pw_gid)
    reading = "+dac_read_search"
    yield (
        [
            *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"),
            *(f"--inh-caps={reading}", f"--ambient-caps={reading}"),
        ],
        Path(directory),
    )
    shutil.rmtree(directory)


@pytest.fixture
def program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python source as a process of its own; its arguments, its output as a pipe."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: object, prefix: list[str] | None = None, **more: object):
        process = subprocess.Popen(
            [*(prefix or []), sys.executable, "-c", source, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            **more,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return parse({"ATLAS_HOME": str(tmp_path / "home"), "ATLAS_PORT": "0"})
