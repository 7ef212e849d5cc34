"""Names: unchanged where they can be, never colliding, stable, short."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import extensions, sql

from atlas.layers import names
from atlas.model.stream import ColumnType, StreamKey

LETTERS = "abAB_ -.é名0'\";%"
SOME_NAMES = st.one_of(
    st.text(LETTERS, min_size=0, max_size=6),
    st.sampled_from(["a", "b_c", "a_b", "c", "orders", "orders_quarantine", "orders_raw"]),
    st.text("abc_", min_size=45, max_size=70),
    st.text("x", min_size=60, max_size=70),
)


def schema(*properties: str) -> dict[str, Any]:
    return {"properties": {name: {"type": "string"} for name in properties}}


def test_identifiers_stand_unchanged(cur: extensions.cursor) -> None:
    made = names.tables(cur, "shop", StreamKey("order_items"))
    assert (made.table, made.raw, made.quarantine) == (
        "shop_order_items",
        "shop_order_items_raw",
        "shop_order_items_quarantine",
    )
    assert names.assign(["id", "created_at", "_x1", "select"]) == {
        "id": "id",
        "created_at": "created_at",
        "_x1": "_x1",
        "select": "select",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CreatedAt", "created_at"),
        ("userID", "user_id"),
        ("HTTPServer", "http_server"),
        ("first name", "first_name"),
        ("Größe", "grosse"),
        ("a-b.c", "a_b_c"),
        ("2fa", "_2fa"),
        ("", "unnamed"),
        ("名前", "unnamed"),
        ('x"; DROP TABLE t; --', "x_drop_table_t_"),
    ],
)
def test_normalised(name: str, expected: str) -> None:
    assert names.normalise(name) == expected


@pytest.mark.parametrize(
    "name", ["_atlas_id", "surrogate_key", "valid_from", "valid_to", "is_current", "ctid", "xmin"]
)
def test_reserved_columns_are_renamed_by_a_hash(name: str) -> None:
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    assert names.assign([name]) == {name: f"{name.removeprefix('_')}_{digest}"}


def test_what_can_keep_its_name_keeps_it_whatever_the_order() -> None:
    made = names.assign(["Name", "NAME", "name"])
    assert made["name"] == "name"
    assert len(set(made.values())) == 3


def test_long_names_with_one_prefix_stay_apart() -> None:
    made = names.assign(["p" * 62, "p" * 63, "p" * 80 + "a", "p" * 80 + "b"])
    assert made["p" * 62] == "p" * 62
    assert len(set(made.values())) == 4
    assert all(len(name) <= names.LIMIT for name in made.values())


def test_the_later_of_two_streams_gets_the_hash(cur: extensions.cursor) -> None:
    first = names.tables(cur, "a", StreamKey("b_c"))
    second = names.tables(cur, "a_b", StreamKey("c"))
    assert first.table == "a_b_c"
    assert second.table.startswith("a_b_c_")
    assert second.raw == second.table + "_raw"
    orders = names.tables(cur, "s", StreamKey("orders"))
    later = names.tables(cur, "s", StreamKey("orders_quarantine"))
    assert orders.quarantine == "s_orders_quarantine" != later.table
    names.tables(cur, "t", StreamKey("orders_quarantine"))
    orders = names.tables(cur, "t", StreamKey("orders"))
    assert orders.table == "t_orders"
    assert orders.quarantine != "t_orders_quarantine"
    assert orders.quarantine.endswith("_quarantine")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "a_b", "a_b_c"]), st.none() | st.just("n"), SOME_NAMES),
        max_size=12,
        unique=True,
    )
)
def test_no_two_streams_share_a_table(
    cur: extensions.cursor, streams: list[tuple[str, str | None, str]]
) -> None:
    cur.execute("SAVEPOINT s")
    made = [names.tables(cur, c, StreamKey(name, namespace)) for c, namespace, name in streams]
    in_chart = [name for t in made for name in (t.table, t.quarantine)]
    in_explore = [t.raw for t in made]
    assert len(set(in_chart)) == len(in_chart)
    assert len(set(in_explore)) == len(in_explore)
    assert all(0 < len(name.encode()) <= names.LIMIT for name in in_chart + in_explore)
    for name in (*in_chart, *in_explore):
        cur.execute(sql.SQL("CREATE TEMP TABLE {} ()").format(sql.Identifier(name)))
        cur.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    again = [
        names.tables(cur, c, StreamKey(name, namespace)) for c, namespace, name in reversed(streams)
    ]
    assert again == made[::-1]
    cur.execute("ROLLBACK TO s")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(
            SOME_NAMES | st.sampled_from(["ctid", "_atlas_id", "__atlas_id"]),
            max_size=8,
            unique=True,
        ),
        max_size=3,
    )
)
def test_columns_never_collide_and_never_change(
    cur: extensions.cursor, schemas: list[list[str]]
) -> None:
    cur.execute("SAVEPOINT s")
    known: dict[str, str] = {}
    for properties in schemas:
        made = names.columns(cur, "shop", StreamKey("s"), schema(*properties))
        now = {column.property: column.name for column in made.all}
        assert known.items() <= now.items()
        assert {column.property for column in made.active} == set(properties)
        known = now
        assert len(set(now.values())) == len(now)
        assert all(0 < len(name.encode()) <= names.LIMIT for name in now.values())
        assert not any(name.startswith("_atlas_") for name in now.values())
        cur.execute(
            sql.SQL("CREATE TEMP TABLE t ({})").format(
                sql.SQL(", ").join(
                    sql.SQL("{} text").format(sql.Identifier(n)) for n in now.values()
                )
            )
        )
        cur.execute("DROP TABLE t")
    cur.execute("ROLLBACK TO s")


def test_columns_keep_the_widest_type_and_the_gone(cur: extensions.cursor) -> None:
    key = StreamKey("s")
    names.columns(cur, "shop", key, {"properties": {"n": {"type": "integer"}, "old": {}}})
    names.columns(cur, "shop", key, {"properties": {"n": {"type": "number"}}})
    made = names.columns(
        cur,
        "shop",
        key,
        {
            "required": ["n"],
            "properties": {"n": {"type": "integer"}, "e": {"enum": ["a", None], "format": "x"}},
        },
    )
    assert [column.name for column in made.all] == ["n", "old", "e"]
    n, e = made.active
    assert (n.type, n.nullable) == (ColumnType.NUMERIC, False)
    assert (e.type, e.nullable, e.enum, e.format) == (ColumnType.TEXT, True, ("a",), "x")


def test_nothing_is_written_when_nothing_is_new(
    connection: extensions.connection, cur: extensions.cursor
) -> None:
    key = StreamKey("s")
    rows = "SELECT array_agg(xmin::text || ctid::text ORDER BY id) FROM pipeline.stream_column"
    names.columns(cur, "shop", key, schema("a", "B"))
    cur.execute(rows)
    before = cur.fetchall()
    connection.commit()
    names.columns(cur, "shop", key, schema("a"))
    cur.execute(rows)
    assert cur.fetchall() == before
    cur.execute("SELECT pg_current_xact_id_if_assigned() IS NULL")
    assert cur.fetchone() == (True,)


def test_two_processes_agree(
    connection: extensions.connection, database_url: str, cur: extensions.cursor
) -> None:
    connection.commit()
    done: list[names.Tables] = []

    def other() -> None:
        with psycopg2.connect(database_url) as second, second.cursor() as its:
            done.append(names.tables(its, "a_b", StreamKey("c")))

    mine = names.tables(cur, "a", StreamKey("b_c"))
    thread = threading.Thread(target=other)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "the second did not wait for the first"
    connection.commit()
    thread.join(10)
    assert done[0].table != mine.table == "a_b_c"


MAKE = Callable[..., Any]


def test_hostile_names_reach_navigate(make: MAKE) -> None:
    hostile = [
        "",
        "ctid",
        "_atlas_id",
        "surrogate_key",
        'x"; DROP TABLE pipeline.stream_table; --',
        "100% {sure} %s",
        "Name",
        "name",
        "NAME",
        "名前",
        "p" * 64,
        "p" * 64 + "x",
        "$1",
        "a'b\\c",
    ]
    stream = make(
        {name: {"type": "integer"} for name in hostile} | {"id": {"type": "integer"}},
        primary_key=(("id",),),
        name='t"; DROP SCHEMA chart; --',
    )
    result = stream.run([{"id": 1} | {name: n for n, name in enumerate(hostile)}])
    assert result.navigate.opened == 1
    columns = {column.property: column.name for column in stream.last[0]}
    for n, name in enumerate(hostile):
        stream.cur.execute(
            sql.SQL("SELECT {} FROM {}").format(
                sql.Identifier(columns[name]), sql.Identifier("navigate", stream.tables.table)
            )
        )
        assert stream.cur.fetchall() == [(n,)]
