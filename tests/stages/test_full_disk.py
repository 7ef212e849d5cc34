"""A disk of a worker's host that is full: the stage waits and says so, and goes on with room."""

from __future__ import annotations

import contextlib
import dataclasses
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from atlas.errors import TransientError
from atlas.ledger.claims import Found
from atlas.local.redis import Redis
from atlas.model.stage import Stage
from atlas.settings import Settings
from atlas.sync.perform import as_ours, perform
from tests.stages.conftest import Source, row


@contextlib.contextmanager
def _no_room() -> Iterator[None]:
    """This process, as a worker's would, can write to no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def settings(shop: Source, tmp_path: Path) -> Iterator[Settings]:
    """With a Redis for the slots of connectors."""
    with Redis(tmp_path / "redis") as server:
        yield dataclasses.replace(shop.settings, redis_url=server.url())


def test_a_stage_waits_for_room_and_says_so(shop: Source, settings: Settings) -> None:
    shop.rows = {"users": [row(1, 1)]}
    run_id = shop.begin()
    with _no_room():
        perform(shop.engine, settings, Stage.EXPLORE, run_id=run_id)
    said = str(shop.value("SELECT error FROM pipeline.stage_run WHERE stage = 'explore'"))
    assert said.startswith("a disk of host ")
    assert "is full: free space there, below ATLAS_HOME first" in said
    assert "\n" not in said
    waits = "SELECT next_attempt_at > clock_timestamp() FROM pipeline.stage_run"
    assert shop.value(f"{waits} WHERE stage = 'explore'") is True
    # Nothing of the connector's configuration stays behind.
    left = settings.home / "tmp"
    assert not left.exists() or list(left.iterdir()) == []
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.stage_run SET next_attempt_at = NULL"))
    assert perform(shop.engine, settings, Stage.EXPLORE, run_id=run_id) is Found.DONE


def test_the_kernel_says_that_there_is_no_room() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is full")
    with pytest.raises(OSError) as raised:  # noqa: PT011 - its number is what is looked at
        full.write_bytes(b"x")
    error = as_ours(raised.value, "")
    assert isinstance(error, TransientError)
    assert error.outage
