"""Children that die with their parent, and process groups that end whole.

A connector, an embedded server or a Soda process must not outlive the process that started it,
even when that one is killed with SIGKILL. Linux delivers a signal for this; it has to be asked
for between fork and exec, in the child, which ``preexec_fn`` may not safely do in a process with
threads. So the child is this file itself, run as a program, which asks and then becomes the
command.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_File = int | IO[Any] | None


def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stdin: _File = subprocess.DEVNULL,
    stdout: _File = None,
    stderr: _File = None,
    death_signal: int = signal.SIGKILL,
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start ``argv`` as the leader of a new process group that ends with the calling process.

    Args:
        death_signal: what the child gets when the *thread* that called this ends (Linux only);
            so call it from a thread that lives as long as the process.
        unprivileged: when the caller is root, run as user ``nobody`` that keeps the right to
            enter root's directories, for programs that refuse to be root.

    Raises:
        FileNotFoundError: the program does not exist.
    """
    program = str(argv[0])
    if os.sep in program and not Path(program).exists():
        raise FileNotFoundError(program)
    launcher = [
        sys.executable,
        "-I",
        "-S",
        __file__,
        str(os.getpid()),
        str(int(death_signal)),
        "nobody" if unprivileged and os.geteuid() == 0 else "",
    ]
    return subprocess.Popen(
        [*launcher, *(os.fspath(part) for part in argv)],
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes], *, grace: float, first: int = signal.SIGTERM) -> int:
    """End a process of :func:`spawn` with all of its group: ``first``, then after ``grace``
    seconds SIGKILL. Returns the exit status, negative for a signal."""
    _signal_group(process.pid, first)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    _signal_group(process.pid, signal.SIGKILL)
    return process.wait()


def _signal_group(pid: int, number: int) -> None:
    # The group outlives its leader as long as it has members, so this also reaches orphans.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


# --- what follows runs in the child, before it becomes the command -------------------------------

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def _drop_root(user: str) -> None:
    """Become ``user`` with one capability left, to enter directories that only root may.

    A checkout or ATLAS_HOME below a 0700 directory (root's home, a temporary directory) is the
    common case; without the capability (some containers) those must be open to ``user``.
    """
    import ctypes
    import pwd

    entry = pwd.getpwnam(user)
    libc = ctypes.CDLL(None, use_errno=True)
    kept = libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    if kept:
        mask = 1 << _CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        if libc.capset(header, data) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _become(arguments: list[str]) -> None:
    parent, death_signal, user, *argv = arguments
    # What the caller ignores or blocks is its own affair: a worker of Celery's ignores SIGTERM,
    # and a connector that inherits that waits for ever for workers of its own that it terminates.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if user:
        _drop_root(user)
    if sys.platform == "linux":
        import ctypes

        # After the change of user, which would clear it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before we could ask
            os.kill(os.getpid(), int(death_signal))
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    _become(sys.argv[1:])
