"""``atlas quality``: what it prints of scores, checks and rows that were set aside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from atlas.layers import chart, names
from atlas.ledger import connections, results, runs
from atlas.ledger.database import cursor
from atlas.model.checks import CheckResult, Dimension, Outcome
from atlas.model.connection import Connection
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER
from tests.cli.test_bad_input import KEY, atlas, refused

Run = Callable[..., Any]
USERS = StreamKey("users")
SCHEMA = {"properties": {"id": {"type": "integer"}, "total": {"type": "number"}}}
CHECK = CheckResult(
    name="validity.total",
    dimension=Dimension.VALIDITY,
    column="total",
    outcome=Outcome.FAIL,
    score=0.5,
    failed_rows=2,
    definition="  - invalid_count(total) = 0:\n      name: validity.total\n      valid min: 0",
)


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command where dataset ``shop_users`` was checked, and one row was set aside."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, KEY.encode(), shop)
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        stream = ConfiguredStream(USERS, SCHEMA, SyncMode.FULL_REFRESH)
        runs.add_streams(conn, run_id, [(stream, True)], ORDER)
        (item,) = runs.streams(conn, run_id)
        cur = cursor(conn)
        tables = names.tables(cur, "shop", USERS)
        chart.ensure(cur, tables, names.columns(cur, "shop", USERS, SCHEMA).all, {}, (("id",),))
        results.put_checks(
            conn,
            item.id,
            [CHECK],
            {"validity": 0.5, "overall": 0.99996},
            {"validity.total": 1, "key_not_null": 1},
        )
        conn.execute(
            sa.text(
                "UPDATE pipeline.stage_run SET status = 'succeeded', finished_at = now()"
                " WHERE stage = 'quality'"
            )
        )
        conn.execute(
            sa.text(
                "INSERT INTO chart.shop_users_quarantine (id, total, _atlas_id, _atlas_run_id,"
                " _atlas_emitted_at, _atlas_checks)"
                " VALUES (7, -0.1, 1, :r, now(), '{validity.total,key_not_null}')"
            ),
            {"r": run_id},
        )
    environ = {"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": KEY}
    return lambda *args: atlas(tmp_path, "quality", *args, **environ)


def test_from_the_score_to_the_row(run: Run) -> None:
    shown = run("show", "shop_users")
    assert shown.returncode == 0, shown.stderr
    for word in ("validity", "overall", "0.500", "0.999", "validity.total", "fail", "key_not_null"):
        assert word in shown.stdout
    assert "atlas quality quarantine shop_users" in shown.stderr
    listed = run("quarantine", "shop_users")
    assert "validity.total, key_not_null" in listed.stdout
    assert "-0.1" in listed.stdout
    (row,) = json.loads(run("quarantine", "shop_users", "--json").stdout)["items"]
    assert row["row"] == {"id": "7", "total": "-0.1"}
    nothing = run("quarantine", "shop_users", "--check", "other", "--json")
    assert json.loads(nothing.stdout) == {"items": []}
    document = json.loads(run("show", "shop_users", "--json").stdout)
    again = run("show", "shop_users", "--run", document["run_id"], "--json")
    assert json.loads(again.stdout) == document
    history = json.loads(run("history", "shop_users", "--json").stdout)["items"]
    assert [each["failed"] for each in history] == [["validity.total"]]
    listed = run("history", "shop_users").stdout
    assert ("validity.total" in listed, "0.999" in listed) == (True, True)


def test_how_a_check_went(run: Run) -> None:
    shown = run("history", "shop_users", "--check", "validity.total")
    assert "fail, 2 rows" in shown.stdout
    (entry,) = json.loads(
        run("history", "shop_users", "--check", "validity.total", "--json").stdout
    )["items"]
    assert entry["check"] == {
        "name": "validity.total",
        "outcome": "fail",
        "score": 0.5,
        "failed_rows": 2,
    }
    assert entry["anomalies"] == {}
    refused(run("history", "shop_users", "--check", "nix"), 2, "has no check nix")


def test_few_rows_suggest_nothing(run: Run) -> None:
    nothing = run("suggest", "shop_users")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "0 rows of shop_users suggest no more checks" in nothing.stderr
    document = json.loads(run("suggest", "shop_users", "--json").stdout)
    assert (document["suggestions"], document["sodacl"], document["rows"]) == ([], "", 0)
    refused(run("suggest", "nowhere"), 2, "there is no dataset 'nowhere'")


def test_checks_are_printed_to_be_copied(run: Run) -> None:
    assert yaml.safe_load(run("show", "shop_users", "--checks").stdout) == {
        "checks for users": [
            {"invalid_count(total) = 0": {"name": "validity.total", "valid min": 0}}
        ]
    }


def test_what_is_not_there(run: Run) -> None:
    refused(run("show", "nowhere"), 2, "there is no dataset 'nowhere'")
    refused(run("quarantine", "shop_users", "--run", "nonsense"), 2, "nonsense")
