"""Fixtures shared by all tests: a real PostgreSQL, a fresh database for whoever asks."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2 import sql
from xdist.scheduler import LoadFileScheduling

# These files have stacks of their own.
_APART = ("test_demo.py", "test_isolation.py", "test_limits.py")


def _group(node_id: str) -> str:
    """The tests that one process runs one after the other: those of a file, or of the files that
    share a running stack, which costs more than they do. Two such stacks keep two cores busy."""
    path = node_id.partition("::")[0]
    if path.startswith("tests/chaos/"):
        return "chaos"
    if path.startswith("tests/ui/"):
        return "ui"
    if path.startswith("tests/e2e/") and not path.endswith(_APART):
        return "stack" if path < "tests/e2e/test_hostile" else "other stack"
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    order = ["stack", "other stack", "chaos", "ui"]
    items.sort(
        key=lambda item: order.index(g) if (g := _group(item.nodeid)) in order else len(order)
    )


class _Groups(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Where files stay together, groups do."""
    return _Groups(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of the test session, database ``postgres``."""
    given = os.environ.get("TEST_SERVER_URL")
    if given:
        yield given
        return
    from atlas.local.postgres import Postgres

    # Nothing here outlives a crash of the machine.
    with Postgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server.url("postgres")


@pytest.fixture
def database_url(request: pytest.FixtureRequest, server_url: str) -> Iterator[str]:
    """URL of a database of its own, dropped at the end: an empty one, or, where
    ``migrated_database`` is asked for beside it, a migrated one."""
    source = "template1"
    if "migrated_database" in request.fixturenames:
        source = request.getfixturevalue("migrated_database")
    with copied(server_url, source) as url:
        yield url


@contextlib.contextmanager
def copied(server_url: str, template: str) -> Iterator[str]:
    """URL of a copy of a database to which nobody is connected; dropped at the end."""
    name = sql.Identifier(f"t_{uuid.uuid4().hex[:12]}")
    with _admin(server_url) as cursor:
        # Of a database this small the files are copied sooner than their pages are logged.
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        cursor.execute(copy.format(name, sql.Identifier(template)))
        yield _url(server_url, name.string)
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(scope="session")
def migrated_database(server_url: str) -> Iterator[str]:
    """The name of a migrated database: to copy it takes a fraction of the time that the migrations
    take."""
    from atlas.ledger import migrations

    template = sql.Identifier(f"migrated_{uuid.uuid4().hex[:12]}")
    with _admin(server_url) as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(template))
        bound = sa.create_engine(_url(server_url, template.string), poolclass=sa.NullPool)
        migrations.upgrade(bound)
        yield template.string
        cursor.execute(sql.SQL("DROP DATABASE {}").format(template))


@contextlib.contextmanager
def _admin(server_url: str) -> Iterator[Any]:
    admin = psycopg2.connect(server_url)
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            yield cursor
    finally:
        admin.close()


def _url(server_url: str, database: str) -> str:
    head, _, query = server_url.partition("?")
    return head.rsplit("/", 1)[0] + "/" + database + ("?" + query if query else "")
