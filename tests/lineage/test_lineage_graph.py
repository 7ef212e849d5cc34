"""The graph's tables: what events draw into them, and what a migration draws of events from
before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, deliveries, lineage, migrations, results
from atlas.model.connection import Connection
from tests.lineage.told import tell

FLOWS = "SELECT run_id, run_seq, job, namespace, name, digest, at FROM pipeline.lineage_flow"
EDGES = (
    "SELECT digest, namespace, name, field, source_namespace, source_name, source_field, steps"
    " FROM pipeline.lineage_edge"
)


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    """An engine on a database with a connection ``shop``."""
    engine = sa.create_engine(database_url)
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, b"s" * 40, shop)
    yield engine
    engine.dispose()


def _tables(engine: sa.Engine) -> list[list[tuple[Any, ...]]]:
    with engine.connect() as conn:
        return [
            [tuple(row) for row in conn.execute(sa.text(f"{query} ORDER BY id"))]
            for query in (FLOWS, EDGES)
        ]


def _put(conn: sa.Connection, run_id: str, event: dict[str, Any]) -> None:
    key = f"{run_id}/{event['job']['name']}/{event['eventType']}"
    assert results.put_event(conn, run_id, key, event)
    if event["eventType"] == "COMPLETE":
        lineage.tell(conn, key)


def test_a_migration_draws_what_was_told_before(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        first, second = tell(conn, masked=False), tell(conn)
        third = tell(conn)
        explore, chart, _ = (each["event"] for each in deliveries.events(conn, third))
        # One that failed says what it would have written; one without an output says nothing.
        _put(conn, third, {**chart, "eventType": "FAIL"})
        _put(conn, third, {**chart, "job": {**chart["job"], "name": "a"}, "outputs": []})
        # Two streams, of which each goes its own way.
        outputs = [explore["outputs"][0], {**explore["outputs"][0], "name": "d.explore.other"}]
        inputs = [explore["inputs"][0], {**explore["inputs"][0], "name": "shop.other"}]
        outputs[1] = {**outputs[1], "facets": {}}
        job = {**explore["job"], "name": "b"}
        _put(conn, third, {**explore, "job": job, "inputs": inputs, "outputs": outputs})
    flows, edges = _tables(engine)
    assert [str(row[0]) for row in flows] == [first] * 4 + [second] * 4 + [third] * 6
    assert {row[5] for row in flows} == {row[0] for row in edges}
    assert [row[5] for row in edges if row[2] == "d.explore.other"] == ["shop.other"]
    # Chart and its quarantine differ by what is masked; the rest is the same in all runs.
    assert len({row[5] for row in flows}) == 4 + 2 + 1

    migrations.downgrade(engine, "0011", lose=True)
    migrations.upgrade(engine)
    again = _tables(engine)
    assert again[0] == flows
    assert sorted(again[1], key=str) == sorted(edges, key=str)
