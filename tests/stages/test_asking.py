"""Check and discover of a configuration that no run has used yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atlas.model.connection import Connection
from tests.stages.conftest import Source

PROGRAM = """
import json, sys, time
from pathlib import Path

HERE = Path("{here}")

def say(message):
    print(json.dumps(message), flush=True)

verb = sys.argv[1]
(HERE / verb).touch()
if verb == "spec":
    say({{"type": "SPEC", "spec": {{"connectionSpecification": {{"type": "object"}}}}}})
if verb == "check":
    # Answered once discover has been asked too: one after the other this takes too long.
    deadline = time.monotonic() + 120
    while not (HERE / "discover").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    works = (HERE / "discover").exists() and not (HERE / "refused").exists()
    status = "SUCCEEDED" if works else "FAILED"
    say({{"type": "CONNECTION_STATUS", "connectionStatus": {{"status": status, "message": "no"}}}})
if verb == "discover":
    if (HERE / "refused").exists():
        sys.exit("what discover makes of it")
    stream = {{"name": "users", "json_schema": {{}}, "supported_sync_modes": ["full_refresh"]}}
    say({{"type": "CATALOG", "catalog": {{"streams": [stream]}}}})
"""


class Slow(Source):
    """A connection whose configuration holds no secret."""

    @property
    def connection(self) -> Connection:
        return replace(super().connection, executable=str(self.directory / "slow.py"), config={})


@pytest.fixture
def shop(shop: Source) -> Slow:
    (shop.directory / "slow.py").write_text(PROGRAM.format(here=shop.directory))
    return Slow(shop.engine, shop.settings, shop.directory)


def test_without_a_secret_they_are_asked_at_once(shop: Slow) -> None:
    assert set(shop.run()) == {"users"}
    (shop.directory / "check").unlink()
    shop.run()
    assert not (shop.directory / "check").exists()  # what has worked is not asked again


def test_what_check_says_is_told_before_what_discover_says(shop: Slow) -> None:
    (shop.directory / "refused").touch()
    error = shop.attempt(shop.begin())
    assert error is not None
    assert "discover makes" not in error
    assert "no" in error
