"""A migrated database, and a run in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, migrations, outbox, runs
from atlas.model.connection import Connection
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER

SECRET = b"s" * 32


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database."""
    engine = sa.create_engine(database_url, pool_size=10)
    migrations.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def connection_id(engine: sa.Engine) -> int:
    """A connection called ``shop``."""
    with engine.begin() as conn:
        connections.put(
            conn, SECRET, Connection("shop", connector="source-faker", executable=None, config={})
        )
        return connections.id_of(conn, "shop")


@pytest.fixture
def new_run(engine: sa.Engine, connection_id: int) -> Callable[[], str]:
    """Makes a queued run of ``shop``."""

    def make() -> str:
        with engine.begin() as conn:
            run_id = runs.create(
                conn,
                connection_id=connection_id,
                connection="shop",
                trigger="cli",
                selected=None,
                full_refresh=False,
            )
            outbox.put(conn, "run", run_id)
            return run_id

    return make


def add_streams(engine: sa.Engine, run_id: str, *names: str) -> list[int]:
    """Streams of a run, read to their end; returns their ids."""
    with engine.begin() as conn:
        configured = [
            ConfiguredStream(StreamKey(name), {"type": "object"}, SyncMode.FULL_REFRESH)
            for name in names
        ]
        runs.add_streams(conn, run_id, [(item, True) for item in configured], ORDER)
        streams = runs.streams(conn, run_id)
        for stream in streams:
            runs.explored(conn, stream.id)
        return [stream.id for stream in streams]
