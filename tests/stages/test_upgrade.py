"""A database with data is brought from each earlier schema to the present one, and goes on."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from atlas.ledger import migrations
from tests.stages.conftest import Source, row
from tests.stages.pipeline import ready, sync

_SCRIPTS = list(ScriptDirectory.from_config(migrations.config()).walk_revisions())
OLDER = [script.revision for script in _SCRIPTS[1:] if script.revision > "0009"]
"""The first that had all layers, and those after it. To what was before nothing goes back that has
rows in them; the oldest ones are tried without data (tests/ledger/test_migrations.py)."""


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    """The connection with a history: a changed row, and one in quarantine."""
    ready(shop, database_url)
    shop.extra["users"] = {
        "schema": {
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "name": {"type": "string"},
                "email": {"type": "string"},
                "age": {"type": "integer"},
                "updated_at": {"type": "string"},
            },
        }
    }
    shop.rows["users"] = [row(n, 1, email=f"jane{n}@example.org", age=n) for n in range(1, 6)]
    shop.rows["users"].append(row(6, 1, age="old"))
    sync(shop)
    shop.rows["users"] = [row(1, 2, name="changed", email="jane1@example.org", age=1)]
    sync(shop)
    return shop


def _layers(shop: Source) -> dict[str, Any]:
    with shop.engine.connect() as conn:
        return {
            table: conn.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1, 2")).all()
            for table in (
                "explore.shop_users_raw",
                "chart.shop_users",
                "chart.shop_users_quarantine",
                "navigate.shop_users",
            )
        }


def test_what_an_older_schema_holds_is_there_after_the_upgrade(shop: Source) -> None:
    before, stored, states = _layers(shop), shop.stored(), shop.states()
    for revision in OLDER:
        migrations.downgrade(shop.engine, revision, lose=True)
        assert migrations.current(shop.engine) == revision
        assert migrations.upgrade(shop.engine)
        assert _layers(shop) == before, revision
        assert shop.stored() == stored, revision
        assert shop.states() == states, revision
    # It goes on from where it was: incremental, with the same keys, into the same history.
    shop.rows["users"] = [row(2, 3, name="changed", email="jane2@example.org", age=2)]
    sync(shop)
    assert shop.value("SELECT count(*) FROM chart.shop_users") == 5
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE id = 2") == 2
