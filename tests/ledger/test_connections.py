"""Connections: configurations unreadable at rest, unchanged ones unwritten, state of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from atlas.errors import NotFound, TransientError
from atlas.ledger import connections, state
from atlas.ledger.state_documents import Basis, Reading
from atlas.model.connection import Connection
from atlas.model.quality import Quality
from atlas.model.source_code import SourceCode
from atlas.model.stream import StreamKey, StreamSelection, SyncMode
from tests.ledger.conftest import SECRET

SHOP = Connection(
    "shop",
    connector="source-faker",
    executable=None,
    config={"count": 10, "api_key": "hunter2"},
    streams={"users": StreamSelection(SyncMode.INCREMENTAL, ("updated_at",), (("id",),))},
    schedule={"cron": "* * * * *", "timezone": "UTC"},
    pii={"policy": "default"},
    quality=Quality(checks="checks for users:\n"),
)


def test_it_comes_back_as_it_was_put(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        assert connections.put(conn, SECRET, SHOP) == "created"
        assert connections.get(conn, SECRET, "shop").connection == SHOP


def test_unchanged_is_not_written(engine: sa.Engine) -> None:
    version = sa.text("SELECT xmin, ctid FROM pipeline.connection")
    with engine.begin() as conn:
        connections.put(conn, SECRET, SHOP)
    with engine.begin() as conn:
        before = conn.execute(version).one()
        assert connections.put(conn, SECRET, SHOP) == "unchanged"
        assert connections.put(conn, SECRET, replace(SHOP, config={"count": 11})) == "updated"
        assert conn.execute(version).one() != before


def test_a_secret_is_nowhere_in_the_database(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        connections.put(conn, SECRET, SHOP)
        row = conn.execute(
            sa.text("SELECT CAST(c AS text) FROM pipeline.connection c")
        ).scalar_one()
        assert "hunter2" not in row
        assert "hunter2" not in str(connections.names(conn))
    assert "hunter2" not in repr(SHOP)


def test_another_secret_key_is_said(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        connections.put(conn, SECRET, SHOP)
        with pytest.raises(TransientError, match="ATLAS_SECRET_KEY"):
            connections.get(conn, b"x" * 32, "shop")


def test_an_unknown_name(engine: sa.Engine) -> None:
    with engine.begin() as conn, pytest.raises(NotFound, match="nobody"):
        connections.get(conn, SECRET, "nobody")


def test_state_belongs_to_the_connector(engine: sa.Engine) -> None:
    cursor = '{"stream": {"stream_state": {"cursor": 12345678901234567890123.5}}}'
    kept = state.State("STREAM", StreamKey("users"), cursor)
    reading = Reading({StreamKey("users"): Basis()})
    run_id = "00000000-0000-0000-0000-000000000000"
    with engine.begin() as conn:
        connections.put(conn, SECRET, SHOP)
        shop = conn.execute(sa.text("SELECT id FROM pipeline.connection")).scalar_one()
        state.put(conn, shop, run_id, kept, reading)
        connections.put(conn, SECRET, replace(SHOP, config={"count": 99}))
        # Another configuration goes on from it, to the last digit.
        assert [each.document for each in state.get(conn, shop)] == [cursor]
        connections.put(conn, SECRET, replace(SHOP, connector="source-file"))
        assert state.get(conn, shop) == []


def test_where_its_file_stands_is_known_until_it_is_changed_elsewhere(engine: sa.Engine) -> None:
    def known() -> SourceCode | None:
        with engine.connect() as conn:
            (named,) = connections.names(conn)
            found = connections.get(conn, SECRET, "shop").source_code
            assert named["source_code"] == (None if found is None else found.document())
            return found

    def put(connection: Connection, source_code: SourceCode | None = None) -> str:
        with engine.begin() as conn:
            return connections.put(conn, SECRET, connection, source_code=source_code)

    first = SourceCode("https://x.example/1", "https://x.example", "shop.yml", "1")
    later = replace(first, url="https://x.example/2", version="2")
    moved = replace(later, path="sources/shop.yml")
    other = replace(SHOP, config={"count": 11})
    assert (put(SHOP), known()) == ("created", None)
    assert (put(SHOP, first), known()) == ("updated", first)
    # At a later commit the file says the same of it, and nothing is written.
    assert (put(SHOP, later), known()) == ("unchanged", first)
    assert (put(SHOP), known()) == ("unchanged", first)
    assert (put(SHOP, moved), known()) == ("updated", moved)
    assert (put(other, later), known()) == ("updated", later)
    assert (put(SHOP), known()) == ("updated", None)
