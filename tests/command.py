"""Running `atlas` as a user does, without paying for its imports each time.

A process that has imported what every command needs forks for each: what comes out of the fork has
the environment, directory, streams and arguments of its own, and ends as an interpreter does.
`python -m atlas.cli` itself is what `atlas up --detach` starts, and tests/cli/test_scanner_missing.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

_PACKAGES = ("atlas.cli", "atlas.ledger", "atlas.local", "atlas.sync")
_MORE = (
    "sqlalchemy.dialects.postgresql.psycopg2",
    "celery.app.amqp",
    "celery.app.task",
    "kombu.transport.redis",
)
"""What commands import where they need it."""


def run(
    *args: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: str | None = None,
    largest: int | None = None,
    timeout: float = 600.0,
) -> subprocess.CompletedProcess[str]:
    """Run ``atlas`` with ``args``.

    Args:
        largest: bytes that a file which it writes may have; None: any number.

    Raises:
        TimeoutError: it did not end in time; it is left to itself.
    """
    request = {"args": args, "env": dict(env), "cwd": str(cwd or Path.cwd()), "largest": largest}
    with contextlib.ExitStack() as opened:
        given = opened.enter_context(tempfile.TemporaryFile())
        given.write((stdin or "").encode())
        given.seek(0)
        pipes = [os.pipe() for _ in range(2)]
        readers = opened.enter_context(ThreadPoolExecutor(2))
        said = [readers.submit(_read, read) for read, _ in pipes]
        there = opened.enter_context(socket.socket(socket.AF_UNIX))
        there.settimeout(timeout)
        try:
            there.connect(_server())
            there.sendall(json.dumps(request).encode() + b"\n")
            socket.send_fds(there, [b"f"], [given.fileno(), *(write for _, write in pipes)])
        finally:
            for _, write in pipes:
                os.close(write)
        answer = b"".join(iter(lambda: there.recv(64), b""))
        outputs = [each.result(timeout) for each in said]
    assert answer, f"atlas {' '.join(args)}: its process could not be started"
    return subprocess.CompletedProcess(["atlas", *args], int(answer), *outputs)


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor, encoding="utf-8") as pipe:
        return pipe.read()


@functools.cache
def _server() -> str:
    """The address of the process that forks; it ends with this one, whose pipe it holds."""
    directory = tempfile.mkdtemp(prefix="atlas-command-")
    address = f"{directory}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.command", address],
        cwd=Path(__file__).parents[1],
        env={k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def stop() -> None:
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        process.wait(60)
        shutil.rmtree(directory)

    atexit.register(stop)
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
    return address


# --- the other side -----------------------------------------------------------------------------


def _serve(address: str) -> list[str]:
    """Fork for each that asks. Returns its arguments, in the process that is to run the command;
    where nobody can ask any more it does not return."""
    with socket.socket(socket.AF_UNIX) as door, selectors.DefaultSelector() as selector:
        # Nobody waits for those who wait for the commands: they leave nothing.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        door.bind(address)
        door.listen(64)
        print("ready", flush=True)
        os.dup2(2, 1)
        selector.register(door, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if 0 in ready:
                os._exit(0)
            there, _ = door.accept()
            if not os.fork():
                break
            there.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = _command(there)
    if (pid := os.fork()) == 0:
        there.close()
        return command
    _, status = os.waitpid(pid, 0)
    there.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _command(there: socket.socket) -> list[str]:
    """Read what is asked for, and become the process that would have been started."""
    said = b""
    while not said.endswith(b"\n"):
        byte = there.recv(1)
        if not byte:  # who asked is gone
            os._exit(1)
        said += byte
    descriptors = array.array("i", socket.recv_fds(there, 1, 3)[1])
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    request = json.loads(said)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    # Those that were made at the start still stand for what was there then.
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if request["largest"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest"], resource.RLIM_INFINITY))
    command: list[str] = request["args"]
    return command


def _main(address: str) -> None:
    import atlas.cli
    from atlas.settings import settings

    for package in _PACKAGES:
        for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if found.name != "__main__":
                importlib.import_module(f"{package}.{found.name}")
    for name in _MORE:
        importlib.import_module(name)
    # They are the command's own.
    assert not settings.cache_info().currsize
    gc.freeze()
    sys.argv = ["atlas", *_serve(address)]
    _end(atlas.cli.main)


def _end(main: Callable[[], object]) -> NoReturn:
    """Do the work, and end without tidying up what is inherited: to touch memory is to copy it."""
    code: object = 0
    try:
        main()
    except SystemExit as error:
        code = error.code
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
