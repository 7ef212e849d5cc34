"""A dump of a database at work, restored on another server, goes on where it was."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import migrations
from atlas.ledger.readers import ROLE
from atlas.local.postgres import Postgres, _program
from atlas.model.stage import Stage
from tests.stages import pipeline
from tests.stages.conftest import Source, row


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """URL of an empty database on a server that has never seen Atlas."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    with Postgres(home, durable=False) as server:
        yield server.url()


def _tool(name: str, *arguments: str) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    done = subprocess.run(
        [str(_program(name)), *arguments], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _data(shop: Source) -> dict[str, list[Any]]:
    """What is in the layers, but for numbers and times that are each database's own."""
    with shop.engine.connect() as conn:
        return {
            table: [
                tuple(each)
                for each in conn.execute(
                    sa.text(f"SELECT id, name, email{more} FROM {table} ORDER BY 1, 2, 3")
                )
            ]
            for table, more in (
                ("chart.shop_users", ""),
                ("navigate.shop_users", ", is_current, valid_to IS NULL"),
            )
        }


def _restored(shop: Source, url: str) -> Source:
    engine = sa.create_engine(url)
    return dataclasses.replace(
        shop,
        engine=engine,
        settings=dataclasses.replace(shop.settings, database_url=url),
    )


def test_what_was_under_way_goes_on_and_so_do_states_history_and_masks(
    shop: Source, database_url: str, elsewhere: str, tmp_path: Path
) -> None:
    pipeline.ready(shop, database_url)
    people = [row(n, 1, name=f"Jane {n}", email=f"jane{n}@example.org") for n in range(1, 6)]
    shop.rows = {"users": people}
    pipeline.sync(shop)
    people[0] = row(1, 2, name="Jane Roe", email="roe@example.org")
    # It has read its source and masked a working copy of what came; the rest is to be done.
    under_way = shop.begin()
    assert shop.attempt(under_way) is None
    pipeline.stages(shop, under_way, until=Stage.PII)

    dump = tmp_path / "atlas.dump"
    url = str(shop.settings.database_url)
    _tool("pg_dump", "--format=custom", f"--file={dump}", url)
    pipeline_of_first = _rest(shop, under_way)

    options = ("--no-owner", "--no-privileges", "--exit-on-error")
    _tool("pg_restore", *options, f"--dbname={elsewhere}", str(dump))
    restored = _restored(shop, elsewhere)
    try:
        # What `atlas migrate` does: the same version, and the role of those who read.
        assert migrations.upgrade(restored.engine) is False
        assert restored.value("SELECT count(*) FROM pg_roles WHERE rolname = :r", r=ROLE) == 1
        assert _rest(restored, under_way) == pipeline_of_first
        for number, house in enumerate((shop, restored)):
            house.rows = {"users": [*people, row(6, 3, name="Joe", email="joe@example.org")]}
            assert pipeline.sync(house)["rows_explore"] == 2, (
                number
            )  # the boundary, and what is new
        assert _data(restored) == _data(shop)
        assert "roe@example.org" not in str(_data(restored))
        assert len(_data(restored)["navigate.shop_users"]) == 7
    finally:
        restored.engine.dispose()


def _rest(shop: Source, run_id: str) -> dict[str, list[Any]]:
    """The stages that are left of the run; what is in the layers then."""
    stream = shop.value("SELECT id FROM pipeline.run_stream WHERE run_id = :r", r=run_id)
    for stage in (Stage.QUALITY, Stage.CHART, Stage.NAVIGATE, Stage.LINEAGE):
        pipeline.perform(shop, stream, stage)
    assert shop.value("SELECT status FROM pipeline.run WHERE id = :r", r=run_id) == "succeeded"
    return _data(shop)
