"""Sources that change between two runs: taken in, left out, or refused, and told once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import Conflict
from atlas.ledger import source_changes
from atlas.model.evolution import SchemaPolicy
from atlas.model.stream import StreamSelection
from atlas.sync.retry import _record, retry
from tests.stages.conftest import Source, row


def _schema(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "updated_at": {"type": "string"},
            **{name: {"type": kind} for name, kind in properties.items()},
        },
    }


def _offer(shop: Source, **streams: dict[str, str]) -> None:
    """What the source has: by stream the columns beside id and updated_at, all with a value."""
    values = {"string": "x", "integer": 1, "number": 1.5}
    for name, columns in streams.items():
        shop.extra[name] = {"schema": _schema(**columns)}
        shop.rows[name] = [row(1, 1, **{c: values[kind] for c, kind in columns.items()})]


def _told(shop: Source) -> list[tuple[Any, ...]]:
    """All changes so far, oldest first."""
    with shop.engine.connect() as conn:
        found = source_changes.listed(conn, "shop", limit=100)
    return [(each["stream"], each["property"], each["change"]) for each in reversed(found)]


def _columns(shop: Source, stream: str = "users") -> set[str]:
    """Properties that stand in explore."""
    return set(
        shop.column(f"SELECT DISTINCT jsonb_object_keys(data) FROM explore.shop_{stream}_raw")
    )


def test_changes_are_taken_in_and_told_once(shop: Source) -> None:
    _offer(shop, users={"a": "integer", "b": "string"})
    shop.run()
    assert _told(shop) == []
    _offer(shop, users={"a": "number", "c": "string"}, orders={})
    for _ in range(2):
        found = shop.run(full_refresh=True)
    assert set(found["users"].configured.json_schema["properties"]) == {
        *("id", "updated_at", "a", "c")
    }
    told = [
        ("orders", None, "stream_added"),
        ("users", "a", "type"),
        ("users", "c", "added"),
        ("users", "b", "removed"),
    ]
    assert _told(shop) == told
    _offer(shop, users={"a": "number", "b": "string", "c": "string"})
    del shop.rows["orders"]
    shop.run(full_refresh=True)
    assert _told(shop) == [
        *told,
        ("orders", None, "stream_removed"),
        ("users", "b", "returned"),
    ]


def test_a_stream_that_is_named_and_gone_fails_alone(shop: Source) -> None:
    _offer(shop, users={}, orders={})
    shop.streams = {"users": StreamSelection(), "orders": StreamSelection()}
    shop.run()
    del shop.rows["orders"]
    for _ in range(2):
        found = shop.run()
        assert found["users"].explored
        assert not found["orders"].explored
        told = shop.value("SELECT error FROM pipeline.run_stream ORDER BY id DESC LIMIT 1")
        assert told.startswith("its source has it no more;")
    assert _told(shop) == [("orders", None, "stream_removed")]
    assert set(shop.run("users")) == {"users"}
    assert "none of this name" in str(shop.attempt(shop.begin("orders")))
    shop.end(shop.value("SELECT id FROM pipeline.run ORDER BY seq DESC LIMIT 1"))
    _offer(shop, users={}, orders={})
    assert shop.run()["orders"].explored
    assert _told(shop) == [("orders", None, "stream_removed"), ("orders", None, "stream_returned")]


def test_a_stream_that_is_gone_is_refused_until_it_is_accepted_and_then_no_more(
    shop: Source,
) -> None:
    _offer(shop, users={}, orders={})
    shop.streams = {"users": StreamSelection(), "orders": StreamSelection()}
    shop.policy = SchemaPolicy.FAIL
    shop.run()
    del shop.rows["orders"]
    run_id = shop.begin()
    assert "orders" in str(shop.attempt(run_id))
    shop.end(run_id)
    with shop.engine.begin() as conn:
        source_changes.accept(conn, shop.id, actor="test")
    for _ in range(2):
        assert not shop.run()["orders"].explored
    assert _told(shop) == [("orders", None, "stream_removed")]


def test_a_stream_that_is_gone_is_not_asked_for_by_a_retry(shop: Source) -> None:
    """A source that passes over it without a word would be taken to say that it has no rows."""
    _offer(shop, users={}, orders={})
    shop.streams = {"users": StreamSelection(), "orders": StreamSelection()}
    shop.run()
    del shop.rows["orders"]
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    with shop.engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.stage_run SET status = 'succeeded' WHERE run_id = :r;"
                "UPDATE pipeline.run_stream SET status = 'succeeded'"
                " WHERE run_id = :r AND stream = 'users';"
                "UPDATE pipeline.run SET status = 'failed' WHERE id = :r"
            ),
            {"r": run_id},
        )
    with pytest.raises(Conflict, match="nothing failed in it but streams that its source has no"):
        retry(shop.engine, shop.settings, run_id, actor="test")
    with shop.engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.stage_run SET status = 'failed'"
                " WHERE run_id = :r AND stage = 'explore';"
                "UPDATE pipeline.run_stream SET status = 'failed', explored_at = NULL"
                " WHERE run_id = :r;"
            ),
            {"r": run_id},
        )
        _record(conn, run_id)
    assert shop.attempt(run_id) is None
    found = shop.end(run_id)
    assert (found["users"].explored, found["orders"].explored) == (True, False)


def test_without_any_of_its_streams_a_run_fails(shop: Source) -> None:
    _offer(shop, users={}, orders={})
    shop.streams = {"orders": StreamSelection()}
    shop.run()
    del shop.rows["orders"]
    assert str(shop.attempt(shop.begin())).endswith("its source offers no stream of orders")


def test_a_stream_that_was_never_there_is_a_misspelling(shop: Source) -> None:
    _offer(shop, users={})
    shop.streams = {"users": StreamSelection(), "user": StreamSelection()}
    assert "did you mean users?" in str(shop.attempt(shop.begin()))


def test_what_is_frozen_leaves_out_what_is_new(shop: Source) -> None:
    _offer(shop, users={"a": "integer", "b": "string"})
    shop.policy = SchemaPolicy.FREEZE
    shop.run()
    _offer(shop, users={"a": "string", "c": "string"}, orders={})
    for _ in range(2):
        found = shop.run(full_refresh=True)
    assert set(found) == {"users"}
    assert found["users"].configured.json_schema["properties"]["a"] == {"type": "integer"}
    assert "c" not in _columns(shop)
    told = [
        ("orders", None, "stream_left_out"),
        ("users", "a", "type"),
        ("users", "c", "left_out"),
        ("users", "b", "removed"),
    ]
    assert _told(shop) == told
    # One that is there again was never new.
    _offer(shop, users={"a": "integer", "b": "string", "c": "string"}, orders={})
    found = shop.run(full_refresh=True)
    assert set(found["users"].configured.json_schema["properties"]) == {
        *("id", "updated_at", "a", "b")
    }
    assert _told(shop) == [*told, ("users", "b", "returned")]
    # A column that the connection names is accepted by that.
    shop.streams = {"users": StreamSelection(columns=("id", "updated_at", "a", "c"))}
    shop.run(full_refresh=True)
    assert "c" in _columns(shop)


def test_a_property_that_no_schema_names_is_left_out_too(shop: Source) -> None:
    _offer(shop, users={"a": "string"})
    shop.policy = SchemaPolicy.FREEZE
    shop.run()
    shop.rows["users"] = [row(2, 2, a="x", stowaway="x")]
    shop.run()
    assert _columns(shop) == {"id", "updated_at", "a"}


def test_where_it_fails_nothing_is_read_until_it_is_accepted(shop: Source) -> None:
    _offer(shop, users={"a": "integer"})
    shop.policy = SchemaPolicy.FAIL
    shop.run()
    rows = shop.value("SELECT count(*) FROM explore.shop_users_raw")
    _offer(shop, users={"a": "string", "c": "string"})
    run_id = shop.begin()
    error = shop.attempt(run_id)
    assert error is not None
    assert "\n" not in error
    assert "stream users: column a is text and was bigint" in error
    assert "column c is new" in error
    assert "`atlas connections accept shop`" in error
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed'")
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == rows
    with shop.engine.begin() as conn:
        source_changes.accept(conn, shop.id, actor="test")
    shop.run(full_refresh=True)
    assert _told(shop) == [("users", "a", "type"), ("users", "c", "added")]
    # Once: what changes then is refused again.
    _offer(shop, users={"a": "string"})
    assert "column c is gone" in str(shop.attempt(shop.begin()))


def test_another_key_is_a_change(shop: Source) -> None:
    _offer(shop, users={"a": "string"})
    shop.policy = SchemaPolicy.FAIL
    shop.run()
    shop.extra["users"]["primary_key"] = [["a"], ["id"]]
    error = shop.attempt(shop.begin(full_refresh=True))
    assert "its primary key is a, id and was id" in str(error)


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        ({"columns": ("id", "updated_at", "b")}, {"id", "updated_at", "b"}),
        ({"exclude": ("a", "c")}, {"id", "updated_at", "b"}),
    ],
)
def test_what_is_not_selected_is_cut_before_it_is_stored(
    shop: Source, selection: dict[str, Any], kept: set[str]
) -> None:
    _offer(shop, users={"a": "string", "b": "number", "c": "string"})
    shop.rows["users"] = [row(1, 1, a="secret", b=1.10, c=[1], d="in no schema")]
    shop.streams = {"users": StreamSelection(**selection)}
    found = shop.run()
    assert set(found["users"].configured.json_schema["properties"]) == kept
    assert _columns(shop) == kept
    assert _told(shop) == []
    # What is left out from now on is no change of the source.
    shop.streams = {"users": StreamSelection(columns=("id", "updated_at"))}
    shop.run(full_refresh=True)
    assert _told(shop) == []


@pytest.mark.parametrize(
    ("selection", "why"),
    [
        ({"columns": ("id", "b")}, "column updated_at is its cursor and cannot be left out"),
        ({"exclude": ("id",)}, "column id is its primary key and cannot be left out"),
        ({"columns": ("id", "updated_at", "bb")}, "columns bb is no column; did you mean b"),
    ],
)
def test_a_selection_that_cannot_be(shop: Source, selection: dict[str, Any], why: str) -> None:
    _offer(shop, users={"b": "string"})
    shop.streams = {"users": StreamSelection(**selection)}
    assert why in str(shop.attempt(shop.begin()))


def test_what_is_kept_of_a_record_keeps_its_bytes(shop: Source) -> None:
    shop.options["raw_lines"] = [
        json.dumps(
            {"type": "RECORD", "record": {"stream": "users", "emitted_at": 1, "data": "?"}}
        ).replace('"?"', '{"id": 12345678901234567890123, "b": 1.10, "a": "x", "b": 1.20}')
    ]
    _offer(shop, users={"a": "string", "b": "number"})
    shop.streams = {"users": StreamSelection(exclude=("a",))}
    shop.run()
    (raw,) = shop.column("SELECT data::text FROM explore.shop_users_raw WHERE data ->> 'id' <> '1'")
    assert raw == '{"b": 1.20, "id": 12345678901234567890123}'


def test_cut_to_nothing_is_cut(shop: Source) -> None:
    shop.policy = SchemaPolicy.FREEZE
    nothing = {"cursor_field": None, "primary_key": None}
    for name in ("old", "new"):
        shop.extra["users"] = {"schema": {"properties": {name: {"type": "string"}}}, **nothing}
        shop.rows["users"] = [{name: "x"}]
        shop.run(full_refresh=True)
    assert _columns(shop) == {"old"}
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == 2


def test_where_no_column_was_ever_named_records_stay_as_they_are(shop: Source) -> None:
    shop.policy = SchemaPolicy.FREEZE
    shop.extra["users"] = {"schema": {"type": "object"}}
    shop.rows["users"] = [row(1, 1, a="x")]
    shop.run()
    shop.extra["users"] = {"schema": _schema(a="string")}
    shop.rows["users"] = [row(2, 2, a="x")]
    found = shop.run()
    assert found["users"].configured.json_schema == {"type": "object"}
    assert shop.column("SELECT DISTINCT data ->> 'a' FROM explore.shop_users_raw") == ["x"]
    assert ("users", "a", "left_out") in _told(shop)


def test_a_stowaway_of_the_first_run_is_left_out(shop: Source) -> None:
    _offer(shop, users={"a": "string"}, orders={})
    shop.policy = SchemaPolicy.FREEZE
    shop.streams = {"users": StreamSelection()}
    shop.rows["users"] = [row(1, 1, a="x", stowaway="x")]
    shop.run()
    assert _columns(shop) == {"id", "updated_at", "a"}
    # Nor where a stream is asked for by name later, or what is new is accepted.
    shop.streams = {"users": StreamSelection(), "orders": StreamSelection()}
    shop.rows["orders"] = [row(1, 1, stowaway="x")]
    with shop.engine.begin() as conn:
        source_changes.accept(conn, shop.id, actor="test")
    shop.run()
    assert _columns(shop, "orders") == {"id", "updated_at"}


def test_where_every_stream_is_new_a_frozen_run_does_not_pretend(shop: Source) -> None:
    _offer(shop, users={})
    shop.policy = SchemaPolicy.FREEZE
    shop.run()
    del shop.rows["users"]
    _offer(shop, orders={})
    error = str(shop.attempt(shop.begin()))
    assert "every stream that its source offers is new" in error
    assert "orders; `atlas connections accept shop`" in error


def test_a_column_that_returns_keeps_its_type_when_frozen(shop: Source) -> None:
    shop.policy = SchemaPolicy.FREEZE
    for columns in ({"a": "integer"}, {}, {"a": "string"}):
        _offer(shop, users=columns)
        shop.run(full_refresh=True)
    query = "SELECT column_type FROM pipeline.stream_column WHERE property = 'a'"
    assert shop.value(query) == "bigint"


def test_an_acceptance_that_was_not_needed_is_used_up(shop: Source) -> None:
    _offer(shop, users={})
    shop.run()
    with shop.engine.begin() as conn:
        source_changes.accept(conn, shop.id, actor="test")
    shop.run()
    shop.policy = SchemaPolicy.FAIL
    _offer(shop, users={"a": "string"})
    assert "column a is new" in str(shop.attempt(shop.begin()))


def test_a_column_selected_by_name_may_go(shop: Source) -> None:
    _offer(shop, users={"a": "string", "b": "string"})
    shop.streams = {"users": StreamSelection(columns=("id", "updated_at", "a", "b"))}
    shop.run()
    _offer(shop, users={"a": "string"})
    shop.run(full_refresh=True)
    assert _told(shop) == [("users", "b", "removed")]


def test_a_stream_that_returns_is_told(shop: Source) -> None:
    _offer(shop, users={}, orders={})
    shop.run()
    orders = shop.rows.pop("orders")
    shop.run()
    shop.rows["orders"] = orders
    for _ in range(2):
        shop.run()
    assert _told(shop) == [("orders", None, "stream_removed"), ("orders", None, "stream_returned")]
    shop.policy = SchemaPolicy.FAIL
    shop.run()
    shop.rows.pop("orders")
    assert "stream orders: it is gone" in str(shop.attempt(shop.begin()))


def test_what_was_only_not_asked_for_is_not_new(shop: Source) -> None:
    _offer(shop, users={}, orders={})
    shop.policy = SchemaPolicy.FAIL
    shop.run("users")
    assert set(shop.run()) == {"users", "orders"}
    assert _told(shop) == []


def test_a_refusal_is_one_line_whatever_a_column_is_called(shop: Source) -> None:
    _offer(shop, users={})
    shop.policy = SchemaPolicy.FAIL
    shop.run()
    _offer(shop, users={"x\ny": "string"})
    assert "column x y is new" in str(shop.attempt(shop.begin()))
