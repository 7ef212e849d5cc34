"""What webhooks are told by the stages that find it: a source that changed, personal data that are
new. Each is told once, in the transaction that writes it down."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import webhooks
from atlas.model.evolution import SchemaPolicy
from atlas.model.stage import Stage
from atlas.settings import secret_key
from atlas.sync.apply import apply
from atlas.sync.edit import change
from tests.lineage.validator import validate
from tests.stages.conftest import Source, row
from tests.stages.pipeline import ready, stages
from tests.sync.test_source_code import git

EMAIL = "jane.roe@example.org"


@pytest.fixture
def told(shop: Source) -> Any:
    """What a webhook was told so far: kind and data, oldest first."""
    with shop.engine.begin() as conn:
        webhooks.create(
            conn,
            secret_key(shop.settings),
            "officer",
            "https://hooks.example.org/in",
            ["schema.changed", "personal_data.found"],
            actor="test",
        )

    def read() -> list[tuple[str, Any]]:
        query = "SELECT kind, payload -> 'data' FROM pipeline.webhook_delivery ORDER BY id"
        with shop.engine.connect() as conn:
            return [tuple(each) for each in conn.execute(sa.text(query))]

    return read


def test_a_source_that_changed_is_told_once(shop: Source, told: Any) -> None:
    shop.rows = {"users": [row(1, 1)]}
    shop.run()
    assert told() == []  # of the first run nothing is a change
    shop.rows = {"users": [row(1, 1, city="Oslo")], "orders": [row(1, 1)]}
    for _ in range(2):
        shop.run(full_refresh=True)
    ((kind, data),) = told()
    assert kind == "schema.changed"
    assert (data["connection"], data["count"]) == ("shop", 2)
    assert [(each["stream"], each["property"], each["change"]) for each in data["changes"]] == [
        ("orders", None, "stream_added"),
        ("users", "city", "added"),
    ]
    first = "SELECT CAST(run_id AS text) FROM pipeline.source_change LIMIT 1"
    assert data["run_id"] == shop.value(first)


def test_what_a_scan_finds_that_is_new_is_told_once(
    shop: Source, told: Any, database_url: str
) -> None:
    ready(shop, database_url)

    def scanned() -> None:
        run_id = shop.begin(full_refresh=True)
        assert shop.attempt(run_id) is None
        stages(shop, run_id, until=Stage.PII)
        shop.end(run_id)

    def found() -> list[Any]:
        return [data for kind, data in told() if kind == "personal_data.found"]

    shop.rows = {"users": [row(1, 1, size=7)]}
    scanned()
    assert found() == []
    shop.rows = {"users": [row(number, 1, size=7, mail=EMAIL) for number in range(1, 4)]}
    for _ in range(2):
        scanned()
    (data,) = found()
    assert (data["connection"], data["stream"], data["count"]) == ("shop", "users", 1)
    assert [(each["column"], each["entity_type"]) for each in data["found"]] == [
        ("mail", "EMAIL_ADDRESS")
    ]
    assert EMAIL not in str(told())


def test_every_event_says_in_which_file_of_which_commit_its_connection_is(
    shop: Source, database_url: str
) -> None:
    ready(shop, database_url)
    shop.rows = {"users": [row(1, 1)]}
    document = {
        "name": "shop",
        "executable": shop.connection.executable,
        "config": shop.connection.config,
    }
    file = shop.directory / "shop.yml"
    file.write_text(json.dumps({"connections": [document]}))
    git(shop.directory, "init", "-q")
    git(shop.directory, "remote", "add", "origin", "https://bob:hunter2@github.com/acme/data.git")
    git(shop.directory, "add", file.name)
    git(shop.directory, "commit", "-q", "-m", "the shop")
    version = git(shop.directory, "rev-parse", "HEAD")

    def told() -> list[Any]:
        run_id = shop.begin()
        assert shop.attempt(run_id) is None
        stages(shop, run_id)
        found = shop.column("SELECT event FROM pipeline.lineage_event WHERE run_id = :r", r=run_id)
        for event in found:
            validate(event)
        assert len(found) == 14  # START and COMPLETE, of the run and of each stage
        return [event["job"]["facets"].get("sourceCodeLocation") for event in found]

    assert apply(shop.engine, shop.settings, file).connections == [("shop", "created")]
    assert apply(shop.engine, shop.settings, file).connections == [("shop", "unchanged")]
    for location in told():
        assert {name: value for name, value in location.items() if not name.startswith("_")} == {
            "type": "git",
            "url": f"https://github.com/acme/data/blob/{version}/shop.yml",
            "repoUrl": "https://github.com/acme/data",
            "path": "shop.yml",
            "version": version,
        }
    with shop.engine.begin() as conn:  # in the browser, say: the file does not say so any more
        change(
            conn,
            shop.settings,
            "shop",
            {"schema_changes": "freeze"},
            actor="t",
            may_unmask=False,
            may_query=False,
        )
    shop.policy = SchemaPolicy.FREEZE
    assert told() == [None] * 14
