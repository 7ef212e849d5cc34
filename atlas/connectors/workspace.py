"""The private directory of one connector run: where secrets stand in plain text, and not for long.

``ATLAS_HOME/tmp`` holds one directory (0700) a run, named after the process that owns it, with
files of mode 0600. It is removed at the end; :func:`sweep` removes what killed processes left.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from atlas.settings import Settings

_ALLOWED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)

_LONGEST = 3 * 24 * 3600.0
"""Seconds after which no connector has its directory any more: several times what a stage may take
(celeryconfig.py)."""


def environment(
    directory: Path, environ: Mapping[str, str] = os.environ, *, engine: bool = False
) -> dict[str, str]:
    """A connector's environment: what a program needs to run, and nothing of Atlas's.

    Temporary files go into ``directory``, so that they go with it.

    Args:
        engine: with what tells Docker's client which engine to ask; the connector, in its
            container, gets nothing of all this.
    """
    prefixes = ("LC_", "DOCKER_") if engine else ("LC_",)
    allowed = {
        name: value
        for name, value in environ.items()
        if name in _ALLOWED or name.startswith(prefixes)
    }
    return allowed | {
        "TMPDIR": str(directory),
        # Whatever the locale: the protocol is UTF-8.
        "PYTHONUTF8": "1",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def workspace(settings: Settings) -> Iterator[Path]:
    """A fresh private directory that is gone afterwards, whatever happens."""
    parent = settings.home / "tmp"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=_owner(os.getpid()) + ".", dir=parent))
    try:
        yield directory
    finally:
        _remove(directory)


def write(path: Path, content: bytes) -> Path:
    """Write a new file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, no path
        file.write(content)
    return path


def left(settings: Settings) -> list[Path]:
    """The directories of processes that are gone. Of those of another host, which may share
    ``ATLAS_HOME``, nothing is known but their age; a container that is made anew is one, too."""
    parent = settings.home / "tmp"
    found = []
    if parent.is_dir():
        for directory in parent.iterdir():
            owner = directory.name.rpartition(".")[0]
            host, _, process = owner.rpartition("@")
            pid = process.partition("-")[0]
            if not pid.isdigit():
                continue
            if owner != _owner(int(pid)) if host == platform.node() else _old(directory):
                found.append(directory)
    return found


def _old(directory: Path) -> bool:
    try:
        return time.time() - directory.stat().st_mtime > _LONGEST
    except FileNotFoundError:  # its host has just removed it
        return False


def sweep(settings: Settings) -> int:
    """Remove the directories of processes that are gone. Returns how many were removed."""
    gone = left(settings)
    for directory in gone:
        _remove(directory)
    return len(gone)


def _owner(pid: int) -> str:
    """``pid`` on its host, with its time of birth, as pids are used again; "" for no process."""
    try:
        return f"{platform.node()}@{pid}-{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""


def _remove(directory: Path) -> None:
    # The files first and one by one: a connector may have made things here that resist rmtree,
    # and the config must not outlive it. The sweep tries again for the rest.
    for path in directory.glob("*.json"):
        with contextlib.suppress(OSError):
            path.unlink()
    shutil.rmtree(directory, ignore_errors=True)
