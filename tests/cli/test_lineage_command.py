"""``atlas lineage``: what it prints of the graph, and of the events of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, deliveries
from atlas.model.connection import Connection
from tests.cli.test_bad_input import KEY, atlas, refused
from tests.lineage.told import tell

Run = Callable[..., Any]
SOURCE = "airbyte://source-faker shop.users"
MASKED = "email (mask EMAIL_ADDRESS)"


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command where one run has told of dataset ``shop_users``."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, KEY.encode(), shop)
        tell(conn)
        deliveries.use(conn, {"archive": "/lineage.jsonl", "marquez": "http://marquez:5000"})
        first, second, _ = deliveries.waiting(conn, "archive")
        for sink, event in (("archive", first), ("archive", second), ("marquez", first)):
            deliveries.delivered(conn, sink, event.id)
        deliveries.refused(conn, "marquez", second, "lineage endpoint marquez refused it")
    environ = {"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": KEY}
    return lambda *args: atlas(tmp_path, "lineage", *args, **environ)


def test_a_column_as_a_tree(run: Run) -> None:
    shown = run("show", "explore.shop_users_raw.data.email")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == [
        "explore.shop_users_raw.data.email",
        "upstream:",
        f"  └─ source.shop_users.email ({SOURCE})  [as it is; shop.explore]",
        "downstream:",
        "  ├─ chart.shop_users.email  [masked: mask EMAIL_ADDRESS; shop.users.chart]",
        "  │  └─ navigate.shop_users.email  [as it is; shop.users.navigate]",
        "  └─ chart.shop_users_quarantine.email  [masked: mask EMAIL_ADDRESS; shop.users.chart]",
    ]


def test_a_dataset_as_a_tree(run: Run) -> None:
    shown = run("show", "shop_users", "--direction", "both", "--depth", "2")
    assert shown.stdout.splitlines() == [
        "navigate.shop_users",
        "upstream:",
        "  └─ chart.shop_users  [4 columns as they are; shop.users.navigate]",
        f"     └─ explore.shop_users_raw  [5 columns; masked: {MASKED}; shop.users.chart]",
        "downstream:",
        "  nothing",
    ]
    assert run("show", "shop_users", "--direction", "downstream").stdout.splitlines() == [
        "navigate.shop_users",
        "downstream:",
        "  nothing",
    ]


def test_the_graph_as_a_document(run: Run) -> None:
    document = json.loads(run("show", "shop_users.email", "--json").stdout)
    assert set(document) == {
        *("dataset", "column", "direction", "depth", "run_id", "nodes", "edges", "cut"),
    }
    assert (document["dataset"], document["column"]) == ("navigate.shop_users", "email")
    assert [(node["dataset"], node["masked"]) for node in document["nodes"]] == [
        ("navigate.shop_users", False),
        ("chart.shop_users", False),
        ("explore.shop_users_raw", True),
        ("source.shop_users", True),
    ]
    run_id = document["edges"][0]["run_id"]
    as_of = json.loads(run("show", "shop_users.email", "--run", run_id, "--json").stdout)
    assert as_of == {**document, "run_id": run_id}


def test_the_events_of_a_run_and_their_delivery(run: Run) -> None:
    run_id = json.loads(run("show", "shop_users", "--json").stdout)["edges"][0]["run_id"]
    items = json.loads(run("events", run_id, "--json").stdout)["items"]
    jobs = ["shop.explore", "shop.users.chart", "shop.users.navigate"]
    assert [each["event"]["job"]["name"] for each in items] == jobs
    assert [each["delivered_at"] is not None for each in items] == [True, False, False]
    assert [[one["sink"] for one in each["deliveries"]] for each in items] == [
        ["archive", "marquez"],
        ["archive", "marquez"],
        [],
    ]
    assert [one["failed_attempts"] for one in items[1]["deliveries"]] == [0, 1]
    listed = run("events", run_id).stdout
    said = "marquez: lineage endpoint marquez refused it"
    assert [word in listed for word in (*jobs, "COMPLETE", said)] == [True] * 5


def test_what_each_sink_lacks(run: Run) -> None:
    items = json.loads(run("sinks", "--json").stdout)["items"]
    lacks = [(each["name"], each["waiting"], each["refused"], each["error"]) for each in items]
    assert lacks == [
        ("archive", 1, 0, None),
        ("marquez", 2, 1, "lineage endpoint marquez refused it"),
    ]
    listed = run("sinks").stdout
    for word in ("archive", "/lineage.jsonl", "http://marquez:5000", "refused it"):
        assert word in listed


def test_what_is_not_there(run: Run) -> None:
    refused(run("show", "nowhere"), 2, "there is no dataset 'navigate.nowhere'", "datasets list")
    refused(run("show", "shop_users.mail"), 2, "no column 'mail'", "did you mean email?")
    refused(run("show", "shop_users", "--run", "nonsense"), 2, "nonsense")
    refused(run("show", "shop_users", "--depth", "21"), 2, "--depth")
    refused(run("events", "nonsense"), 2, "nonsense")
