"""A migrated database, and a run in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, outbox, runs
from atlas.model.connection import Connection
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER

SECRET = b"s" * 32


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database."""
    engine = sa.create_engine(database_url, pool_size=10)
    yield engine
    engine.dispose()


@pytest.fixture
def connection_id(engine: sa.Engine) -> int:
    """A connection called ``shop``."""
    with engine.begin() as conn:
        connections.put(
            conn, SECRET, Connection("shop", connector="source-faker", executable=None, config={})
        )
        return conn.execute(sa.text("SELECT id FROM pipeline.connection")).scalar_one()


@pytest.fixture
def new_run(engine: sa.Engine, connection_id: int) -> Callable[[], str]:
    """Makes a queued run of ``shop``."""

    def make() -> str:
        with engine.begin() as conn:
            run_id = runs.create(
                conn,
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


def at_once(*work: Callable[[], object]) -> list[object]:
    """Do these in threads of their own, all begun at one moment; what they return, or raise."""
    barrier = threading.Barrier(len(work))
    found: list[object] = [None] * len(work)

    def do(index: int) -> None:
        barrier.wait()
        try:
            found[index] = work[index]()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            found[index] = error

    threads = [threading.Thread(target=do, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def wait_until_blocked(engine: sa.Engine, count: int = 1) -> None:
    """Until so many sessions of this database wait for a lock."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with engine.connect() as conn:
            if conn.execute(query).scalar_one() >= count:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")
