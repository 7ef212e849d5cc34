"""What a run counts of its rows, findings and connectors is what it did, each time once."""

from __future__ import annotations

import pytest

from atlas.connectors import runner
from atlas.ledger import measures
from tests.stages.conftest import Source, row
from tests.stages.pipeline import ready, sync


def _counted(shop: Source, name: str, label: str) -> dict[str, tuple[int, float]]:
    with shop.engine.connect() as conn:
        found = measures.totals(conn)[name]
    return {total.labels[label]: (total.count, total.sum) for total in found}


def _rows(shop: Source) -> dict[str, float]:
    return {key: rows for key, (_, rows) in _counted(shop, measures.ROWS, "outcome").items()}


def _person(number: int, day: int) -> dict[str, object]:
    return row(number, day, email=f"ada{number}.{day}@example.org")


def test_a_run_counts_what_came_to_each_layer(
    shop: Source, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test of this process may have asked this program for its spec.
    monkeypatch.setattr(runner, "_known_specs", {})
    ready(shop, database_url)
    shop.rows = {"users": [_person(1, 1), _person(2, 1), _person(1, 2)]}
    sync(shop)
    first = {"explore": 3, "promoted": 2, "superseded": 1, "opened": 2}
    assert _rows(shop) == first
    assert _counted(shop, measures.FINDINGS, "entity_type") == {"EMAIL_ADDRESS": (1, 1.0)}
    starts = _counted(shop, measures.CONNECTOR_START_SECONDS, "command")
    assert {command: count for command, (count, _) in starts.items()} == {
        "spec": 1,
        "check": 1,
        "discover": 1,
        "read": 1,
    }
    assert all(0 < seconds < 600 for _, seconds in starts.values())

    shop.rows = {"users": [row(1, 3, email="someone.else@example.org")]}
    sync(shop)
    assert _rows(shop) == {
        "explore": 4,
        "promoted": 3,
        "superseded": 1,
        "opened": 3,
        "closed": 1,
    }
    assert _counted(shop, measures.FINDINGS, "entity_type") == {"EMAIL_ADDRESS": (2, 2.0)}
    # What is known of the connector's spec, and of a configuration that works, is not asked again.
    starts = _counted(shop, measures.CONNECTOR_START_SECONDS, "command")
    assert (starts["read"][0], starts["spec"][0], starts["check"][0]) == (2, 1, 1)


@pytest.mark.parametrize("says", [True, False])
def test_a_connector_that_fails_has_begun_if_it_said_anything(shop: Source, says: bool) -> None:
    shop.program = shop.directory / "source"
    line = '{"type":"LOG","log":{"level":"INFO","message":"on it"}}' if says else "hm"
    shop.program.write_text(f"#!/bin/sh\necho '{line}'\nexit 1\n")
    shop.program.chmod(0o700)
    run_id = shop.begin()
    assert shop.attempt(run_id) is not None
    with shop.engine.connect() as conn:
        found = measures.totals(conn).get(measures.CONNECTOR_START_SECONDS, [])
    assert {each.labels["command"]: each.count for each in found} == ({"spec": 1} if says else {})
