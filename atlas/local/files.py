"""Directories, locks, the key file and the logs below ATLAS_HOME: for its owner's eyes only."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlas.errors import AtlasError

# sun_path holds 104 bytes on macOS and 108 on Linux, with a NUL at the end.
_SOCKET_PATH_BYTES = 103
# A socket's path stands in URLs, in libpq's comma-separated list of hosts and in process titles;
# what needs quoting in any of them is not worth the trouble.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"
_LOG_LIMIT = 10 * 1024 * 1024


def private_directory(path: Path) -> Path:
    """Make ``path`` with its parents, mode 0700, and return it.

    Raises:
        AtlasError: it cannot be made, or belongs to somebody else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise AtlasError(
            f"cannot use directory {path}: {error.strerror}; "
            "set ATLAS_HOME to a directory of your own"
        ) from error
    return path


def socket_directory(home: Path) -> Path:
    """The 0700 directory for Unix sockets: ``home/run``, or a short stand-in for it.

    A socket's path is limited to about 100 bytes; below a longer (or unusually spelt) home the
    sockets go to a directory under the system's temporary one, named after the home.

    Raises:
        AtlasError: the directory belongs to another user, who could listen in our place.
    """
    run = home.resolve() / "run"
    if _fits(run):
        return private_directory(run)
    name = f"atlas-{os.geteuid()}-{hashlib.sha256(os.fsencode(run)).hexdigest()[:16]}"
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - checked below
        if not _fits(base / name):
            continue
        path = base / name
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        mine = found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if not (stat.S_ISDIR(found.st_mode) and mine):
            raise AtlasError(
                f"directory {path} should be yours alone and is not: remove it, "
                "or set ATLAS_HOME to a shorter path"
            )
        return path
    raise AtlasError(f"no directory short enough for a socket: {run} is too long for ATLAS_HOME")


def _fits(directory: Path) -> bool:
    longest = str(directory / _LONGEST_SOCKET_NAME)
    return len(os.fsencode(longest)) <= _SOCKET_PATH_BYTES and bool(_PLAIN_PATH.fullmatch(longest))


class Lock:
    """An exclusive lock on a file, which the kernel frees when the process ends, however it does.

    The file holds the holder's pid and stays: removing it would let two hold it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, *, wait: float = 0.0) -> bool:
        """Take the lock; False when another holds it for ``wait`` seconds on end."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _flock(descriptor, fcntl.LOCK_EX, wait):
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_holder(path: Path) -> int | None:
    """Pid of the process that holds the :class:`Lock` on ``path``, None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that those who ask do not see each other.
        if _flock(descriptor, fcntl.LOCK_SH, 0.0):
            return None
        # Empty in the instant between the holder's lock and its pid.
        return int(os.pread(descriptor, 20, 0) or b"0")
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int, wait: float) -> bool:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def write_atomically(path: Path, document: Mapping[str, Any]) -> None:
    """Replace ``path`` by ``document`` as JSON, mode 0600: readers see the old or the new."""
    descriptor, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file, indent=2)
    Path(temporary).replace(path)


def ensure_secret_key(home: Path) -> None:
    """Make ``home/secret.key`` (0600, 64 random characters) unless it is there.

    Raises:
        AtlasError: the file is there and too short to be a key.
    """
    path = home / "secret.key"
    if not path.exists():
        descriptor, temporary = tempfile.mkstemp(prefix="secret.key.", dir=home)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link, not a rename: it never replaces a key that data are already encrypted with.
            path.hardlink_to(temporary)
        except FileExistsError:  # another process was first; its key counts
            pass
        finally:
            Path(temporary).unlink()
    if path.stat().st_size < 32:
        raise AtlasError(f"{path} is no key (shorter than 32 characters): restore it from a backup")


def open_log(home: Path, name: str) -> tuple[int, Path, int]:
    """Open ``home/logs/<name>.log`` to append to, set aside as ``.log.1`` when above 10 MB.

    Returns its descriptor, its path and its size now, where this start's lines begin.
    """
    path = private_directory(home / "logs") / f"{name}.log"
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return descriptor, path, os.fstat(descriptor).st_size


def trim_logs(home: Path) -> None:
    """Set aside what is in logs above 10 MB, and empty them, while their processes write on.

    A line written in that very moment is lost; that is the price of not asking every program to
    open its log again.
    """
    for path in (home / "logs").glob("*.log"):
        if path.stat().st_size > _LOG_LIMIT:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


def last_lines(path: Path, start: int, count: int = 1) -> str:
    """The last ``count`` lines of a log after byte ``start``, as one line."""
    with path.open("rb") as file:
        size = path.stat().st_size
        begun = start if start <= size else 0  # trimmed since
        file.seek(max(begun, size - 16_384))
        text = file.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:]) or "it said nothing"
