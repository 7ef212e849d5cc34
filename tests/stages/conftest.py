"""Explore as a worker does it, on a migrated database and with a real connector process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import AtlasError
from atlas.ledger import claims, connections, ends, runs, state
from atlas.ledger.runs import RunStream
from atlas.model.connection import Connection
from atlas.model.evolution import SchemaPolicy
from atlas.model.quality import Quality
from atlas.model.stage import Stage, Status
from atlas.model.stream import StreamSelection
from atlas.settings import Settings, parse, secret_key
from atlas.stages import explore, quality
from atlas.stages.work import Work, begin, finish

SCRIPTED = Path(__file__).parents[1] / "connectors" / "scripted.py"
STREAM = {"cursor_field": ["updated_at"], "primary_key": [["id"]]}


def row(number: int, day: int, **more: Any) -> dict[str, Any]:
    """A row that the source changed on this day."""
    return {"id": number, "updated_at": f"2026-01-{day:02d}"} | more


@dataclass
class Source:
    """A connection ``shop`` to the scripted connector, and the runs of it."""

    engine: sa.Engine
    settings: Settings
    directory: Path
    options: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, StreamSelection] | None = None
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    extra: dict[str, dict[str, Any]] = field(default_factory=dict)
    policy: SchemaPolicy = SchemaPolicy.EVOLVE
    program: Path = SCRIPTED
    pii: dict[str, Any] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)

    @property
    def connection(self) -> Connection:
        """The connection as it is to be applied."""
        return Connection(
            "shop",
            connector=None,
            executable=str(self.program),
            config={"records_file": str(self.directory / "rows.json"), **self.options},
            streams=self.streams,
            schema_changes=self.policy,
            pii=self.pii,
            quality=self.quality,
        )

    @property
    def id(self) -> int:
        """The connection's id."""
        return int(self.value("SELECT id FROM pipeline.connection"))

    def apply(self) -> str:
        """Store the connection."""
        with self.engine.begin() as conn:
            return connections.put(conn, secret_key(self.settings), self.connection)

    def stored(self) -> Connection:
        """The connection as it is stored."""
        with self.engine.begin() as conn:
            return connections.get(conn, secret_key(self.settings), "shop").connection

    def begin(self, *selected: str, full_refresh: bool = False) -> str:
        """A run, written down; returns its id."""
        document = {
            name: {**STREAM, **self.extra.get(name, {}), "records": rows}
            for name, rows in self.rows.items()
        }
        (self.directory / "rows.json").write_text(json.dumps({"streams": document}))
        self.apply()
        with self.engine.begin() as conn:
            return runs.create(
                conn,
                connection="shop",
                trigger="cli",
                selected=list(selected) or None,
                full_refresh=full_refresh,
            )

    def attempt(self, run_id: str) -> str | None:
        """Explore for this run once; returns the error."""
        claim = claims.claim(self.engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
        assert isinstance(claim, claims.Claim)
        work = Work(claim, self.engine, self.settings, lambda _: None)
        with work.transaction() as conn:
            begin(conn, self.settings, claim)
        try:
            explore.run(work)
        except AtlasError as error:
            with work.transaction() as conn:
                ends.fail_unexplored(conn, run_id, str(error))
                state.remember(conn, run_id)
                finish(conn, self.settings, claim, Status.FAILED, error=str(error))
            return str(error)
        return None

    def run(self, *selected: str, full_refresh: bool = False) -> dict[str, RunStream]:
        """A whole run as far as explore goes; returns its streams."""
        run_id = self.begin(*selected, full_refresh=full_refresh)
        error = self.attempt(run_id)
        assert error is None, error
        return self.end(run_id)

    def end(self, run_id: str) -> dict[str, RunStream]:
        """Have the run be over, and its streams taken to chart; returns its streams."""
        with self.engine.begin() as conn:
            found = runs.streams(conn, run_id)
            conn.execute(
                sa.text("UPDATE pipeline.run SET status = 'succeeded' WHERE id = :id"),
                {"id": run_id},
            )
        return {str(each.key): each for each in found}

    def states(self) -> dict[str, Any]:
        """The states by stream, GLOBAL and LEGACY under their type, without counts."""
        with self.engine.begin() as conn:
            found = {}
            for each in state.get(conn, self.id):
                document = json.loads(each.document)
                if each.type == "STREAM":
                    found[str(each.key)] = document["stream"]["stream_state"]
                elif each.type == "GLOBAL":
                    inner = document["global"]
                    found["GLOBAL"] = {
                        item["stream_descriptor"]["name"]: item["stream_state"]
                        for item in inner["stream_states"]
                    } | {"shared": inner.get("shared_state")}
                else:
                    found["LEGACY"] = document["data"]
            return found

    def value(self, query: str, **values: Any) -> Any:
        """One value of the database."""
        with self.engine.connect() as conn:
            return conn.execute(sa.text(query), values).scalar_one()

    def column(self, query: str, **values: Any) -> list[Any]:
        """One column of the database."""
        with self.engine.connect() as conn:
            return list(conn.execute(sa.text(query), values).scalars())


@pytest.fixture(scope="session", autouse=True)
def _end_of_soda() -> Iterator[None]:
    """The warm process of the quality stage ends with these tests."""
    yield
    quality._host().close()
    quality._host.cache_clear()


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database."""
    engine = sa.create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def shop(engine: sa.Engine, tmp_path: Path) -> Source:
    """A connection ``shop`` that commits at every state."""
    return source(engine, tmp_path)


def source(engine: sa.Engine, directory: Path) -> Source:
    """A connection ``shop`` that commits at every state, with its rows and its home there."""
    settings = parse(
        {
            "ATLAS_HOME": str(directory / "home"),
            "ATLAS_SECRET_KEY": "s" * 40,
            "ATLAS_CHECKPOINT_ROWS": "1",
        }
    )
    return Source(engine, settings, directory)
