"""Fixtures shared by all tests: a real PostgreSQL, a fresh database for whoever asks."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import sql


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of the test session, database ``postgres``."""
    given = os.environ.get("TEST_SERVER_URL")
    if given:
        yield given
        return
    from atlas.local.postgres import Postgres

    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server.url("postgres")


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """URL of an empty database of its own, dropped at the end."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    admin = psycopg2.connect(server_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    head, _, query = server_url.partition("?")
    yield head.rsplit("/", 1)[0] + "/" + name + ("?" + query if query else "")
    with admin.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    admin.close()
