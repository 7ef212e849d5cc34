"""Who may read what: connections of a login that is a reader, and of one that is not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2 import errors, sql
from sqlalchemy.engine import make_url

from atlas.ledger import migrations, readers
from tests.ledger.conftest import engine

__all__ = ["engine"]
ROWS = "CREATE TABLE {} (v text); INSERT INTO {} VALUES ('x')"


@pytest.fixture
def admin(engine: sa.Engine) -> Iterator[Any]:
    connection = psycopg2.connect(engine.url.render_as_string(hide_password=False))
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def analyst(admin: Any, engine: sa.Engine) -> Iterator[Any]:
    """A cursor of a login that was made a reader."""
    name = f"analyst_{uuid.uuid4().hex[:8]}"
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE atlas_reader").format(sql.Identifier(name)))
    url = make_url(engine.url).set(username=name)
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()
    admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def _fill(admin: Any, *tables: str) -> None:
    for table in tables:
        name = sql.Identifier(*table.split("."))
        admin.execute(sql.SQL(ROWS).format(name, name))


def test_a_reader_sees_chart_and_navigate_alone(admin: Any, analyst: Any) -> None:
    _fill(admin, "chart.a", "navigate.a", "explore.a_raw", "pipeline.staging_1")
    for table in ("chart.a", "navigate.a"):
        analyst.execute(f"SELECT v FROM {table}")
        assert analyst.fetchall() == [("x",)]
        with pytest.raises(errors.InsufficientPrivilege):
            analyst.execute(f"DELETE FROM {table}")
    for table in ("explore.a_raw", "pipeline.staging_1", "pipeline.connection"):
        with pytest.raises(errors.InsufficientPrivilege):
            analyst.execute(f"SELECT * FROM {table}")
    with pytest.raises(errors.InsufficientPrivilege):
        analyst.execute("CREATE TABLE chart.mine (v text)")


def test_tables_from_before_are_seen_too(admin: Any, engine: sa.Engine, analyst: Any) -> None:
    admin.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA chart REVOKE SELECT ON TABLES FROM atlas_reader"
    )
    _fill(admin, "chart.b")
    with pytest.raises(errors.InsufficientPrivilege):
        analyst.execute("SELECT * FROM chart.b")
    migrations.upgrade(engine)
    analyst.execute("SELECT * FROM chart.b")


def test_a_role_that_may_make_none_says_so(
    engine: sa.Engine, admin: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"small_{uuid.uuid4().hex[:8]}"
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    monkeypatch.setattr(readers, "exists", lambda _: False)
    small = sa.create_engine(make_url(engine.url).set(username=name))
    with small.begin() as conn:
        assert not readers.ensure(conn)
        assert conn.execute(sa.text("SELECT 1")).scalar() == 1
    small.dispose()
    assert "CREATE ROLE atlas_reader" in caplog.text
    admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
