"""Installing connectors: each in a virtual environment of its own under ``ATLAS_HOME/connectors``.

PyAirbyte does it, in a child process (:mod:`atlas.connectors.installer`), for importing it takes
seconds and it leaves logs and caches where it runs. A connector counts as installed once its
marker, ``ATLAS_HOME/connectors/NAME.json``, is there, which is written last. Every attempt has a
directory of its own, so whatever a killed one still writes is in nobody's way.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from atlas import process
from atlas.connectors import catalog
from atlas.errors import TerminalError, TransientError, UsageError
from atlas.settings import PREFIX, Settings

_INSTALLER = "atlas.connectors.installer"
"""Run, never imported: it alone imports PyAirbyte."""

OnLine = Callable[[str], None]
"""Called with each line of progress."""


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector that can be run.

    Attributes:
        name: for messages: the catalog's name, or the file name of a program of one's own.
        command: program and arguments, to which the verb is added.
        version: the installed version; "" for a program of one's own.
    """

    name: str
    command: tuple[str, ...]
    version: str


def installed(name: str, settings: Settings) -> Connector | None:
    """Connector ``name`` if it is installed, else None. Reads one small file."""
    try:
        marker = json.loads(_marker(name, settings).read_bytes())
    except FileNotFoundError:
        return None
    connector = Connector(marker["name"], tuple(marker["command"]), marker["version"])
    # Somebody may have removed the environment, or moved ATLAS_HOME, which breaks its scripts.
    return connector if Path(connector.command[0]).exists() else None


def install(name: str, settings: Settings, on_line: OnLine | None = None) -> Connector:
    """Install connector ``name`` of the catalog unless it is. Whoever comes while another process
    installs it waits for that.

    Raises:
        NotFound: the catalog has no such connector.
        TransientError: it could not be installed; nothing is left of the attempt.
    """
    entry = catalog.get(name)
    found = installed(name, settings)
    if found is not None:
        return found
    root = settings.home / "connectors"
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root / f".{name}.lock"):
        found = installed(name, settings)
        if found is not None:
            return found
        # What earlier attempts left when they were killed.
        shutil.rmtree(root / name, ignore_errors=True)
        target = root / name / f"{entry.version}-{secrets.token_hex(4)}"
        target.mkdir(parents=True)
        try:
            connector = _run(entry, target, settings, on_line)
            _write_marker(connector, settings)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return connector


def resolve(
    connector: str | None,
    executable: str | None,
    settings: Settings,
    install_missing: bool = False,
) -> Connector:
    """What a connection names: a connector of the catalog, or any program that speaks the protocol.

    Raises:
        UsageError: neither or both are named, the name is unknown, or the program cannot be run.
        TerminalError: the connector is not installed, and ``install_missing`` is not set.
        TransientError: it could not be installed.
    """
    if (connector is None) == (executable is None):
        raise UsageError("name either a connector or an executable")
    if executable is not None:
        return _own_program(executable)
    assert connector is not None  # noqa: S101 - one of the two is there
    if install_missing:
        return install(connector, settings)
    catalog.get(connector)
    found = installed(connector, settings)
    if found is None:
        raise TerminalError(
            f"connector {connector} is not installed: "
            "`atlas apply` of a connection that uses it installs it"
        )
    return found


def directory_of(connector: Connector, settings: Settings) -> Path | None:
    """The directory that holds an installed connector and nothing else, or None for a program of
    one's own. It is made anew with each installation."""
    root = settings.home / "connectors" / connector.name
    program = Path(connector.command[0])
    if not connector.version or not program.is_relative_to(root):
        return None
    return root / program.relative_to(root).parts[0]


def _own_program(executable: str) -> Connector:
    path = Path(executable).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"executable {executable}: no such file")
    if path.suffix == ".py":
        return Connector(path.name, (sys.executable, str(path)), "")
    if not os.access(path, os.X_OK):
        raise UsageError(f"executable {executable}: not executable; `chmod +x` it")
    return Connector(path.name, (str(path),), "")


def _marker(name: str, settings: Settings) -> Path:
    return settings.home / "connectors" / f"{name}.json"


def _write_marker(connector: Connector, settings: Settings) -> None:
    marker = _marker(connector.name, settings)
    part = marker.with_suffix(".part")
    content = {
        "name": connector.name,
        "version": connector.version,
        "command": connector.command,
    }
    with part.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(marker)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold ``path`` against other processes; the kernel frees it when the holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(
    entry: catalog.Entry, target: Path, settings: Settings, on_line: OnLine | None
) -> Connector:
    """Run the child and wait for its answer, one line of JSON on standard output."""
    child = process.spawn(
        [sys.executable, "-m", _INSTALLER, entry.name, entry.package, entry.version, str(target)],
        env=_environment(target),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        death_signal=signal.SIGTERM,  # it then takes uv along, which SIGKILL would not
    )
    assert child.stdout is not None  # noqa: S101 - made with PIPE
    assert child.stderr is not None  # noqa: S101
    answer: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    readers = [
        threading.Thread(target=_forward, args=(child.stderr, on_line), daemon=True),
        threading.Thread(
            target=lambda pipe: answer.put(pipe.read(1 << 20)), args=(child.stdout,), daemon=True
        ),
    ]
    for reader in readers:
        reader.start()
    try:
        code = child.wait(settings.connector_install_timeout)
    except subprocess.TimeoutExpired as error:
        raise TransientError(
            f"connector {entry.name}: installing took longer than "
            f"{settings.connector_install_timeout:g} s; ATLAS_CONNECTOR_INSTALL_TIMEOUT sets the "
            "limit"
        ) from error
    finally:
        process.end(child, grace=2.0)
        for reader in readers:
            reader.join()
        child.stdout.close()
        child.stderr.close()
    try:
        found = json.loads(answer.get())
    except ValueError as error:
        raise TransientError(
            f"connector {entry.name}: cannot be installed: the installer ended with code {code}"
        ) from error
    if "error" in found:
        raise TransientError(f"connector {entry.name}: cannot be installed: {found['error']}")
    return Connector(entry.name, tuple(found["command"]), found["version"])


def _forward(pipe: IO[bytes], on_line: OnLine | None) -> None:
    while line := pipe.readline(64 * 1024):
        text = line.decode(errors="replace").strip()
        if text and on_line is not None:
            on_line(text)


def _environment(target: Path) -> dict[str, str]:
    scratch = target / "pyairbyte"
    scratch.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {
        # PyAirbyte calls uv by its name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        # No registry, no telemetry; and what it writes while it works goes with the attempt.
        "AIRBYTE_OFFLINE_MODE": "1",
        "DO_NOT_TRACK": "1",
        "AIRBYTE_PROJECT_DIR": str(scratch),
        "AIRBYTE_INSTALL_DIR": str(scratch),
        "AIRBYTE_CACHE_ROOT": str(scratch / "cache"),
        "AIRBYTE_LOGGING_ROOT": str(scratch / "logs"),
        "AIRBYTE_TEMP_DIR": str(scratch),
        "PYTHONWARNINGS": "ignore",  # of PyAirbyte's dependencies; progress is for people
        "NO_COLOR": "1",
        "COLUMNS": "1000",
    }
