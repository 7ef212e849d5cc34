"""Another key of tokens, and keys that are masked anew, while others are at work beside it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.layers import names
from atlas.ledger import audit, datasets, rotation
from atlas.ledger.database import cursor
from atlas.model.stream import StreamKey
from atlas.settings import secret_key
from atlas.sync import edit, token_keys
from tests.ledger.conftest import wait_until_blocked
from tests.stages.conftest import Source
from tests.stages.pipeline import ready, stages, sync
from tests.stages.test_remask import KEEP, SCHEMA, TOKENIZE, emails, person, remask, told

OFFICER = "cli: officer"


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    """The connection with a stream ``users`` whose addresses are tokenized."""
    ready(shop, database_url)
    shop.extra["users"] = {"schema": SCHEMA}
    shop.rows["users"] = [person(n, n) for n in range(1, 4)]
    shop.pii = TOKENIZE
    return shop


def rotate(shop: Source) -> dict[str, Any]:
    return token_keys.rotate(shop.engine, shop.settings, actor=OFFICER)


def finish(shop: Source) -> dict[str, Any]:
    return token_keys.finish(shop.engine, shop.settings, actor=OFFICER)


def numbers(shop: Source) -> list[int]:
    """The key that the tables of each stream go by."""
    return shop.column("SELECT token_key FROM pipeline.stream_table ORDER BY id")


def test_a_key_that_a_new_stream_is_about_to_get_is_not_forgotten(shop: Source) -> None:
    shop.apply()
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.append(rotate(shop)))
    with shop.engine.begin() as conn:
        names.tables(cursor(conn), "shop", StreamKey("users"))
        thread.start()
        wait_until_blocked(shop.engine)
    thread.join()
    assert (found[0]["keys"], numbers(shop)) == (2, [1])
    sync(shop)
    assert all(token.startswith("tok_") for token in emails(shop, "chart"))


def test_a_key_that_a_run_is_about_to_take_is_not_forgotten(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(shop)
    run_id = rotate(shop)["runs"]["shop"]
    whole = rotation.skip_empty
    thread = threading.Thread(target=lambda: rotate(shop))

    def slow(conn: sa.Connection, connection: str, number: int) -> None:
        whole(conn, connection, number)
        thread.start()
        wait_until_blocked(shop.engine)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "skip_empty", slow)
        assert shop.attempt(run_id) is None
    thread.join()
    stages(shop, run_id)
    assert told(shop, run_id)["navigate"] == 3
    assert numbers(shop) == [2]
    after = finish(shop)
    assert after["keys"] == 2  # the newest is still to come
    assert shop.attempt(after["runs"]["shop"]) is None
    stages(shop, after["runs"]["shop"])
    assert (finish(shop)["keys"], numbers(shop)) == (1, [3])


def test_a_stream_that_never_came_to_chart_gets_the_key_without_a_run(shop: Source) -> None:
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    stream = shop.value("SELECT id FROM pipeline.run_stream")
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'failed'"))
    # It may be retried, and go on with tokens that it has made.
    found = rotate(shop)
    assert (found["keys"], found["runs"], numbers(shop)) == (2, {}, [1])
    assert "sync it" in found["left"]["shop"]
    assert shop.end(run_id)["users"].id == stream
    assert finish(shop) == {"keys": 1, "runs": {}, "left": {}}
    assert numbers(shop) == [2]
    sync(shop)
    assert all(token.startswith("tok_") for token in emails(shop, "chart"))


def test_what_is_left_of_a_deleted_connection_says_what_to_do(shop: Source) -> None:
    sync(shop)
    edit.delete(shop.engine, "shop")
    found = rotate(shop)
    assert (found["keys"], found["runs"]) == (2, {})
    assert "apply it again" in found["left"]["shop"]
    shop.apply()
    run_id = finish(shop)["runs"]["shop"]
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    assert finish(shop)["keys"] == 1
    # Or its data go.
    edit.delete(shop.engine, "shop")
    assert "shop" in rotate(shop)["left"]
    shop.apply()
    edit.delete(shop.engine, "shop", drop_data=True)
    assert finish(shop) == {"keys": 1, "runs": {}, "left": {}}


def test_while_the_secret_key_is_replaced_no_run_is_begun(shop: Source) -> None:
    sync(shop)
    active = shop.begin()
    rotate(shop)
    assert shop.attempt(active) is None
    stages(shop, active)
    with shop.engine.begin() as conn:
        rotation.admit(conn, secret_key(shop.settings), b"n" * 40)
    with pytest.raises(UsageError, match="rotate-secret --finish"):
        finish(shop)
    assert shop.value("SELECT count(*) FROM pipeline.run WHERE trigger = 'remask'") == 0


def test_that_a_key_is_forgotten_is_written_down(shop: Source) -> None:
    rotate(shop)
    finish(shop)
    with shop.engine.connect() as conn:
        entries = audit.entries(conn, limit=9)
    assert [(e["actor"], e["action"], e["subject"]) for e in entries] == [
        (OFFICER, "pii.tokens.forget", "key 1"),
        (OFFICER, "pii.tokens.rotate", "key 2"),
    ]


def test_the_columns_that_are_masked_are_those_of_the_last_run(shop: Source) -> None:
    def masked() -> list[str]:
        with shop.engine.connect() as conn:
            found: list[str] = datasets.counts(conn, "shop", "users", None)["masked"]
        return found

    shop.pii = KEEP
    sync(shop)
    assert masked() == []
    shop.pii = {}
    remask(shop)
    assert masked() == ["email"]
    # A sync that broke off has decided nothing.
    run_id = shop.begin(full_refresh=True)
    assert shop.attempt(run_id) is None
    assert masked() == ["email"]
