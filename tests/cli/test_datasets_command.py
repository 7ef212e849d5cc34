"""``atlas datasets``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import chart, names
from atlas.layers import explore as raw
from atlas.ledger import connections, dataset_notes, runs
from atlas.ledger.database import cursor
from atlas.model.connection import Connection
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER
from tests.cli.test_bad_input import KEY, atlas, refused

Run = Callable[..., Any]
USERS = StreamKey("users")
SCHEMA = {"properties": {"id": {"type": "integer"}, "remark": {"type": "string"}}}


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command where dataset ``shop_users`` has a row in explore and in chart."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, KEY.encode(), shop)
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        stream = ConfiguredStream(USERS, SCHEMA, SyncMode.FULL_REFRESH)
        runs.add_streams(conn, run_id, [(stream, True)], ORDER)
        cur = cursor(conn)
        tables = names.tables(cur, "shop", USERS)
        raw.ensure(cur, tables)
        chart.ensure(cur, tables, names.columns(cur, "shop", USERS, SCHEMA).all, {}, (("id",),))
        dataset_notes.index(conn, "shop", USERS, SCHEMA)
        for statement in (
            """INSERT INTO explore.shop_users_raw (_atlas_run_id, _atlas_emitted_at, data)
               VALUES (:r, now(), '{"id": 1, "remark": "Jane"}')""",
            """INSERT INTO chart.shop_users (id, remark, _atlas_id, _atlas_run_id,
                                             _atlas_emitted_at, _atlas_row_hash)
               VALUES (1, '***', 1, :r, now(), 'h')""",
        ):
            conn.execute(sa.text(statement), {"r": run_id})
    environ = {"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": KEY}
    return lambda *args: atlas(tmp_path, "datasets", *args, **environ)


def test_described_found_and_shown(run: Run) -> None:
    done = run("describe", "shop_users", "--description", "Buyers", "--owner", "Sales")
    assert (done.returncode, "shop_users" in done.stderr, done.stdout) == (0, True, "")
    done = run("describe", "chart.shop_users", "--tag", "core", "--tag", "x", "--untag", "x")
    assert done.returncode == 0, done.stderr
    done = run("describe", "shop_users", "--column", "remark", "--description", "Notes", "--json")
    document = json.loads(done.stdout)
    assert json.loads(run("show", "shop_users", "--json").stdout) == document
    assert (document["owner"], document["tags"]) == ("Sales", ["core"])
    shown = run("show", "shop_users")
    for word in ("Buyers", "Sales", "core", "remark", "Notes", "shop_users_raw", "bigint"):
        assert word in shown.stdout, shown.stdout
    listed = json.loads(run("list", "--search", "buyer note", "--layer", "chart", "--json").stdout)
    assert [each["name"] for each in listed["items"]] == ["shop_users"]
    listed = run("list", "--tag", "core", "--owner", "Sales", "--limit", "1")
    assert ("chart.shop_users" in listed.stdout, "there are more" in listed.stderr) == (True, True)
    cursor = listed.stderr.split("--cursor ")[1].strip()
    listed = run("list", "--tag", "core", "--owner", "Sales", "--cursor", cursor)
    assert ("explore.shop_users_raw" in listed.stdout, listed.stderr) == (True, "")
    nothing = json.loads(run("list", "--tag", "x", "--json").stdout)
    assert nothing == {"items": [], "next_cursor": None}


def test_rows_are_masked_unless_somebody_says_why(run: Run) -> None:
    shown = run("sample", "shop_users")
    assert ("***" in shown.stdout, "Jane" in shown.stdout) == (True, False)
    refused(run("sample", "explore.shop_users_raw"), 2, "why")
    shown = run("sample", "explore.shop_users_raw", "--why", "ticket 7", "--json")
    (item,) = json.loads(shown.stdout)["items"]
    assert json.loads(item["row"]["data"]) == {"id": 1, "remark": "Jane"}


def test_what_is_not_there_and_what_makes_no_sense(run: Run) -> None:
    refused(run("show", "nowhere"), 2, "there is no dataset 'nowhere'", "atlas datasets list")
    refused(run("sample", "navigate.shop_users"), 2, "no table in navigate", "atlas sync shop")
    refused(run("list", "--search", "--"), 2, "no word in it")
    refused(run("list", "--layer", "gold"), 2, "gold")
    refused(run("sample", "shop_users", "--limit", "101"), 2, "limit")
    refused(run("describe", "shop_users"), 2, "say a description")
    refused(run("describe", "shop_users", "--column", "id", "--owner", "me"), 2, "--description")
    refused(run("describe", "shop_users", "--tag", "Two words"), 2, "tag 'Two words'")
