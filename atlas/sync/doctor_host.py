"""What ``atlas doctor`` sees of the host it runs on: packages, files, disk, leftovers.

Of what other hosts have it knows nothing: run it on each.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from atlas.connectors import install, workspace
from atlas.lineage.sinks import sinks
from atlas.pii import installed
from atlas.settings import Settings
from atlas.sync.findings import Finding, State, judged, some, tried

_LITTLE = 1 << 30
_FEW_FILES = 1024
_FEW_INODES = 10_000
_DISTRIBUTION = "atlas-sync"


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at this host."""
    yield _packages()
    yield _open_files()
    yield from _home(settings)
    yield from _uploads(settings)
    yield tried(
        "model",
        lambda: installed.see(settings),
        "the model and the recognizers that are asked for are there",
        "workers on queue scan do not start",
    )
    yield tried(
        "lineage",
        lambda: ", ".join(sink.target for sink in sinks(settings)),
        "",
        "see ATLAS_OPENLINEAGE_*",
    )


def _packages() -> Finding:
    """Whether the libraries are the ones that Atlas asks for: somebody may have installed another
    thing into its environment."""
    wrong = []
    for line in metadata.requires(_DISTRIBUTION) or []:
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} is {version}, not {needed.specifier}")
    return judged(
        "packages",
        not wrong,
        some(wrong) or f"version {metadata.version(_DISTRIBUTION)}, with what it needs",
        "install from requirements/lock.txt again: `make setup` after `make clean`",
    )


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft == resource.RLIM_INFINITY or soft >= _FEW_FILES
    return judged(
        "open files",
        enough,
        "as many as they like" if soft == resource.RLIM_INFINITY else f"at most {soft} a process",
        f"raise it: `ulimit -n {_FEW_FILES}`, or LimitNOFILE= of the unit",
        State.WARN,
    )


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    if not home.is_dir():
        yield Finding("home", State.WARN, f"{home} is not there", "`atlas up` makes it")
        return
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("home", State.FAIL, f"{home} cannot be written", "give it to this user")
        return
    yield Finding("home", State.OK, str(home))
    yield _room(
        "disk",
        home,
        "make room: connectors and logs need it, and with the embedded PostgreSQL all data",
    )
    yield from _private(home)
    yield from _leftovers(settings)
    broken = install.broken(settings)
    yield judged(
        "connectors",
        not broken,
        f"broken: {some(broken)}" if broken else "those that are installed can be run",
        "`atlas connectors uninstall NAME`, then install it again; ATLAS_HOME cannot be moved",
        State.WARN,
    )


def _room(what: str, path: Path, remedy: str) -> Finding:
    free = shutil.disk_usage(path).free
    inodes = os.statvfs(path)
    # A file system without a fixed number of them says 0.
    few = bool(inodes.f_files) and inodes.f_favail < _FEW_INODES
    seen = f"{free >> 20:,} MiB free in {path}" + (f", {inodes.f_favail:,} inodes" if few else "")
    return judged(what, free >= _LITTLE and not few, seen, remedy)


def _uploads(settings: Settings) -> Iterator[Finding]:
    for what, paths in (
        ("uploads", [settings.uploads] if settings.uploads else []),
        ("files", [Path(path) for path in settings.files_roots]),
    ):
        for path in paths:
            needed = os.R_OK | os.X_OK | (os.W_OK if what == "uploads" else 0)
            if not path.is_dir() or not os.access(path, needed):
                is_there = "cannot be used by this user" if path.exists() else "is not there"
                yield Finding(what, State.FAIL, f"{path} {is_there}", "make it, or give it to it")
            elif what == "uploads":
                yield _room(what, path, "make room: what is sent is refused without")


def _private(home: Path) -> Iterator[Finding]:
    """Whether what holds secrets is for its owner alone."""
    for path in (home / "secret.key", home / "tmp"):
        if path.exists():
            open_to = stat.S_IMODE(path.stat().st_mode) & 0o077
            yield judged(
                "permissions",
                not open_to,
                f"{path} is {stat.filemode(path.stat().st_mode)}",
                f"chmod go-rwx {path}",
            )


def _leftovers(settings: Settings) -> Iterator[Finding]:
    """What connectors whose worker is gone left behind."""
    left = [path.name for path in workspace.left(settings)]
    yield judged(
        "temporary files",
        not left,
        f"left behind in {settings.home / 'tmp'}: {some(left)}" if left else "none left behind",
        "they hold configurations, with their secrets: a worker on queue extract removes them as "
        "it starts, or delete them",
        State.WARN,
    )
    alone = [str(pid) for pid in _alone(settings)]
    yield judged(
        "processes",
        not alone,
        f"connectors without a worker: {some(alone)}" if alone else "no connector without a worker",
        "end them: `kill PID`",
        State.WARN,
    )


def _alone(settings: Settings) -> Iterator[int]:
    """Processes of connectors that were handed to the first process of the machine, for theirs
    ended. (In a container without `init` a worker may be that one: then they are its own.)"""
    # Where each sees only its own processes, the first one is not ours to see.
    with contextlib.suppress(psutil.Error):
        if "celery" in " ".join(psutil.Process(1).cmdline()):
            return
    ours = tuple(f"{settings.home.absolute() / name}{os.sep}" for name in ("connectors", "tmp"))
    for process in psutil.process_iter(["ppid", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["ppid"] == 1 and any(word.startswith(ours) for word in words):
            yield process.pid
