"""``atlas state``: what it prints, and what it refuses."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, runs
from atlas.model.connection import Connection
from tests.cli.test_bad_input import KEY, atlas, refused

STATE = {
    "type": "STREAM",
    "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"at": 1}},
}
Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command on a database with a connection ``shop``."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, KEY.encode(), shop)
    environ = {"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": KEY}
    return lambda *args: atlas(tmp_path, *args, **environ)


def test_a_round_trip_by_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text(json.dumps([STATE]))
    done = run("state", "import", "shop", "-f", str(file), "--json")
    assert json.loads(done.stdout)["streams"][0]["state"] == {"at": 1}
    assert json.loads(run("state", "export", "shop").stdout) == [STATE]
    assert json.loads(run("state", "show", "shop", "--stream", "users", "--json").stdout)[
        "state"
    ] == {"at": 1}
    assert '{"at": 1}' in run("state", "show", "shop").stdout
    assert run("state", "reset", "shop", "--stream", "users").stdout == ""
    entries = json.loads(run("state", "history", "shop", "--json").stdout)["items"]
    who = f"cli: {getpass.getuser()}"
    assert [(e["action"], e["actor"]) for e in entries] == [("reset", who), ("import", who)]
    assert who in run("state", "history", "shop").stdout
    assert run("state", "restore", "shop", str(entries[1]["id"])).returncode == 0
    assert json.loads(run("state", "export", "shop").stdout) == [STATE]


def test_what_it_refuses(run: Run, database_url: str, tmp_path: Path) -> None:
    refused(run("state", "show", "none"), 2, "none", "atlas connections list")
    refused(run("state", "reset", "shop", "--stream", "users"), 2, "no state", "users")
    file = tmp_path / "state.json"
    file.write_text("[1]")
    refused(run("state", "import", "shop", "-f", str(file)), 2, "not JSON that Airbyte would")
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
    refused(run("state", "reset", "shop"), 1, run_id, "before you change its state")
