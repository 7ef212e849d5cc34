"""Installing connectors: each version in a virtual environment of its own.

``ATLAS_HOME/connectors/NAME/VERSION.json`` is the marker of an installed version, written last:
without it nothing is installed. ``ATLAS_HOME/connectors/NAME.json`` is the same for the version
that is current, which connections run that pin none. Every attempt has a directory of its own, so
whatever a killed one still writes is in nobody's way.

PyAirbyte does it, in a child process (:mod:`atlas.connectors.installer`), for importing it takes
seconds and it leaves logs and caches where it runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import re
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

from atlas import __version__, process
from atlas.connectors import catalog, docker
from atlas.errors import NotFound, TerminalError, TransientError, UsageError
from atlas.settings import PREFIX, Settings

_INSTALLER = "atlas.connectors.installer"
"""Run, never imported: it alone imports PyAirbyte."""

_SHEBANG = 4096
"""Longest first line of a script that is looked at."""

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


def installed(name: str, settings: Settings, version: str | None = None) -> Connector | None:
    """Connector ``name`` in ``version`` (None: the current one), or None where it is not installed.
    Reads one small file, or two."""
    current = _read(_current(name, settings))
    if version is None or (current is not None and current.version == version):
        return current
    return _read(_marker(name, version, settings))


def present(name: str, settings: Settings, version: str | None = None) -> Connector | None:
    """Connector ``name`` if nothing has to be installed to run it, else None. Asks nobody: whether
    a Docker engine is there is seen when the connector runs.

    Raises:
        NotFound: the catalog has no such connector.
    """
    entry = catalog.get(name, settings)
    if entry.install == "native":
        return _native(name)
    if entry.install == "docker":
        return Connector(name, (), _checked(name, version) or entry.version or "latest")
    return installed(name, settings, version) if entry.install == "package" else None


def versions(name: str, settings: Settings) -> list[str]:
    """The installed versions of connector ``name``, sorted as text."""
    found = {
        connector.version
        for path in (settings.home / "connectors" / name).glob("*.json")
        if (connector := _read(path)) is not None
    }
    current = installed(name, settings)
    return sorted(found | ({current.version} if current is not None else set()))


def broken(settings: Settings) -> list[str]:
    """The installed connectors that cannot be run, and why: their program is gone, or the Python
    that it was made for."""
    root = settings.home / "connectors"
    found = []
    for path in sorted([*root.glob("*.json"), *root.glob("*/*.json")]):
        try:
            marker = json.loads(path.read_bytes())
            named = f"{marker['name']} {marker['version']}"
            program = Path(marker["command"][0])
        except (OSError, ValueError, LookupError, TypeError):
            found.append(f"{path.stem} ({path} cannot be read)")
            continue
        if not program.exists():
            found.append(f"{named} ({program} is gone)")
        elif not os.access(program, os.X_OK):
            found.append(f"{named} ({program} cannot be executed)")
        elif (interpreter := _interpreter(program)) is not None and not interpreter.exists():
            found.append(f"{named} ({interpreter} is gone)")
    return list(dict.fromkeys(found))


def _interpreter(program: Path) -> Path | None:
    """What a script says in its first line that it is run by; None: it is none, or is not said."""
    try:
        with program.open("rb") as file:
            line = file.readline(_SHEBANG).decode(errors="replace")
    except OSError:
        return None  # a program may be run by who may not read it
    return Path(line.removeprefix("#!").strip().split(" ")[0]) if line.startswith("#!/") else None


def install(
    name: str,
    settings: Settings,
    on_line: OnLine | None = None,
    version: str | None = None,
    *,
    pinned: bool = False,
) -> Connector:
    """Install connector ``name`` unless it is. Whoever comes while another process installs it
    waits for that.

    Args:
        version: None: the current one, or of a connector that has none the catalog's.
        pinned: a connection needs ``version``: it is not made the current one, though no other is.

    Raises:
        NotFound: the catalog has no such connector. UsageError: it is no package, or that is no
            version. TransientError: it could not be installed; nothing is left of the attempt.
    """
    entry = _package(name, settings)
    found = installed(name, settings, _checked(name, version))
    if found is not None:
        return found
    with _lock(name, settings):
        connector = _install(entry, version or str(entry.version), settings, on_line)
        if not pinned and installed(name, settings) is None:
            _write_marker(_current(name, settings), connector)
        return connector


def upgrade(
    name: str,
    settings: Settings,
    on_line: OnLine | None = None,
    version: str | None = None,
) -> Connector:
    """Install ``version`` (None: the catalog's) beside what is there, and make it the current one.

    What runs goes on with the version that it began with.

    Raises:
        As :func:`install`.
    """
    entry = _package(name, settings)
    _checked(name, version)
    with _lock(name, settings):
        connector = _install(entry, version or str(entry.version), settings, on_line)
        _write_marker(_current(name, settings), connector)
        return connector


def uninstall(name: str, settings: Settings, version: str | None = None) -> list[str]:
    """Remove ``version`` of connector ``name`` (None: all); returns which were removed.

    Raises:
        NotFound: it is not installed. UsageError: it is the current version, and there are others;
            or that is no version.
    """
    # Not looked up: the catalog may have lost it since. But it becomes a directory's name.
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise NotFound(f"connector {name[:80]!r} is not installed")
    _checked(name, version)
    with _lock(name, settings):
        there = versions(name, settings)
        gone = there if version is None else [item for item in there if item == version]
        if not gone:
            which = name if version is None else f"{name} {version}"
            raise NotFound(f"connector {which} is not installed")
        current = installed(name, settings)
        if current is not None and current.version in gone:
            if len(gone) < len(there):
                other = next(item for item in there if item not in gone)
                raise UsageError(
                    f"connector {name} {version} is the current version: make another current "
                    f"first, with `atlas connectors upgrade {name} --version {other}`"
                )
            _current(name, settings).unlink()
        # The markers first: what a kill leaves then is not installed, and swept by the next one.
        for item in gone:
            _marker(name, item, settings).unlink(missing_ok=True)
        _sweep(name, settings)
        return gone


def resolve(
    connector: str | None,
    executable: str | None,
    settings: Settings,
    install_missing: bool = False,
    version: str | None = None,
) -> Connector:
    """What a connection names: a connector of the catalog, a manifest, or any program that speaks
    the protocol.

    Args:
        version: of the connector; None: the current one.

    Raises:
        UsageError: neither or both are named, the name is unknown, or the program cannot be run.
        TerminalError: the connector cannot be run here, or is not installed and
            ``install_missing`` is not set.
        TransientError: it could not be installed.
    """
    if (connector is None) == (executable is None):
        raise UsageError("name either a connector or an executable")
    if executable is not None:
        return _own_program(executable)
    assert connector is not None  # noqa: S101 - one of the two is there
    entry = catalog.get(connector, settings)
    match entry.install:
        case "native":
            if version is not None:
                raise UsageError(
                    f"connector {connector} comes with Atlas: it has no version to pin"
                )
            return _native(connector)
        case "docker":
            tag = _checked(connector, version) or entry.version or "latest"
            command = docker.command(
                connector, f"{entry.image}:{tag}", settings.connector_install_timeout
            )
            return Connector(connector, command, tag)
        case "none":
            raise UsageError(f"connector {connector} cannot be run: {entry.note}")
    if install_missing:
        return install(connector, settings, version=version, pinned=version is not None)
    found = installed(connector, settings, _checked(connector, version))
    if found is None:
        raise TerminalError(
            f"connector {connector} is not installed: `atlas connectors install {connector}`"
        )
    return found


def directory_of(connector: Connector, settings: Settings) -> Path | None:
    """The directory that holds an installed connector and nothing else, or None for a program of
    one's own. It is made anew with each installation."""
    root = settings.home / "connectors" / connector.name
    program = Path(*connector.command[:1])
    if not connector.version or not program.is_relative_to(root):
        return None
    return root / program.relative_to(root).parts[0]


def _own_program(executable: str) -> Connector:
    path = Path(executable).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"executable {executable}: no such file")
    if path.suffix in (".yaml", ".yml"):
        return Connector(path.name, (*_module("atlas.connectors.manifest"), str(path)), "")
    if path.suffix == ".py":
        return Connector(path.name, (sys.executable, str(path)), "")
    if not os.access(path, os.X_OK):
        raise UsageError(f"executable {executable}: not executable; `chmod +x` it")
    return Connector(path.name, (str(path),), "")


def _native(name: str) -> Connector:
    return Connector(name, _module(catalog.NATIVE[name]), __version__)


def _module(name: str) -> tuple[str, ...]:
    """A program of Atlas's own; -P: what lies where it runs is none of its modules."""
    return (sys.executable, "-P", "-m", name)


def _package(name: str, settings: Settings) -> catalog.Entry:
    entry = catalog.get(name, settings)
    if entry.install != "package":
        how = {
            "native": "it comes with Atlas",
            "docker": "its image is pulled when it is first asked",
        }
        raise UsageError(
            f"connector {name}: nothing is to be installed: {how.get(entry.install, entry.note)}"
        )
    return entry


def _checked(name: str, version: str | None) -> str | None:
    """``version``, if it can be one: it becomes a file's name and an argument."""
    if version is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,63}", version):
        raise UsageError(
            f"connector {name}: {version[:80]!r} is no version; write one such as 1.2.3"
        )
    return version


def _install(
    entry: catalog.Entry, version: str, settings: Settings, on_line: OnLine | None
) -> Connector:
    """Under the connector's lock."""
    found = installed(entry.name, settings, version)
    if found is not None:
        return found
    _sweep(entry.name, settings)
    target = settings.home / "connectors" / entry.name / f"{version}-{secrets.token_hex(4)}"
    target.mkdir(parents=True)
    try:
        connector = _run(entry, version, target, settings, on_line)
        _write_marker(_marker(entry.name, version, settings), connector)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return connector


def _sweep(name: str, settings: Settings) -> None:
    """Remove what belongs to no installed version: attempts that were killed. Under the lock."""
    root = settings.home / "connectors" / name
    markers = [*root.glob("*.json"), _current(name, settings)]
    kept = {
        Path(connector.command[0]).relative_to(root).parts[0]
        for path in markers
        if (connector := _read(path)) is not None
        and Path(connector.command[0]).is_relative_to(root)
    }
    if root.is_dir():
        for path in root.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == ".json" and _read(path) is None:
                path.unlink()


def _current(name: str, settings: Settings) -> Path:
    return settings.home / "connectors" / f"{name}.json"


def _marker(name: str, version: str, settings: Settings) -> Path:
    return settings.home / "connectors" / name / f"{version}.json"


def _read(path: Path) -> Connector | None:
    """The connector of a marker; None where there is none, or its environment is gone: somebody
    may have removed it, or moved ATLAS_HOME, which breaks its scripts."""
    try:
        marker = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    connector = Connector(marker["name"], tuple(marker["command"]), marker["version"])
    return connector if Path(connector.command[0]).exists() else None


def _write_marker(marker: Path, connector: Connector) -> None:
    part = marker.with_suffix(f".{os.getpid()}.part")
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
def _lock(name: str, settings: Settings) -> Iterator[None]:
    """Hold the connector against other processes; the kernel frees it when the holder dies."""
    root = settings.home / "connectors"
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(
    entry: catalog.Entry,
    version: str,
    target: Path,
    settings: Settings,
    on_line: OnLine | None,
) -> Connector:
    """Run the child and wait for its answer, one line of JSON on standard output."""
    child = process.spawn(
        [
            *(sys.executable, "-m", _INSTALLER),
            *(entry.name, str(entry.package), version, str(target)),
            # They are known to be right for that one version only.
            *(entry.overrides if version == entry.version else ()),
        ],
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
