"""Passwords: argon2id with the parameters that the library recommends, and what a password must be.

A check of a password takes the same work whether there is one to check against or not.
"""

from __future__ import annotations

import functools
import secrets
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from atlas.errors import TransientError, UsageError

SHORTEST = 12
LONGEST = 1024

_hasher = PasswordHasher()
# Each takes 64 MiB for as long as it runs.
_places = threading.BoundedSemaphore(2)
_PATIENCE = 10.0


def check(password: str, name: str) -> None:
    """See that ``password`` may be that of the account ``name``.

    Raises:
        UsageError: it is too short, too long, or easily guessed.
    """
    given = _normal(password)
    if not SHORTEST <= len(given) <= LONGEST:
        raise UsageError(f"password: must be {SHORTEST} to {LONGEST} characters long")
    if name.lower() in given.lower() and len(given) - len(name) < SHORTEST - 4:
        raise UsageError("password: must be more than the name with something around it")
    if len(set(given)) < 5:
        raise UsageError("password: must have at least 5 different characters")


def hashed(password: str) -> str:
    """The text to keep of ``password``.

    Raises:
        TransientError: too many passwords are being checked at this moment.
    """
    with _place():
        return _hasher.hash(_normal(password))


def fits(kept: str | None, password: str) -> bool:
    """Whether ``password`` is the one that ``kept`` was made from; nothing kept: never, after as
    much work.

    Raises:
        TransientError: too many passwords are being checked at this moment.
    """
    nobody = _nobodys()
    with _place():
        try:
            _hasher.verify(kept or nobody, _normal(password)[:LONGEST])
        except (Argon2Error, InvalidHashError):
            return False
    return kept is not None


def outdated(kept: str) -> bool:
    """Whether ``kept`` was made with other parameters than are recommended now."""
    return _hasher.check_needs_rehash(kept)


@functools.cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_hex())


class _place:  # noqa: N801 - reads as a verb's object
    """One of the places at which a password is worked on."""

    def __enter__(self) -> None:
        if not _places.acquire(timeout=_PATIENCE):
            raise TransientError("too many passwords are being checked: try again soon")

    def __exit__(self, *_: object) -> None:
        _places.release()


def _normal(password: str) -> str:
    # The same characters, however a keyboard composes them.
    return unicodedata.normalize("NFKC", password)
