"""``atlas doctor`` says what is wrong, each thing for itself, and changes nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from atlas.layers import staging
from atlas.ledger import connections, runs, ticks
from atlas.ledger.secrets import keys
from atlas.local.redis import Redis
from atlas.model.connection import Connection
from atlas.settings import Settings, parse, secret_key
from atlas.sync import doctor
from atlas.sync.doctor import examine
from atlas.sync.findings import Finding, State
from atlas.sync.ticks import _WORK
from tests import command
from tests.sync.receivers import MailServer, nobody
from tests.sync.test_worker_start import start_worker


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url()


@pytest.fixture
def settings(database_url: str, migrated_database: str, redis_url: str, tmp_path: Path) -> Settings:
    """Those of an installation whose servers are fine and in which nothing runs."""
    url = database_url.replace("postgresql+psycopg2://", "postgresql://")
    return parse(
        {
            "ATLAS_HOME": str(tmp_path),
            "ATLAS_DATABASE_URL": url,
            "ATLAS_REDIS_URL": redis_url,
            "ATLAS_SECRET_KEY": "s" * 40,
        }
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    made = sa.create_engine(str(settings.database_url))
    with made.begin() as conn:
        keys(conn, secret_key(settings))
    yield made
    made.dispose()


def _unwell(settings: Settings) -> dict[str, Finding]:
    return {each.what: each for each in examine(settings) if each.state is not State.OK}


def _work(engine: sa.Engine) -> None:
    """All queues are served, all ticks done."""
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.worker (name, queues)"
                " VALUES ('w@h', '{extract,scan,load,control}')"
            )
        )
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.tick (name, at) SELECT name, clock_timestamp()"
                " FROM unnest(:names) AS name"
            ),
            {"names": list(ticks.NAMES)},
        )


def test_what_is_well(settings: Settings, engine: sa.Engine) -> None:
    _work(engine)
    found = list(examine(settings))
    unwell = {each.what for each in found if each.state is not State.OK}
    assert unwell <= {"redis persistence"}  # the tests' own server keeps nothing
    assert {each.what for each in found} >= {"home", "disk", "model", "redis", "postgresql"}
    assert {each.what for each in found} >= {"clock", "migrations", "secret key", "workers"}
    assert {each.what for each in found} >= {"packages", "connectors", "processes", "runs"}
    assert all((each.remedy is None) == (each.state is State.OK) for each in found)


def test_nothing_runs(settings: Settings, engine: sa.Engine) -> None:
    unwell = _unwell(settings)
    assert unwell["workers"].seen == "nobody serves extract, scan, load, control"
    assert unwell["ticks"].state is State.FAIL


@pytest.mark.parametrize("name", ticks.NAMES)
def test_a_tick_that_nobody_does(name: str, settings: Settings, engine: sa.Engine) -> None:
    _work(engine)
    with engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE pipeline.tick SET at = at - interval '1 day' WHERE name = :name"),
            {"name": name},
        )
    assert _unwell(settings)["ticks"].seen == f"not done in their time: {name}"


def test_those_are_all_there_are() -> None:
    assert set(ticks.NAMES) == set(_WORK)


def test_a_mail_server_that_cannot_be_reached(settings: Settings) -> None:
    server = MailServer()
    mail = {"smtp_host": "127.0.0.1", "smtp_sender": "a@example.org", "smtp_security": "none"}
    settings = dataclasses.replace(settings, smtp_port=server.port, **mail)
    found = list(examine(settings))
    assert Finding("mail", State.OK, "127.0.0.1 lets us in") in found
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page.partition("\n## What doctor looks at\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {each.what for each in found} <= set(re.findall("`([^`]+)`", " ".join(rows)))
    server.close()
    with nobody() as port:
        found = _unwell(dataclasses.replace(settings, smtp_port=port))["mail"]
    assert found.seen == "127.0.0.1 does not let us in: connection"
    assert "ATLAS_SMTP_" in str(found.remedy)


def test_servers_that_are_away(settings: Settings, engine: sa.Engine) -> None:
    away = dataclasses.replace(settings, redis_url="redis://127.0.0.1:9/0")
    assert _unwell(away)["redis"].seen == "does not answer"
    away = dataclasses.replace(settings, database_url="postgresql://me:s3cret@127.0.0.1:9/x")
    found = list(examine(away))
    (server,) = (each for each in found if each.what == "postgresql")
    assert server.state is State.FAIL
    assert "s3cret" not in str(found)
    # What cannot be known is not held to be fine.
    assert "migrations" not in {each.what for each in found}


def test_another_key_and_an_older_schema(settings: Settings, engine: sa.Engine) -> None:
    other = dataclasses.replace(settings, secret_key="o" * 40)
    assert _unwell(other)["secret key"].state is State.FAIL
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.alembic_version SET version_num = '0005'"))
    assert _unwell(settings)["migrations"].seen.startswith("at 0005, this version is ")
    assert _unwell(settings)["migrations"].remedy == "run `atlas migrate`"


def test_what_holds_secrets_and_is_open(settings: Settings, engine: sa.Engine) -> None:
    key = settings.home / "secret.key"
    key.write_text("x")
    key.chmod(0o644)
    assert _unwell(settings)["permissions"].remedy == f"chmod go-rwx {key}"


def test_a_staging_table_that_nobody_knows(settings: Settings, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text(f"CREATE TABLE pipeline.{staging.name(7)} (x int)"))
    assert _unwell(settings)["staging tables"].seen == "0 in use, 1 of streams that no run knows"


@pytest.fixture
def evicting(redis_url: str) -> Iterator[None]:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "64mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        yield
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")


def test_a_redis_that_throws_keys_away(
    settings: Settings, engine: sa.Engine, evicting: None
) -> None:
    assert _unwell(settings)["redis eviction"].state is State.FAIL
    allowed = dataclasses.replace(settings, redis_may_evict=True)
    assert _unwell(allowed)["redis eviction"].state is State.WARN


def test_a_redis_that_is_full(settings: Settings, engine: sa.Engine, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "1mb")  # of which it takes most when it is empty
        try:
            assert "raise maxmemory" in str(_unwell(settings)["redis memory"].remedy)
        finally:
            client.config_set("maxmemory", "0")


def test_a_redis_whose_disk_takes_nothing(
    settings: Settings, engine: sa.Engine, redis_url: str, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with redis.Redis.from_url(redis_url) as client:
        before = client.config_get("dir")["dir"]
        client.config_set("dir", str(gone))
        gone.rmdir()
        _save(client, "err")
        try:
            assert _unwell(settings)["redis disk"].seen == "the last write of the snapshot failed"
        finally:
            client.config_set("dir", before)
            _save(client, "ok")
    assert "redis disk" not in _unwell(settings)


def _save(client: redis.Redis, expected: str) -> None:
    client.bgsave()
    deadline = time.monotonic() + 30
    while (status := client.info("persistence")["rdb_last_bgsave_status"]) != expected:
        assert time.monotonic() < deadline, status
        time.sleep(0.02)


def test_a_redis_that_is_a_replica(settings: Settings, engine: sa.Engine, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "9")
        try:
            assert _unwell(settings)["redis role"].seen == "it is a slave"
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")


def test_a_host_whose_clock_is_wrong(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = time.time
    monkeypatch.setattr(doctor.time, "time", lambda: right() + 60)
    unwell = _unwell(settings)
    # Or some more, when the machine has other things to do between one clock and the other.
    for what, whose in (("clock", "PostgreSQL"), ("clock of redis", "Redis")):
        differ = rf"this host and {whose} differ by 6\d\.\d s"
        assert re.fullmatch(differ, unwell[what].seen), unwell[what].seen


def test_a_database_that_only_lets_read(settings: Settings, engine: sa.Engine) -> None:
    name = sa.make_url(str(settings.database_url)).database
    with engine.begin() as conn:
        conn.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    assert "point ATLAS_DATABASE_URL" in str(_unwell(settings)["writes"].remedy)


def test_a_server_that_never_vacuums(settings: Settings, engine: sa.Engine) -> None:
    def say(words: str, expected: str) -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(sa.text(f"ALTER SYSTEM {words}"))
            conn.execute(sa.text("SELECT pg_reload_conf()"))
            deadline = time.monotonic() + 30
            while conn.execute(sa.text("SHOW autovacuum")).scalar_one() != expected:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    say("SET autovacuum = off", "off")
    try:
        assert _unwell(settings)["autovacuum"].state is State.WARN
    finally:
        say("RESET autovacuum", "on")


def test_a_server_whose_sessions_run_out(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_FULL", 0.001)
    with engine.connect() as conn:
        conn.execute(sa.text("SELECT 1"))
        assert "raise max_connections" in str(_unwell(settings)["sessions"].remedy)


def test_those_who_read_have_no_role(settings: Settings, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("ALTER ROLE atlas_reader RENAME TO atlas_reader_of_before"))
    try:
        assert "CREATE ROLE atlas_reader" in str(_unwell(settings)["reader role"].remedy)
    finally:
        with engine.begin() as conn:
            conn.execute(sa.text("ALTER ROLE atlas_reader_of_before RENAME TO atlas_reader"))


def test_a_run_that_nobody_takes_up(settings: Settings, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, secret_key(settings), shop)
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
    assert "runs" not in _unwell(settings)
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET created_at = now() - interval '1 hour'"))
    assert f"shop ({run_id})" in _unwell(settings)["runs"].seen
    # Somebody is at it.
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.stage_run SET status = 'running',"
                " lease_until = clock_timestamp() + interval '1 hour'"
            )
        )
    assert "runs" not in _unwell(settings)


@pytest.mark.parametrize(("allowed", "starts"), [("false", False), ("true", True)])
def test_a_worker_does_not_start_on_it(
    evicting: None, redis_url: str, tmp_path: Path, allowed: str, starts: bool
) -> None:
    done = start_worker("load", tmp_path, ATLAS_REDIS_URL=redis_url, ATLAS_REDIS_MAY_EVICT=allowed)
    assert (done.returncode == 0) is starts, done.stderr
    assert ("maxmemory-policy allkeys-lru" in done.stderr) is not starts


def test_nor_does_a_stack(evicting: None, settings: Settings) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    given = {
        "ATLAS_HOME": str(settings.home),
        "ATLAS_PORT": "0",
        "ATLAS_DATABASE_URL": str(settings.database_url),
        "ATLAS_REDIS_URL": str(settings.redis_url),
        "ATLAS_SECRET_KEY": str(settings.secret_key),
    }
    done = command.run("up", env=environ | given)
    assert done.returncode == 1
    assert "ATLAS_REDIS_MAY_EVICT" in done.stderr
    assert not (settings.home / "stack.json").exists()


def test_the_command(settings: Settings, engine: sa.Engine) -> None:
    def told(*options: str) -> tuple[int, str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
        given: dict[str, Any] = {
            "ATLAS_HOME": str(settings.home),
            "ATLAS_DATABASE_URL": settings.database_url,
            "ATLAS_REDIS_URL": settings.redis_url,
            "ATLAS_SECRET_KEY": settings.secret_key,
        }
        done = subprocess.run(
            [sys.executable, "-m", "atlas.cli", "doctor", *options],
            cwd=Path(__file__).parents[2],
            env={**environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    code, text = told("--json")
    document = json.loads(text)
    assert (code, document["healthy"]) == (1, False)
    assert {"what": "workers", "state": "fail"}.items() <= next(
        each.items() for each in document["findings"] if each["what"] == "workers"
    )
    _work(engine)
    code, text = told()
    assert (code, "every queue is served" in text) == (0, True)
