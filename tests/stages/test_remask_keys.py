"""Another key of tokens, and keys that are masked anew, while others are at work beside it."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg2 import extensions

from atlas.errors import TerminalError, UsageError
from atlas.layers import names, staging
from atlas.ledger import audit, datasets, rotation
from atlas.ledger.database import cursor
from atlas.model.personal import Says
from atlas.model.stage import Stage
from atlas.model.stream import StreamKey
from atlas.settings import secret_key
from atlas.stages import remask as stage
from atlas.sync import edit, personal, token_keys
from tests.ledger.conftest import wait_until_blocked
from tests.stages.conftest import Source
from tests.stages.pipeline import perform, ready, stages, sync
from tests.stages.test_remask import KEEP, SCHEMA, TOKENIZE, begin, emails, person, remask, told

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
    edit.delete(shop.engine, "shop", actor="test")
    found = rotate(shop)
    assert (found["keys"], found["runs"]) == (2, {})
    assert "apply it again" in found["left"]["shop"]
    shop.apply()
    run_id = finish(shop)["runs"]["shop"]
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    assert finish(shop)["keys"] == 1
    # Or its data go.
    edit.delete(shop.engine, "shop", actor="test")
    assert "shop" in rotate(shop)["left"]
    shop.apply()
    edit.delete(shop.engine, "shop", actor="test", drop_data=True)
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


def test_what_only_rows_without_their_raw_row_show_of_a_key_asks_for_a_word(shop: Source) -> None:
    schema = copy.deepcopy(SCHEMA)
    schema["properties"]["id"] = {"type": "string"}
    shop.extra["users"] = {"schema": schema}
    shop.pii = KEEP
    ids = [*(f"u-{n:04d}" for n in range(1, 60)), *(f"p{n}@example.org" for n in range(3))]
    shop.rows["users"] = [{**person(1, 1, email=None), "id": each} for each in ids]
    sync(shop)
    before = shop.column("SELECT id FROM chart.shop_users ORDER BY _atlas_id")
    with shop.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM explore.shop_users_raw WHERE data->>'id' LIKE '%@%'"))
    shop.pii = {}
    run_id = begin(shop)
    with pytest.raises(TerminalError, match="override shop_users id --is EMAIL_ADDRESS"):
        stages(shop, run_id)
    assert shop.column("SELECT id FROM chart.shop_users ORDER BY _atlas_id") == before
    with shop.engine.begin() as conn:  # the recovery's part
        conn.execute(
            sa.text("UPDATE pipeline.run SET status = 'failed' WHERE id = :r"), {"r": run_id}
        )
        personal.say(
            conn,
            "shop_users",
            "id",
            Says.IS,
            entity_type="EMAIL_ADDRESS",
            actor=OFFICER,
            why="some are addresses",
        )
    remask(shop)
    keys = shop.column("SELECT id FROM chart.shop_users")
    assert len(set(keys)) == 62
    assert all(key.startswith("tok_") for key in keys)
    assert sync(shop)["versions_opened"] == 0


def test_readers_are_not_kept_out_while_a_key_gets_other_tokens(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.pii = {"columns": {"id": "tokenize"}}
    sync(shop)
    run_id = rotate(shop)["runs"]["shop"]
    assert shop.attempt(run_id) is None
    held: list[list[str]] = []
    whole = stage.remask

    def looked_at(cur: extensions.cursor, *args: Any) -> dict[str, int]:
        found = whole(cur, *args)
        cur.execute(
            "SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock'"
            " AND c.relnamespace IN ('chart'::regnamespace, 'navigate'::regnamespace)"
        )
        held.append([name for (name,) in cur.fetchall()])
        return found

    monkeypatch.setattr(stage, "remask", looked_at)
    stages(shop, run_id)
    assert (held, told(shop, run_id)["chart"]) == ([[]], 3)


def test_keys_that_are_alike_only_on_the_way_are_no_two_of_one(shop: Source) -> None:
    shop.pii = {"columns": {"id": "tokenize"}}
    sync(shop)
    before = shop.column("SELECT id FROM chart.shop_users ORDER BY _atlas_id")
    run_id = begin(shop)
    stages(shop, run_id, until=Stage.QUALITY)
    stream = shop.value("SELECT max(id) FROM pipeline.run_stream")
    with shop.engine.begin() as conn:  # each gets the token that the next one has
        twin = staging.twins(cursor(conn), stream)["id"].name
        conn.execute(
            sa.text(
                f"UPDATE pipeline.staging_{stream} s SET {twin} = n.token FROM (SELECT _atlas_id,"
                f" coalesce(lead({twin}) OVER w, first_value({twin}) OVER w) AS token"
                f" FROM pipeline.staging_{stream} WINDOW w AS (ORDER BY _atlas_id)) n"
                " WHERE n._atlas_id = s._atlas_id"
            )
        )
    for each in (Stage.CHART, Stage.NAVIGATE, Stage.LINEAGE):
        perform(shop, stream, each)
    now = shop.column("SELECT id FROM chart.shop_users ORDER BY _atlas_id")
    assert now == [*before[1:], before[0]]
    indexes = shop.column("SELECT indexname FROM pg_indexes WHERE tablename = 'shop_users'")
    assert len([name for name in indexes if "$key_" in name]) == 2


def test_a_reader_of_several_tables_comes_before_a_key_of_another_type(shop: Source) -> None:
    sync(shop)
    shop.pii = {"columns": {"id": "tokenize"}}
    run_id = begin(shop)
    stages(shop, run_id, until=Stage.QUALITY)
    stream = shop.value("SELECT max(id) FROM pipeline.run_stream")
    found: list[Exception | None] = []

    def bring() -> None:
        try:
            perform(shop, stream, Stage.CHART)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            found.append(error)
        else:
            found.append(None)

    thread = threading.Thread(target=bring)
    with shop.engine.begin() as reader:
        reader.execute(sa.text("SELECT count(*) FROM navigate.shop_users"))
        thread.start()
        wait_until_blocked(shop.engine)
        query = sa.text("SELECT count(*) FROM chart.shop_users WHERE id::text LIKE 'tok%'")
        assert reader.execute(query).scalar() == 0
    thread.join()
    assert found == [None]
    assert all(key.startswith("tok_") for key in shop.column("SELECT id FROM chart.shop_users"))
