"""The stacks that are broken, one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chaos.room import Room
from tests.chaos.stack import lacking


@pytest.fixture(scope="package")
def equipped() -> None:
    """Skips where the machine lacks what faults are made with; CI has it, or has proved nothing."""
    if (lack := lacking()) is not None:
        if os.environ.get("CI"):
            pytest.fail(lack)
        pytest.skip(lack)


@pytest.fixture(scope="module")
def plain(equipped: None) -> Iterator[Room]:
    """A stack with its own servers."""
    with Room("plain") as room:
        yield room


@pytest.fixture(scope="module")
def wired(equipped: None) -> Iterator[Room]:
    """A stack behind proxies, with a clock."""
    with Room("wired") as room:
        yield room
