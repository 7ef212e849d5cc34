"""Passwords are kept as the library recommends."""

from __future__ import annotations

from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from atlas.ledger import passwords


def test_the_profile_is_the_librarys() -> None:
    kept = passwords.hashed("correct horse battery")
    assert extract_parameters(kept) == RFC_9106_LOW_MEMORY
    assert passwords.fits(kept, "correct horse battery")
    assert not passwords.fits(kept, "correct horse batterz")
    assert not passwords.outdated(kept)
    assert passwords.outdated(PasswordHasher(time_cost=1).hash("correct horse battery"))


def test_the_same_characters_fit_however_they_are_composed() -> None:
    kept = passwords.hashed("caf\u00e9 caf\u00e9 caf\u00e9")
    assert passwords.fits(kept, "cafe\u0301 cafe\u0301 cafe\u0301")
