"""Files that were sent over HTTP for source-files to read, in ``files`` below ``ATLAS_UPLOADS``.

What is being received lies beside that directory, where no pattern of a connection reaches. A file
appears under its name when the last of its bytes is on the disk, or not at all, and takes
the place of an earlier one of that name at once: a sync that is reading that one reads it to its
end.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from atlas.errors import NotFound, UsageError
from atlas.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ABANDONED_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is there: ``path`` is what a connection's configuration says."""

    name: str
    path: str
    bytes: int
    modified_at: datetime


def directory(settings: Settings) -> Path:
    """Where they are."""
    return _root(settings) / "files"


def _root(settings: Settings) -> Path:
    return settings.uploads or settings.home / "uploads"


def save(name: str, content: Iterable[bytes], settings: Settings) -> Upload:
    """Keep a file; whatever ``content`` raises leaves what was there.

    Raises:
        UsageError: the name is none that is taken.
        OSError: it cannot be kept there: no room, no right.
    """
    path, parts = _path(name, settings), _root(settings) / "parts"
    for folder in (path.parent, parts):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(parts)
    part = parts / secrets.token_hex(8)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            described = _described(path, os.fstat(file.fileno()))
        part.replace(path)
        _settle(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return described


def _settle(folder: Path) -> None:
    """Have the names in it survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def listed(settings: Settings) -> list[Upload]:
    """All of them, by name."""
    found = []
    for path in sorted(directory(settings).glob("[A-Za-z0-9]*")):
        try:
            found.append(_described(path, path.stat()))
        except FileNotFoundError:
            continue  # removed just now
    return found


def remove(name: str, settings: Settings) -> None:
    """Remove a file.

    Raises:
        NotFound: there is none of that name. UsageError: the name is none that is taken.
    """
    try:
        _path(name, settings).unlink()
    except FileNotFoundError as error:
        raise NotFound(f"there is no upload {name}") from error


def _path(name: str, settings: Settings) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"an upload's name is up to 100 letters, digits, dots, dashes and underscores, the "
            f"first a letter or digit; {name[:100]!r} is not"
        )
    return directory(settings) / name


def _described(path: Path, status: os.stat_result) -> Upload:
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return Upload(path.name, str(path), status.st_size, modified)


def _sweep(folder: Path) -> None:
    """Remove what processes left that were killed while they received."""
    for part in folder.iterdir():
        try:
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()
        except FileNotFoundError:
            continue
