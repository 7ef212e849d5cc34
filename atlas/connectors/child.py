"""The process of a connector: its output in large pieces, its silence timed, its group ended.

Memory is bounded whatever the connector prints: what is read ahead, one chunk, one unfinished line
up to the setting, and the tail of standard error.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from atlas import process
from atlas.connectors.ahead import Ahead
from atlas.errors import TerminalError, TransientError

T = TypeVar("T")

_CHUNK = 1 << 20
_AHEAD = 8 << 20
"""Bytes that are read while the caller does something else."""
_STDERR_TAIL = 64 * 1024
_TICK = 0.25
"""Seconds between two looks at whether the process still lives, while it prints nothing."""
_F_SETPIPE_SZ = 1031

# Ends the group once the pipe on its standard input has no writer left: that is when Atlas died.
# The leader also gets a signal of its own (atlas.process), but not what the leader started.
_GUARD = 'read -r _; kill -s KILL -- "-$1"'


class _Lines:
    """Puts what is read together to whole lines, none of them longer than ``longest``."""

    def __init__(self, name: str, longest: int) -> None:
        self._name = name
        self._longest = longest
        self._pending: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Take ``data``; return all lines that are whole now, as one piece."""
        cut = data.rfind(b"\n") + 1
        first = data.find(b"\n") if cut else len(data)
        if self._size + first > self._longest:
            raise TerminalError(
                f"connector {self._name}: printed a line of more than {self._longest} bytes; "
                "raise ATLAS_MAX_RECORD_BYTES if it is a record you want"
            )
        if not cut:
            self._pending.append(data)
            self._size += len(data)
            return b""
        self._pending.append(data[:cut])
        whole = b"".join(self._pending) if len(self._pending) > 1 else self._pending[0]
        self._pending = [data[cut:]] if cut < len(data) else []
        self._size = len(data) - cut
        return whole

    def rest(self) -> bytes:
        """What came after the last newline."""
        return b"".join(self._pending)


def _widen(pipe: int) -> None:
    """Fewer switches between the two processes."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # only speed depends on it
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, _CHUNK)


class Child:
    """A running connector. Use it as a context manager: at its end the whole group is gone.

    Args:
        name: what messages call it.
        idle_timeout: seconds without any output after which it is ended.
        deadline: seconds that it may take in all, or None.
        max_line: bytes of the longest line that is read.

    Raises:
        TerminalError: the program does not exist.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str],
        cwd: Path,
        idle_timeout: float,
        max_line: int,
        deadline: float | None = None,
    ) -> None:
        self._name = name
        self._idle_timeout = idle_timeout
        self._max_line = max_line
        self._deadline = None if deadline is None else time.monotonic() + deadline
        self._allowed = deadline
        self._stderr = bytearray()
        self._stderr_cut = False
        self._lock = threading.Lock()
        self._closed = False
        self._ahead: Ahead[Any] | None = None
        self._wanted = True
        self.stopped = False
        self.unfinished = False
        """Whether the last chunk ended without a newline."""
        try:
            self._process = process.spawn(
                argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError as error:
            raise TerminalError(
                f"connector {name}: program {argv[0]} does not exist; install it again"
            ) from error
        self._guard_pipe = -1
        self._guard = self._start_guard()

    def _start_guard(self) -> subprocess.Popen[bytes]:
        reader, self._guard_pipe = os.pipe()
        try:
            return subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "atlas-guard", str(self._process.pid)],
                stdin=reader,
                env={},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(reader)

    @property
    def pid(self) -> int:
        """Id of the connector's process and of its group."""
        return self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the group, if it has not ended, and forget the process. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            process.end(self._process, grace=0.0 if self._process.poll() is not None else 2.0)
        if self._ahead is not None:
            self._ahead.close()
        self._guard.kill()
        self._guard.wait()
        os.close(self._guard_pipe)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def stop(self) -> None:
        """End the group now; from any thread. The reading thread then sees the end of output."""
        with self._lock:
            if not self._closed:
                self.stopped = True
                process.end(self._process, grace=2.0)

    def chunks(self, prepare: Callable[[bytes], tuple[int, T]]) -> Iterator[T]:
        """Yield what ``prepare`` makes of standard output in pieces of whole lines (the last may
        lack its newline); it also says how many bytes that takes.

        It is read ahead and prepared in a thread of its own. Ends when the process has ended. What
        its orphans print later is not read.

        Raises:
            TerminalError: a line is longer than the setting allows.
            TransientError: no output for the idle timeout, or the deadline is over.
        """

        def both(chunk: bytes) -> tuple[int, tuple[bool, T]]:
            size, prepared = prepare(chunk)
            return size, (not chunk.endswith(b"\n"), prepared)

        self._ahead = ahead = Ahead(self._chunks(), _AHEAD, both)
        for self.unfinished, prepared in ahead:
            self._wanted = False
            yield prepared
            self._wanted = True
            del prepared

    def _chunks(self) -> Iterator[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - made with PIPE
        assert self._process.stderr is not None  # noqa: S101
        stdout, stderr = self._process.stdout.fileno(), self._process.stderr.fileno()
        _widen(stdout)
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        poll.register(stderr, select.POLLIN)
        lines = _Lines(self._name, self._max_line)
        # A line inside one chunk is at most as long as the chunk.
        size = min(_CHUNK, self._max_line)
        left_after_exit = 4 * _CHUNK  # all that the pipe can hold, not all that orphans print
        pipes = 2
        exited = False
        heard = time.monotonic()
        while left_after_exit > 0:
            if not exited and self._process.poll() is not None:
                exited = True
                process.end(self._process, grace=0.0, first=signal.SIGKILL)
            ready = self._ready(poll, pipes, exited)
            if exited and not ready:
                break
            if not exited:
                self._check_time(heard if not ready else time.monotonic())
            for fd in ready:
                data = os.read(fd, size if fd == stdout else _STDERR_TAIL)
                if not data:
                    poll.unregister(fd)
                    pipes -= 1
                elif fd == stderr:
                    self._keep_stderr(data)
                elif whole := lines.feed(data):
                    yield whole
                    del whole
                if exited:
                    left_after_exit -= len(data)
                del data
            # The time that the caller took is no silence; nor (after the yield) that without room.
            if ready or not self._wanted:
                heard = time.monotonic()
        if rest := lines.rest():
            yield rest

    def _ready(self, poll: select.poll, pipes: int, exited: bool) -> list[int]:
        if not pipes and not exited:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_TICK)
            return []
        return [fd for fd, _ in poll.poll(0 if exited else _TICK * 1000)]

    def _check_time(self, heard: float) -> None:
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline:
            raise TransientError(
                f"connector {self._name}: took longer than {self._allowed:g} s and was ended; "
                "ATLAS_CONNECTOR_CHECK_TIMEOUT sets the limit"
            )
        if now - heard > self._idle_timeout:
            raise TransientError(
                f"connector {self._name}: printed nothing for {self._idle_timeout:g} s and was "
                "ended; ATLAS_CONNECTOR_IDLE_TIMEOUT sets the limit"
            )

    def _keep_stderr(self, data: bytes) -> None:
        self._stderr += data
        excess = len(self._stderr) - _STDERR_TAIL
        if excess > 0:
            self._stderr_cut = True
            del self._stderr[:excess]

    def stderr_tail(self) -> str:
        """The last whole lines of standard error, at most 64 KiB, as printed: not redacted."""
        text = self._stderr.decode(errors="replace")
        if self._stderr_cut:
            # Half a line might begin with half a secret, which nothing would recognise.
            text = text.partition("\n")[2]
        return text

    @property
    def exit_code(self) -> int | None:
        """Exit status, negative for a signal, None while it runs."""
        return self._process.poll()


def describe_exit(code: int) -> str:
    """``code`` in words."""
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
