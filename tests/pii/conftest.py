"""The scanner of the tests, loaded once."""

from __future__ import annotations

import pytest

from atlas.pii.scanner import Scanner
from atlas.settings import Settings


@pytest.fixture(scope="session")
def scanner() -> Scanner:
    """A scanner with the default settings."""
    return Scanner(Settings())
