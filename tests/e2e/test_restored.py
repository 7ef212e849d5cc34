"""A dump of a stack at work, as docs/operations.md says: restored under another stack, what was
under way goes on there, nothing is lost, and nothing is there twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.e2e.conftest import Atlas
from tests.soak.account import Book
from tests.soak.world import World
from tests.stages.test_backup import _tool

NAMES = ("mixed_a", "orders_b", "notes_b")
_UNDER_WAY = "SELECT 1 FROM pipeline.run WHERE connection = ANY(:names) AND finished_at IS NULL"
_CLAIMED = (
    "SELECT DISTINCT r.connection FROM pipeline.stage_run s JOIN pipeline.run r ON r.id = s.run_id"
    " WHERE r.connection = ANY(:names) AND s.lease_until > now()"
)
_QUIET = (
    # What other tests have left in the dump is not to go on there.
    "UPDATE pipeline.connection SET due_at = NULL",
    "UPDATE pipeline.webhook SET enabled = false",
)


@pytest.fixture
def dumped(atlas: Atlas, tmp_path: Path) -> Iterator[tuple[World, str]]:
    """The sources of NAMES, each in the midst of a run at the dump; URL of the restored
    database."""
    world = World(tmp_path / "sources", NAMES, random.Random(5))
    connections = [{**each, "schedule": None} for each in world.connections()]
    _pass(world)
    atlas.apply(*connections)
    for name in NAMES:
        atlas.sync(name)
    _pass(world)
    for each in connections:
        each["config"]["pace"] = 0.1
    atlas.apply(*connections)
    for name in NAMES:
        atlas.start(name)
    atlas.until(lambda: len(atlas.rows(_CLAIMED, names=list(NAMES))) == len(NAMES))
    dump = tmp_path / "atlas.dump"
    url = atlas.engine.url.render_as_string(hide_password=False)
    _tool("pg_dump", "--format=custom", f"--file={dump}", url)
    restored = sa.make_url(url).set(database="restored")
    with atlas.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(sa.text("CREATE DATABASE restored"))
    told = restored.render_as_string(hide_password=False)
    options = ("--no-owner", "--no-privileges", "--exit-on-error")
    _tool("pg_restore", *options, f"--dbname={told}", str(dump))
    try:
        yield world, told
    finally:
        with atlas.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(sa.text("DROP DATABASE restored WITH (FORCE)"))


@pytest.mark.timeout(900)
def test_what_was_under_way_goes_on(
    atlas: Atlas, dumped: tuple[World, str], tmp_path: Path
) -> None:
    world, url = dumped
    extra = {
        **atlas.extra,
        "ATLAS_DATABASE_URL": url,
        "ATLAS_SECRET_KEY": (atlas.home / "secret.key").read_text(),
        "ATLAS_PORT": "0",
    }
    del extra["ATLAS_OTEL_ENDPOINT"], extra["ATLAS_OTEL_HEADERS"]
    other = Atlas(tmp_path / "elsewhere", extra)
    # Where its database is, a stack that did not start it does not tell.
    other._engine = sa.create_engine(url)
    with other.engine.begin() as conn:
        assert conn.execute(sa.text(_UNDER_WAY), {"names": list(NAMES)}).all()
        for statement in _QUIET:
            conn.execute(sa.text(statement))
    other.run("up", "--detach")
    try:
        for stack in (atlas, other):
            assert stack.until(lambda s=stack: not s.rows(_UNDER_WAY, names=list(NAMES)))
        _pass(world)
        for stack in (atlas, other):
            for name in NAMES:
                stack.sync(name)
            statuses = "SELECT DISTINCT status FROM pipeline.run WHERE connection = ANY(:names)"
            assert stack.rows(statuses, names=list(NAMES)) == [("succeeded",)]
            with stack.engine.connect() as conn:
                found = Book(world.streams).close(conn, world.versions)
            assert (found.lost, found.twice) == ([], [])
    finally:
        other.engine.dispose()
        other.run("down")


def _pass(world: World) -> None:
    for _ in range(10):
        world.go_on()
