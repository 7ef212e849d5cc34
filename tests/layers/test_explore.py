"""The raw layer: bytes in, exact JSON out, segments, batches."""

from __future__ import annotations

import json
import uuid
from typing import Any

import orjson
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import extensions, sql

from atlas.errors import TerminalError
from atlas.layers import explore, names
from atlas.model.stream import Column, ColumnType, Segment, StreamKey
from tests.layers.conftest import read_batches

RUN = str(uuid.uuid4())
NOW = 1_700_000_000_123


@pytest.fixture
def tables(cur: extensions.cursor) -> names.Tables:
    made = names.tables(cur, "shop", StreamKey("users"))
    explore.ensure(cur, made)
    explore.ensure(cur, made)
    return made


def stored(cur: extensions.cursor, tables: names.Tables) -> list[Any]:
    cur.execute(
        sql.SQL("SELECT data::text FROM {} ORDER BY _atlas_id").format(
            sql.Identifier("explore", tables.raw)
        )
    )
    return [json.loads(text) for (text,) in cur.fetchall()]


ODD = [
    {},
    {"": ""},
    {"a": "line\nbreak\r\n\t\x01\x02\x7f"},
    {"a": "quotes \" \\ ' \\. \\N"},
    {"a": "\\.", "b": "é名🙂\u2028"},
    {"a": None, "b": [1, [2, {"c": {}}]], "d": True},
    {"a": 9223372036854775808123, "b": 1e22, "c": -0.5},
    {"x" * 300: "y" * 100_000},
]


def test_odd_json_goes_in_and_out(cur: extensions.cursor, tables: names.Tables) -> None:
    writer = explore.RawWriter(cur, RUN)
    writer.write(tables, [(json.dumps(record).encode(), NOW) for record in ODD])
    writer.write(tables, [(json.dumps(r, ensure_ascii=False).encode(), NOW) for r in ODD])
    assert stored(cur, tables) == ODD + ODD


def test_white_space_between_tokens(cur: extensions.cursor, tables: names.Tables) -> None:
    writer = explore.RawWriter(cur, RUN)
    writer.write(tables, [(b'{\r\n\t"a" :\r 1}\r', NOW), (b'{"b":2}', NOW)])
    assert stored(cur, tables) == [{"a": 1}, {"b": 2}]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-(10**30), 10**30)
                | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=5,
            ),
            max_size=4,
        ),
        max_size=5,
    )
)
def test_any_json_goes_in_and_out(
    cur: extensions.cursor, tables: names.Tables, records: list[Any]
) -> None:
    cur.execute("SAVEPOINT s")
    explore.RawWriter(cur, RUN).write(tables, [(json.dumps(r).encode(), NOW) for r in records])
    assert stored(cur, tables) == records
    cur.execute("ROLLBACK TO s")


@pytest.mark.parametrize(
    "data",
    [
        b'{"name": "Jane \\u0000 Doe"}',
        b'{"name": "Jane Doe \\ud800"}',
        b'{"name": "Jane Doe"',
        b'{"name": "Jane Doe \xff"}',
        b'{"name": "Jane Doe", "n": 1e999999}',
        b'{"name": "Jane \x01 Doe"}',
        b'{"name": "Jane \x02 Doe"}',
        b'["Jane Doe", ' + b"[" * 30_000 + b"]" * 30_000 + b"]",
        b'{"name": "Jane\nDoe"}x',
        b"",
    ],
)
def test_what_jsonb_refuses_is_terminal_and_told_without_the_value(
    cur: extensions.cursor, tables: names.Tables, data: bytes
) -> None:
    with pytest.raises(TerminalError, match="stream users") as caught:
        explore.RawWriter(cur, RUN).write(tables, [(b"{}", NOW), (data, NOW)])
    assert "Doe" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None or caught.value.__suppress_context__


def test_emitted_at(cur: extensions.cursor, tables: names.Tables) -> None:
    writer = explore.RawWriter(cur, RUN)
    writer.write(tables, [(b"{}", NOW), (b"{}", 0), (b"{}", NOW)])
    cur.execute(
        sql.SQL(
            "SELECT _atlas_emitted_at::text, _atlas_run_id::text, _atlas_loaded_at = now() FROM {}"
            " ORDER BY _atlas_id"
        ).format(sql.Identifier("explore", tables.raw))
    )
    late, early = "2023-11-14 22:13:20.123+00", "1970-01-01 00:00:00+00"
    assert cur.fetchall() == [(late, RUN, True), (early, RUN, True), (late, RUN, True)]
    with pytest.raises(TerminalError, match="emitted_at"):
        writer.write(tables, [(b"{}", 10**18)])


def test_segments_name_the_rows_of_one_run_among_others(
    connection: extensions.connection,
    database_url: str,
    cur: extensions.cursor,
    tables: names.Tables,
) -> None:
    connection.commit()
    other_run = str(uuid.uuid4())
    with psycopg2.connect(database_url) as second, second.cursor() as its:
        mine, other = explore.RawWriter(cur, RUN), explore.RawWriter(its, other_run)
        for n in range(5):
            mine.write(tables, [(b'{"mine": %d}' % n, NOW)] * 3)
            other.write(tables, [(b"{}", NOW)] * 2)
        (segment,) = mine.take().values()
        (others,) = other.take().values()
        second.commit()
    second.close()
    assert (segment.rows, others.rows) == (15, 10)
    mine.write(tables, [(b'{"mine": 9}', NOW)])
    (later,) = mine.take().values()
    assert later.first_id > segment.last_id
    assert mine.take() == {}
    column = (Column("mine", "mine", ColumnType.BIGINT),)
    rows = [
        value
        for batch in read_batches(cur, tables, RUN, [segment, later], column, 4)
        for value in batch.column("mine").to_pylist()
    ]
    assert rows == [str(n) for n in range(5) for _ in range(3)] + ["9"]


def columns(**kinds: ColumnType) -> tuple[Column, ...]:
    return tuple(Column(name, f"c_{name}", kind) for name, kind in kinds.items())


def test_batches_tell_null_from_empty_and_keep_every_character(
    cur: extensions.cursor, tables: names.Tables
) -> None:
    texts = ["", None, "a\nb\r\nc", 'say "x", y', "\\N", "NULL", "\\.", " ", "é🙂", ",", '""']
    records = [{"t": text, "j": text, "n": 1.50, "b": True, "o": {"x": text}} for text in texts]
    writer = explore.RawWriter(cur, RUN)
    writer.write(tables, [(orjson.dumps(record), NOW) for record in [*records, {}]])
    (segment,) = writer.take().values()
    wanted = columns(
        t=ColumnType.TEXT,
        j=ColumnType.JSONB,
        n=ColumnType.NUMERIC,
        b=ColumnType.BOOLEAN,
        o=ColumnType.JSONB,
    )
    batches = read_batches(cur, tables, RUN, [segment], wanted, 5)
    assert [batch.num_rows for batch in batches] == [5, 5, 2]
    some, full = explore.piece(cur, tables, RUN, segment, 5)
    assert (some and some.rows, full) == (5, True)
    some, full = explore.piece(cur, tables, RUN, segment, 13)
    assert (some and some.rows, full) == (12, False)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row["c_t"] for row in rows] == [*texts, None]
    assert [row["c_j"] and json.loads(row["c_j"]) for row in rows] == [*texts, None]
    assert [row["c_o"] and json.loads(row["c_o"])["x"] for row in rows] == [*texts, None]
    assert rows[0]["c_n"] == "1.5"
    assert rows[0]["c_b"] == "true"
    assert [row["_atlas_id"] for row in rows] == sorted(row["_atlas_id"] for row in rows)
    ids_only = read_batches(cur, tables, RUN, [segment], ())
    assert ids_only[0].column_names == ["_atlas_id"]


def test_batches_are_bounded_by_bytes_too(cur: extensions.cursor, tables: names.Tables) -> None:
    noise = ["".join(str(hash((n, m))) for m in range(300_000)) for n in range(6)]
    writer = explore.RawWriter(cur, RUN)
    writer.write(tables, [(orjson.dumps({"t": text}), NOW) for text in noise])
    (segment,) = writer.take().values()

    pieces = explore.cut(cur, tables, RUN, segment, 20_000)
    assert sum(piece.rows for piece in pieces) == 6
    assert max(piece.rows for piece in pieces) < 6
    # It is full of bytes: what comes behind it changes nothing of it.
    assert explore.piece(cur, tables, RUN, segment, 20_000) == (pieces[0], True)
    batches = read_batches(cur, tables, RUN, [segment], columns(t=ColumnType.TEXT))
    assert [t for batch in batches for t in batch.column("c_t").to_pylist()] == noise


def test_rows_that_are_gone_are_not_passed_over(
    cur: extensions.cursor, tables: names.Tables
) -> None:
    writer = explore.RawWriter(cur, RUN)
    writer.write(tables, [(b'{"n": 1}', NOW), (b'{"n": 2}', NOW)])
    (segment,) = writer.take().values()
    explore.remove(cur, tables, RUN, [Segment(segment.first_id, segment.first_id, 1)])
    with pytest.raises(TerminalError, match="2 rows were read and 1 are there"):
        explore.cut(cur, tables, RUN, segment, 20_000)
