"""A wire that can be cut: Debian's socat between a port on the loopback and a server's socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from types import TracebackType


class Proxy:
    """Passes connections to ``127.0.0.1:port`` on to the Unix socket ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Proxy:
        self.mend()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()

    def mend(self) -> None:
        """Pass on again, new connections too."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGCONT)
            return
        self._process = subprocess.Popen(
            [
                "socat",
                f"TCP-LISTEN:{self.port},bind=127.0.0.1,reuseaddr,fork,backlog=128",
                f"UNIX-CONNECT:{self._path}",
            ],
            start_new_session=True,
            cwd="/",
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "socat does not listen"
                time.sleep(0.02)
            else:
                return

    def silence(self) -> None:
        """Pass nothing on and say nothing: connections stay, and new ones get no answer."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
