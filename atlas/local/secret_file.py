"""The secret key that the embedded stack keeps in a file, and how another one takes its place."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import sqlalchemy as sa

from atlas.errors import Conflict
from atlas.ledger import rotation
from atlas.local.files import Lock

_PATIENCE = 10.0


def rotate(engine: sa.Engine, home: Path, new: str | None = None) -> int:
    """Replace ``home/secret.key``; returns how many stored configurations were encrypted anew.

    Whoever kills this leaves a key that opens the database: until the last step the old one and
    the new one both do. Called again it goes on where it was broken off, or begins anew.

    Args:
        new: the new key; None: one is made.

    Raises:
        Conflict: another process is at it.
    """
    path, coming = home / "secret.key", home / "secret.key.new"
    lock = Lock(home / "secret.lock")
    if not lock.acquire(wait=_PATIENCE):
        raise Conflict("the secret key is being rotated by another process: wait for its end")
    try:
        # One that is there was admitted, perhaps, by a process that was killed.
        if new is not None or not coming.exists():
            _write(coming, new or secrets.token_urlsafe(48))
        with engine.begin() as conn:
            rotation.admit(conn, path.read_bytes(), coming.read_bytes())
        coming.replace(path)
        _sync(home)
        with engine.begin() as conn:
            return rotation.finish(conn, path.read_bytes())
    finally:
        lock.release()


def _write(path: Path, content: str) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    """A rename is there after a power cut only once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
