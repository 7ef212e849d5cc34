"""``atlas up``, ``atlas down``, ``atlas status``; and :class:`Stack`, the same within a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from atlas.errors import AtlasError
from atlas.local import files, leftovers
from atlas.local.children import ask, environment
from atlas.local.supervisor import LOCK, Stack, end_leftovers
from atlas.settings import Settings, embedded_state

__all__ = ["DETACHED", "Stack", "down", "status", "up"]

DETACHED = "DETACHED_ATLAS"
"""Variable by which a detached `atlas up` knows that its output is a log."""

_SECRET_PARAMETERS = ("password", "sslpassword", "passfile")


def up(
    settings: Settings,
    *,
    detach: bool = False,
    workers: int = 1,
    prepare: Callable[[str], object] | None = None,
    on_event: Callable[[str], object] = lambda line: None,
    on_ready: Callable[[dict[str, Any]], object] = lambda status: None,
    timeout: float = 120.0,
) -> None:
    """Run the stack until SIGTERM, SIGINT or SIGHUP; with ``detach`` start it and return.

    Call it from the main thread. ``on_ready`` is told :func:`status` once everything is up;
    ``prepare`` (the migrations) is not used with ``detach``: the detached `atlas up` has its own.

    Raises:
        AtlasError: it did not become ready within ``timeout`` seconds; nothing is left running.
    """
    if detach:
        _detach(settings, workers, timeout)
        on_ready(status(settings))
        return
    stack = Stack(settings, workers=workers, prepare=prepare, on_event=on_event)

    def stop(number: int, frame: object) -> None:
        stack.request_stop()

    before = {number: signal.getsignal(number) for number in _stop_signals()}
    for number in before:
        signal.signal(number, stop)
    try:
        stack.start(timeout)
        on_ready(status(stack.settings))
        stack.run()
        on_event("stopping: tasks in hand may end; once more Ctrl-C breaks them off")
    finally:
        stack.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    on_event("stopped")


def down(settings: Settings, timeout: float = 90.0) -> bool:
    """Stop the stack of ``settings.home`` and wait until it is gone; False when there was none.

    Also ends what a killed `atlas up` left.

    Raises:
        AtlasError: it belongs to another user, or has not ended within ``timeout`` seconds.
    """
    path = settings.home / LOCK
    if not path.exists():
        return False
    deadline = time.monotonic() + timeout
    seen = asked = None
    while (holder := files.lock_holder(path)) is not None:
        # Seen twice: in the instant after the lock is taken the pid is still that of the last
        # holder, which may be anybody's now.
        if holder and holder == seen and holder != asked:
            try:
                os.kill(holder, signal.SIGTERM)
            except ProcessLookupError:
                seen = None  # it has just ended
                continue
            except PermissionError as error:
                raise AtlasError(
                    f"process {holder} runs Atlas in {settings.home} and is not yours: "
                    "stop it as its user"
                ) from error
            asked = holder
        seen = holder
        if time.monotonic() > deadline:
            raise AtlasError(
                f"Atlas (process {holder}) has not stopped within {timeout:.0f} s: "
                f"see {settings.home / 'logs'}, or end it with kill -9 {holder}"
            )
        time.sleep(0.1)
    lock = files.Lock(path)
    if not lock.acquire(wait=1.0):
        raise AtlasError(f"another process has just started Atlas in {settings.home}")
    try:
        return end_leftovers(settings.home) or asked is not None
    finally:
        lock.release()


def status(settings: Settings) -> dict[str, Any]:
    """What runs now: the document of ``atlas status --json``.

    ``ready`` is true when every process lives and ``/readyz`` answers 200 at this moment.
    ``processes`` are those that live. Passwords in a user's own URLs read ``***``.
    """
    up_runs = files.lock_holder(settings.home / LOCK) is not None
    state = embedded_state(settings) if up_runs else {}
    listed = state.get("processes", [])
    living = [entry for entry in listed if leftovers.alive(entry["pid"], entry["created"])]
    api_url = state.get("api_url")
    return {
        "ready": bool(
            state.get("ready")
            and len(living) == len(listed)
            and api_url is not None
            and ask(f"{api_url}/readyz") == "200"
        ),
        "api_url": api_url,
        "database_url": _masked(settings.database_url) or state.get("database_url"),
        "redis_url": _masked(settings.redis_url) or state.get("redis_url"),
        "flower_url": state.get("flower_url"),
        "processes": [
            {"name": entry["name"], "pid": entry["pid"], "queues": entry["queues"]}
            for entry in living
        ],
    }


def _detach(settings: Settings, workers: int, timeout: float) -> None:
    """Start ``atlas up`` in a session of its own and wait until it is ready."""
    files.private_directory(settings.home)
    descriptor, log, start = files.open_log(settings.home, "up")
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "atlas.cli", "up", "--workers", str(workers)],
            env={**environment(settings, {}), DETACHED: "1"},
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    # It gives up by itself when it is not ready in time; this is for one that hangs.
    deadline = time.monotonic() + timeout + 60.0
    while True:
        state = embedded_state(settings)
        if state.get("up_pid") == process.pid and state.get("ready"):
            process.returncode = 0  # it goes on without us: no warning that it still runs
            return
        if process.poll() is not None:
            words = files.last_lines(log, start).removeprefix("atlas: ")
            raise AtlasError(words)
        if time.monotonic() > deadline:
            process.terminate()
            raise AtlasError(f"Atlas did not become ready: its log is {log}")
        time.sleep(0.1)


def _stop_signals() -> list[signal.Signals]:
    wanted = [signal.SIGTERM, signal.SIGINT]
    # Under nohup it is ignored, and should stay so.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    return wanted


def _masked(url: str | None) -> str | None:
    """``url`` without its password, be it before the host or among the parameters."""
    if url is None:
        return None
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    query = "&".join(
        f"{key}={'***' if key in _SECRET_PARAMETERS else quote(value, safe='/')}"
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    netloc = f"{name}{colon and ':***'}{at}{place}"
    # By hand: urlunsplit drops the empty host of unix:///path.
    return f"{parts.scheme}://{netloc}{parts.path}{'?' + query if query else ''}"
