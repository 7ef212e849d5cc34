"""An embedded PostgreSQL with the ledger, in which stages are performed one by one in this process.

What a worker's task calls (:mod:`atlas.sync.perform`) on tables that SQL filled, with the server's
default settings and durable: no workers, no Redis, no connector. For measurements of one stage.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2.sql import Composable

from atlas.ledger import connections, database, migrations, runs
from atlas.ledger.claims import Found
from atlas.local.postgres import Postgres
from atlas.model.connection import Connection
from atlas.model.stage import Stage
from atlas.model.stream import ConfiguredStream
from atlas.settings import Settings, parse, secret_key
from atlas.stages import ORDER
from atlas.sync.perform import perform
from bench.stack import BenchError

CONNECTION = "shop"
"""The one connection."""
_SECRET = "bench" * 8


@dataclass(frozen=True, slots=True)
class House:
    """A running server, its ledger, and connection ``shop``, whose source nobody asks."""

    directory: Path
    url: str
    settings: Settings
    engine: sa.Engine

    def execute(self, statement: str | Composable) -> list[tuple[Any, ...]]:
        """Run a statement and commit; returns its rows, if it gives any."""
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def apply(self, **fields: Any) -> None:
        """Store the connection anew, with ``fields`` beyond the defaults."""
        given: dict[str, Any] = {"connector": None, "executable": "none", "config": {}} | fields
        with self.engine.begin() as conn:
            secret = secret_key(self.settings)
            connections.put(conn, secret, Connection(CONNECTION, **given))

    def calm(self) -> None:
        """Let the server write out what came before, and forget the rows that are gone; whoever is
        measured next should not pay for it."""
        connection = psycopg2.connect(self.url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("CHECKPOINT")
        finally:
            connection.close()
        os.sync()

    def begin(self, configured: ConfiguredStream, stage: Stage, rows: int) -> tuple[str, int]:
        """A run of one stream, read as a full refresh, that has come as far as ``stage``.

        Returns: the run's id and the stream's.
        """
        with self.engine.begin() as conn:
            run_id = runs.create(
                conn, connection=CONNECTION, trigger="cli", selected=None, full_refresh=True
            )
            runs.stamp_extraction(conn, run_id)
            runs.add_streams(conn, run_id, [(configured, True)], ORDER)
            (stream,) = runs.streams(conn, run_id)
            runs.count(conn, stream.id, rows_explore=rows)
            runs.explored(conn, stream.id)
            conn.execute(
                sa.text(
                    "UPDATE pipeline.stage_run SET status = 'succeeded'"
                    " WHERE run_id = :run AND position < :position"
                ),
                {"run": run_id, "position": ORDER.index(stage)},
            )
        return run_id, stream.id

    def perform(self, stage: Stage, run_stream_id: int) -> float:
        """Perform a stage as a worker does; returns its seconds, from before its claim.

        Raises:
            BenchError: it did not succeed at once.
        """
        started = perf_counter()
        found = perform(self.engine, self.settings, stage, run_stream_id=run_stream_id)
        seconds = perf_counter() - started
        if found is not Found.DONE:
            (why,) = self.execute(
                "SELECT coalesce(error, status) FROM pipeline.stage_run"
                f" WHERE run_stream_id = {run_stream_id} AND stage = '{stage}'"
            )
            raise BenchError(f"stage {stage}: {why[0]}")
        return seconds

    def end(self, run_id: str) -> None:
        """Have the run be over, so that the next one may begin."""
        self.execute(
            "UPDATE pipeline.run SET status = 'succeeded', finished_at = clock_timestamp()"
            f" WHERE id = '{run_id}'"
        )


@contextlib.contextmanager
def running() -> Iterator[House]:
    """A house in a temporary directory, gone at the end whatever happens."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-bench-"))
    try:
        directory.chmod(0o755)  # for the server, which as root runs as another user
        home = directory / "home"
        home.mkdir()
        with Postgres(home) as server:
            settings = parse(
                {
                    "ATLAS_HOME": str(home),
                    "ATLAS_DATABASE_URL": server.url(),
                    "ATLAS_SECRET_KEY": _SECRET,
                }
            )
            engine = database.engine(settings, name="bench")
            try:
                migrations.upgrade(engine)
                house = House(directory, server.url(), settings, engine)
                house.apply()
                yield house
            finally:
                engine.dispose()
    finally:
        shutil.rmtree(directory)
