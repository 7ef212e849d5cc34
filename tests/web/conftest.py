"""A migrated database, a Redis, and the application on both; empty ledger in each test."""

from __future__ import annotations

import functools
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu.pools
import psycopg2
import pytest
import redis as redis_client
import sqlalchemy as sa
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from psycopg2 import sql

from atlas import settings as settings_module
from atlas.layers import chart, names
from atlas.layers import explore as raw
from atlas.ledger import connections, dataset_notes, keys, migrations, passwords, results, runs
from atlas.ledger.database import cursor
from atlas.ledger.tables import metadata
from atlas.local.redis import Redis
from atlas.model.connection import Connection
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.roles import Role
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.sync import broker
from atlas.web import create_app, health, rates

SECRET = "s" * 40
JANE = "jane@example.org"
USERS = {
    "description": "Everybody who ever bought",
    "properties": {"id": {"type": "integer"}, "email": {"type": "string"}},
}


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis of the test session."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url()


@pytest.fixture(scope="session")
def migrated_url(server_url: str) -> Iterator[str]:
    """URL of a migrated database of the test session."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    admin = psycopg2.connect(server_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    head, _, query = server_url.partition("?")
    url = head.rsplit("/", 1)[0] + "/" + name + ("?" + query if query else "")
    engine = sa.create_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    yield url
    with admin.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    admin.close()


@pytest.fixture(scope="module")
def settings(
    migrated_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """The settings of this process: Celery reads them from the environment, so they stand there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLAS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("ATLAS_DATABASE_URL", migrated_url)
        patch.setenv("ATLAS_REDIS_URL", redis_url)
        patch.setenv("ATLAS_SECRET_KEY", SECRET)
        _forget()
        yield settings_module.settings()
        for client in _clients:
            client.close()
        _clients.clear()
        rates._storage.cache_clear()
        health._client.cache_clear()
        broker.app().close()
        kombu.pools.reset()
    _forget()


# A process that serves keeps its connections to Redis until it ends; here somebody closes them.
_clients: list[redis_client.Redis] = []


def _kept(make: Callable[..., Any], client: Callable[[Any], redis_client.Redis]) -> Any:
    @functools.cache
    def kept(*args: Any) -> Any:
        made = make(*args)
        _clients.append(client(made))
        return made

    return kept


rates._storage = _kept(rates._storage.__wrapped__, lambda made: made.storage)
health._client = _kept(health._client.__wrapped__, lambda made: made)


def _forget() -> None:
    settings_module.settings.cache_clear()
    broker.app.cache_clear()
    sys.modules.pop("celeryconfig", None)


def data_tables(conn: sa.Connection) -> set[str]:
    """The tables of the layers, and of runs at work."""
    query = (
        "SELECT schemaname || '.' || tablename FROM pg_tables"
        " WHERE schemaname IN ('explore', 'chart', 'navigate') OR tablename LIKE 'staging_%'"
    )
    return set(conn.execute(sa.text(query)).scalars())


_MANY = 1000


def _empty(conn: sa.Connection) -> None:
    """Have the ledger as its migrations left it. Rows are deleted where they are few: new files for
    all tables take a hundred times as long."""
    tables = [str(table) for table in metadata.sorted_tables]
    conn.execute(sa.text("SET LOCAL session_replication_role = replica"))  # audit only grows
    many = " OR ".join(f"EXISTS (SELECT FROM {table} OFFSET {_MANY})" for table in tables)
    if conn.scalar(sa.text(f"SELECT {many}")):
        conn.execute(sa.text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE"))
        return
    conn.execute(sa.text(";".join(f"DELETE FROM {table}" for table in tables)))
    conn.execute(
        sa.text(
            "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)"
            "  FROM pg_sequences WHERE schemaname = 'pipeline' AND last_value IS NOT NULL"
        )
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    """An engine on the emptied ledger, in UTC."""
    engine = sa.create_engine(
        settings.database_url or "", connect_args={"options": "-c timezone=UTC"}
    )
    with engine.begin() as conn:
        # The tables alone: the schemas are the migrations', and other modules need them.
        for table in sorted(data_tables(conn)):
            conn.execute(sa.text(f"DROP TABLE {table} CASCADE"))
        _empty(conn)
    yield engine
    engine.dispose()


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis_client.Redis]:
    """The emptied Redis."""
    with redis_client.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords cost next to nothing here; what they cost else, test_passwords.py sees."""
    monkeypatch.setattr(
        passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    )
    passwords._nobodys.cache_clear()


@pytest.fixture
def app(settings: Settings, engine: sa.Engine, queue: object) -> Flask:
    """The application, on an empty ledger and an empty Redis."""
    return create_app(settings)


@dataclass
class Api:
    """A client with a key of each role."""

    client: FlaskClient
    texts: dict[str, str]
    ids: dict[str, str]

    def call(self, method: str, path: str, role: str | None = "operator", **options: Any) -> Any:
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.texts[role]}"
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, role: str | None = "viewer", **options: Any) -> Any:
        return self.call("GET", path, role, **options)

    def post(self, path: str, role: str | None = "operator", **options: Any) -> Any:
        return self.call("POST", path, role, **options)


@pytest.fixture
def api(app: Flask, engine: sa.Engine) -> Api:
    """A client of the application."""
    with engine.begin() as conn:
        made = {role: keys.create(conn, f"the {role}", role, actor="test") for role in Role}
    return Api(
        app.test_client(),
        {role: key["key"] for role, key in made.items()},
        {role: key["id"] for role, key in made.items()},
    )


@pytest.fixture
def add_connection(engine: sa.Engine) -> Callable[[str], str]:
    """Makes a connection of the given name."""

    def add(name: str) -> str:
        connection = Connection(
            name=name, connector="source-faker", executable=None, config={"count": 10}
        )
        with engine.begin() as conn:
            connections.put(conn, SECRET.encode(), connection)
        return name

    return add


@pytest.fixture
def shop(add_connection: Callable[[str], str]) -> str:
    """A connection called ``shop``."""
    return add_connection("shop")


_ROWS = (
    """INSERT INTO explore.shop_users_raw (_atlas_run_id, _atlas_emitted_at, data)
       VALUES (:run, now(), jsonb_build_object('id', 1, 'email', CAST(:jane AS text)))""",
    """INSERT INTO chart.shop_users (id, email, _atlas_id, _atlas_run_id, _atlas_emitted_at,
                                     _atlas_row_hash)
       VALUES (1, '***@***', 1, :run, now(), 'h')""",
    """UPDATE pipeline.stage_run SET status = 'succeeded', finished_at = now()
        WHERE run_id = :run""",
    """UPDATE pipeline.run_stream SET rows_explore = 1, explored_at = now()
        WHERE run_id = :run""",
)


@pytest.fixture
def users(engine: sa.Engine, shop: str) -> str:
    """Dataset ``shop_users`` with a row in explore and in chart, and a run that brought it."""
    key = StreamKey("users")
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="api", selected=None, full_refresh=False
        )
        runs.add_streams(
            conn, run_id, [(ConfiguredStream(key, USERS, SyncMode.FULL_REFRESH), True)], ORDER
        )
        (item,) = runs.streams(conn, run_id)
        cur = cursor(conn)
        tables = names.tables(cur, shop, key)
        columns = names.columns(cur, shop, key, USERS)
        raw.ensure(cur, tables)
        chart.ensure(cur, tables, columns.all, {}, (("id",),))
        dataset_notes.index(conn, shop, key, USERS)
        found = Verdict(
            column="email",
            path="$",
            entity_type="EMAIL_ADDRESS",
            score=1.0,
            scope=Scope.VALUE,
            operator=Operator.MASK,
            share=1.0,
            evidence={},
        )
        results.put_findings(conn, item.id, [found])
        values = {"run": run_id, "jane": JANE}
        for line in _ROWS:
            statement = sa.text(line)
            conn.execute(statement, {name: values[name] for name in statement.compile().params})
    return run_id


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The directory of the sources."""
    return Path(__file__).resolve().parents[2]
