"""A cursor or key that changed under a state asks for a reset, and goes on silently never."""

from __future__ import annotations

from typing import Any

import pytest

from atlas.ledger.state_changes import Change
from atlas.model.stream import StreamKey
from tests.stages.conftest import Source, row

OTHER: dict[str, Any] = {"cursor_field": ["changed_on"]}


def _changed(shop: Source, kind: str, **more: Any) -> str | None:
    """The error of a run after ``users`` got another cursor or key."""
    shop.options = {"state_type": kind}
    shop.rows = {
        "users": [row(n, n, changed_on=f"2026-02-{n:02d}") for n in (1, 2)],
        "orders": [row(1, 1)],
    }
    shop.run()
    shop.extra = {"users": more}
    run_id = shop.begin()
    error = shop.attempt(run_id)
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed'")
    return error


@pytest.mark.parametrize("kind", ["STREAM", "GLOBAL"])
def test_another_cursor_asks_for_a_reset(shop: Source, kind: str) -> None:
    error = _changed(shop, kind, **OTHER)
    assert error is not None
    assert "stream users: its cursor is changed_on now and was updated_at" in error
    assert "`atlas state reset shop --stream users`" in error
    before = shop.states()
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == 2
    with shop.engine.begin() as conn:
        Change(conn, "shop", actor="cli: ann").reset(StreamKey("users"))
    assert shop.run()["users"].rows_explore == 2
    assert shop.states() != before


def test_under_a_legacy_state_the_whole_is_to_be_reset(shop: Source) -> None:
    error = _changed(shop, "LEGACY", **OTHER)
    assert error is not None
    assert "`atlas state reset shop`" in error


def test_another_key_asks_for_a_reset(shop: Source) -> None:
    error = _changed(shop, "STREAM", primary_key=[["id"], ["updated_at"]])
    assert error is not None
    assert "its primary key is id, updated_at now and was id" in error


def test_reading_anew_needs_no_reset(shop: Source) -> None:
    assert _changed(shop, "STREAM", **OTHER) is not None
    shop.run("users", full_refresh=True)
    assert shop.states()["users"] == {"cursor": "2026-02-02"}
    assert shop.run()["users"].rows_explore == 1  # inclusive: the one at the cursor


def test_the_parts_of_a_key_in_another_order_are_the_same_key(shop: Source) -> None:
    shop.extra = {"users": {"primary_key": [["id"], ["updated_at"]]}}
    shop.rows = {"users": [row(1, 1)]}
    shop.run()
    shop.extra = {"users": {"primary_key": [["updated_at"], ["id"]]}}
    shop.run()
