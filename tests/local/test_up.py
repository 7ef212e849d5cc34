"""``atlas up`` and ``atlas down`` as processes of their own: signals, SIGKILL, other users."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from atlas.local import leftovers
from atlas.local.stack import Stack, down, status
from atlas.settings import Settings, parse
from tests.local.stack_parts import Eventually, entries, living, web

UP = f"""if True:
    import sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from atlas.local import stack
    from atlas.settings import settings
    from stack_parts import idle, python, web
    stubborn = python("worker-load", (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('deaf', flush=True); time.sleep(600)"
    ))
    forked = python("worker-scan", (
        "import os, time; os.fork(); time.sleep(600)"  # outlives its leader
    ))
    chosen = {{"plain": [web, idle], "stubborn": [web, stubborn], "forked": [web, forked]}}
    class Stack(stack.Stack):
        def __init__(self, *arguments, **more):
            super().__init__(*arguments, processes=chosen[sys.argv[1]], **more)
    stack.Stack = Stack
    stack.up(settings(), on_event=print, on_ready=lambda s: print("READY", flush=True))
"""


@pytest.fixture
def up(
    embedded: Settings, program: Callable[..., subprocess.Popen[str]]
) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    def start(kind: str) -> subprocess.Popen[str]:
        env = {**os.environ, "ATLAS_HOME": str(embedded.home), "ATLAS_PORT": "0"}
        process = program(UP, kind, env=env)
        assert process.stdout is not None
        for line in process.stdout:
            if line == "READY\n":
                return process
        raise AssertionError(process.wait())

    yield start
    down(embedded)


def test_up_without_root(
    another_user: tuple[list[str], Path], program: Callable[..., subprocess.Popen[str]]
) -> None:
    prefix, home = another_user
    env = {**os.environ, "ATLAS_HOME": str(home / "home"), "ATLAS_PORT": "0"}
    process = program(UP, "plain", prefix=prefix, env=env)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "READY\n")
    assert [line.split()[0] for line in lines] == [
        *("postgres", "redis", "web", "worker-scan", "ready:"),
    ]
    pid = entries(parse({"ATLAS_HOME": env["ATLAS_HOME"]}))["postgres"]["pid"]
    assert psutil.Process(pid).uids().effective != 0  # type: ignore[arg-type]
    process.terminate()
    process.communicate(timeout=300)
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_stops_gracefully(
    embedded: Settings, up: Callable[[str], subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = up("plain")
    started = entries(embedded)
    process.send_signal(number)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert output.splitlines()[-1] == "stopped"
    assert living(started) == []
    log = (embedded.home / "logs" / "postgres.log").read_text()
    assert log.splitlines()[-1].endswith("database system is shut down")


def test_second_interrupt_does_not_wait(
    embedded: Settings, up: Callable[[str], subprocess.Popen[str]], eventually: Eventually
) -> None:
    process = up("stubborn")
    eventually(lambda: "deaf" in (embedded.home / "logs" / "worker-load.log").read_text())
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("stopping")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)  # below the grace of 30 s
    assert "worker-load did not end and is killed" in output
    assert process.returncode == 0


def test_down(embedded: Settings, up: Callable[[str], subprocess.Popen[str]]) -> None:
    assert down(embedded) is False
    process = up("plain")
    started = entries(embedded)
    assert down(embedded) is True
    assert process.wait(10) == 0
    assert living(started) == []
    assert down(embedded) is False


def test_next_start_after_sigkill_of_up(
    embedded: Settings, up: Callable[[str], subprocess.Popen[str]], eventually: Eventually
) -> None:
    process = up("forked")
    started = entries(embedded)
    worker = started["worker-scan"]
    eventually(lambda: len(leftovers.of_session(worker["pid"], worker["created"])) == 2)
    process.kill()
    process.wait()
    assert status(embedded)["ready"] is False
    assert "worker-scan" in living(started)  # what its leader forked knows nothing yet
    events: list[str] = []
    with Stack(embedded, processes=[web], on_event=events.append):
        assert status(embedded)["ready"]
        assert living(started) == []
    assert events[0] == "ended what was left of a stack that was killed"


def test_down_after_sigkill_of_up(
    embedded: Settings, up: Callable[[str], subprocess.Popen[str]], eventually: Eventually
) -> None:
    process = up("forked")
    started = entries(embedded)
    worker = started["worker-scan"]
    eventually(lambda: len(leftovers.of_session(worker["pid"], worker["created"])) == 2)
    process.kill()
    process.wait()
    assert down(embedded) is True
    assert living(started) == []
    assert down(embedded) is False
