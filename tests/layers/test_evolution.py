"""Schemas and policies that change: nothing lost, no false version, nothing left unmasked."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from psycopg2 import extensions

from atlas.errors import TerminalError
from atlas.layers import filling, staging
from atlas.model.stream import ColumnType, Segment

MAKE = Callable[..., Any]
INT, TEXT, NUM, OBJECT = ({"type": kind} for kind in ("integer", "string", "number", "object"))
STAMP = {"type": "string", "format": "date-time"}
DATE = {"type": "string", "format": "date"}
ID = (("id",),)


def initials(value: str) -> str:
    return value[0] + "***"


@pytest.fixture
def stream(make: MAKE) -> Any:
    return make({"id": INT, "v": INT}, primary_key=ID)


def test_a_new_column_that_is_null_opens_no_version(stream: Any) -> None:
    stream.run([{"id": 1, "v": 1}, {"id": 2, "v": 2}])
    stream.properties = {"extra": TEXT, **stream.properties}
    result = stream.run([{"extra": None, "id": 1, "v": 1}, {"id": 2, "v": 2, "extra": "x"}])
    assert [(c.column, c.change, c.detail) for c in result.changes] == [
        ("extra", "added", {"type": "text"})
    ]
    assert stream.history("id, v, extra") == [
        (1, 1, None, 1, None),
        (2, 2, None, 1, 2),
        (2, 2, "x", 2, None),
    ]
    assert stream.rows("SELECT table_name, column_name, change FROM pipeline.schema_change") == [
        ("chart.shop_users", "extra", "added")
    ]


def test_a_removed_column_stays_and_is_null_from_then_on(stream: Any) -> None:
    stream.run([{"id": 1, "v": 1}])
    del stream.properties["v"]
    assert stream.run([{"id": 1}]).changes == []
    assert stream.history("id, v") == [(1, 1, 1, 2), (1, None, 2, None)]


@pytest.mark.parametrize(
    ("old", "before", "new", "after", "stored"),
    [
        (INT, b"1", NUM, b"1.0", "1"),
        (INT, b"1", NUM, b"1", "1"),
        (INT, b"1", TEXT, b'"1"', "1"),
        (INT, b"1", TEXT, b"1", "1"),
        (INT, b"1", {}, b"1", "1"),
        (NUM, b"10.50", TEXT, b"10.50", "10.50"),
        (NUM, b"10.50", {}, b"10.50", "10.50"),
        (NUM, b"1e2", TEXT, b"100", "100"),
        (TEXT, b'"a"', OBJECT, b'"a"', '"a"'),
        ({"type": "boolean"}, b"true", TEXT, b"true", "true"),
        (DATE, b'"2024-01-01"', TEXT, b'"2024-01-01"', "2024-01-01"),
        (STAMP, b'"2024-01-01T10:00:00Z"', TEXT, b'"2024-01-01T10:00:00Z"', None),
        (STAMP, b'"2024-01-01T10:00:00Z"', DATE, b'"2024-01-01T10:00:00.000+00:00"', None),
        (STAMP, b'"2024-01-01T10:00:00Z"', {}, b'"2024-01-01T10:00:00Z"', None),
    ],
)
def test_a_wider_type_opens_no_version(
    make: MAKE, old: Any, before: bytes, new: Any, after: bytes, stored: str | None
) -> None:
    stream = make({"id": INT, "v": old}, primary_key=ID)
    stream.run([b'{"id": 1, "v": %s}' % before])
    stream.properties["v"] = new
    for _ in range(2):
        result = stream.run([b'{"id": 1, "v": %s}' % after])
        assert (result.chart.written, result.navigate.opened) == (0, 0)
    if stored is not None:
        assert stream.rows("SELECT v::text FROM {chart}") == [(stored,)]
        assert stream.rows("SELECT v::text FROM {navigate}") == [(stored,)]
    stream.run([b'{"id": 1, "v": 7}'])
    assert len(stream.history("id")) == 2


def test_widening_keeps_every_value_and_is_told(stream: Any) -> None:
    big = 9223372036854775807
    stream.run([{"id": 1, "v": big}])
    stream.properties["v"] = NUM
    first = stream.run([b'{"id": 1, "v": 0.1}', b'{"id": 2, "v": 1e30}'])
    stream.properties["v"] = TEXT
    second = stream.run([b'{"id": 1, "v": "x"}'])
    stream.properties["v"] = INT
    third = stream.run([b'{"id": 1, "v": "x"}'])
    assert [result.changes and result.changes[0].detail for result in (first, second, third)] == [
        {"from": "bigint", "to": "numeric"},
        {"from": "numeric", "to": "text"},
        [],
    ]
    assert stream.history("id, v") == [
        (1, str(big), 1, 2),
        (1, "0.1", 2, 3),
        (1, "x", 3, None),
        (2, "1" + "0" * 30, 2, 3),
    ]


def test_several_columns_become_wider_at_once(make: MAKE) -> None:
    stream = make({"id": INT, "v": INT, "w": NUM, "d": DATE}, primary_key=ID)
    stream.run([b'{"id": 1, "v": 1, "w": 1.50, "d": "2024-01-01"}'])
    stream.properties |= {"v": NUM, "w": TEXT, "d": TEXT, "x": TEXT}
    result = stream.run([b'{"id": 2, "v": 0.1, "w": "w", "d": "d", "x": "x"}'], full=False)
    assert sorted((c.column, c.change) for c in result.changes) == [
        *(("d", "widened"), ("v", "widened"), ("w", "widened"), ("x", "added"))
    ]
    assert stream.rows("SELECT v::text, w, d, x FROM {navigate} ORDER BY id") == [
        ("1", "1.50", "2024-01-01", None),
        ("0.1", "w", "d", "x"),
    ]


def test_a_key_may_become_wider(stream: Any) -> None:
    stream.run([{"id": 1, "v": 1}, {"id": 2, "v": 2}], full=False)
    for schema in (NUM, TEXT, {}):
        stream.properties["id"] = schema
        result = stream.run([{"id": 1, "v": 1}], full=False)
        assert (result.navigate.opened, result.navigate.closed) == (0, 0)
    stream.run([{"id": "x", "v": 1}, {"id": 1, "v": 5}], full=False)
    assert stream.rows("SELECT id, v FROM {navigate} WHERE is_current ORDER BY v") == [
        ("x", 1),
        ("2", 2),  # what was a text became JSON's string
        (1, 5),
    ]


def test_a_view_in_the_way_is_named(stream: Any, cur: extensions.cursor) -> None:
    stream.run([{"id": 1, "v": 1}])
    cur.execute("CREATE VIEW report AS SELECT v FROM navigate.shop_users")
    stream.properties["v"] = NUM
    with pytest.raises(TerminalError, match=r"navigate\.shop_users.*column v .*view"):
        stream.run([{"id": 1, "v": 1}])


# -- the hash ------------------------------------------------------------------------------------


def hashes(make: MAKE, records: list[bytes], **properties: Any) -> list[str]:
    stream = make(properties, name=f"s{len(records)}{hash(str(properties)) % 10**6}")
    stream.run(records)
    return [h for (h,) in stream.rows("SELECT _atlas_row_hash FROM {staging} ORDER BY _atlas_id")]


def test_equal_values_hash_alike(make: MAKE) -> None:
    for properties, records in [
        ({"v": INT}, [b'{"v":1}', b'{"v":1.0}', b'{"v":"1"}', b'{"v":1,"w":2}']),
        ({"v": NUM}, [b'{"v":1}', b'{"v":1.00}', b'{"v":"1"}', b'{"v":1e0}']),
        ({"v": TEXT}, [b'{"v":1}', b'{"v":1.0}', b'{"v":"1"}']),
        ({"v": {}}, [b'{"v":1}', b'{"v":1.0}', b'{"v":"1"}']),
        (
            {"v": STAMP},
            [
                b'{"v":"2024-01-01T00:00:00Z"}',
                b'{"v":"2024-01-01T02:00:00.000+02:00"}',
                b'{"v":"2024-01-01"}',
            ],
        ),
        ({"v": OBJECT}, [b'{"v":{"a":1,"b":2}}', b'{"v":{"b":2,"a":1}}']),
        ({"v": INT}, [b'{"v":null}', b"{}"]),
    ]:
        assert len(set(hashes(make, records, **properties))) == 1, records


def test_different_values_hash_apart(make: MAKE) -> None:
    same_text = [b'{"a":"x","b":"y"}', b'{"a":"xy"}', b'{"a":"x1:b1:y"}', b'{"b":"x","a":"y"}']
    same_text += [b'{"a":"","b":"x"}', b'{"b":"x"}', b"{}", b'{"a":"1.10"}', b'{"a":"1.1"}']
    assert len(set(hashes(make, same_text, a=TEXT, b=TEXT))) == len(same_text)


def test_the_hash_is_keyed_and_does_not_depend_on_columns_or_order(make: MAKE) -> None:
    one = make({"a": TEXT, "b": TEXT}, name="one")
    two = make({"b": TEXT, "new": TEXT, "a": TEXT}, name="two")
    found = []
    for stream, secret in ((one, b"x"), (two, b"x"), (one, b"y"), (two, b"k" * 100)):
        stream.run([{"a": "1", "b": "2"}], secret=secret)
        ((value,),) = stream.rows("SELECT _atlas_row_hash FROM {staging}")
        found.append(value)
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.parametrize("secret", [b"short", b"k" * 64, b"k" * 200])
def test_the_hash_is_hmac_sha256(make: MAKE, secret: bytes) -> None:
    stream = make({"a": TEXT})
    stream.run([{"a": "é"}], secret=secret)
    expected = hmac.new(secret, "1:a2:é".encode(), hashlib.sha256).hexdigest()
    assert stream.rows("SELECT _atlas_row_hash FROM {chart}") == [(expected,)]


def test_metadata_of_a_log_is_no_value(make: MAKE) -> None:
    stream = make(
        {"id": INT, "v": INT, "_ab_cdc_lsn": INT}, primary_key=ID, cursor_field=("_ab_cdc_lsn",)
    )
    stream.run([{"id": 1, "v": 1, "_ab_cdc_lsn": 1}], full=False)
    result = stream.run([{"id": 1, "v": 1, "_ab_cdc_lsn": 5}], full=False)
    assert (result.chart.written, result.navigate.opened) == (1, 0)
    # the place in the log went on all the same
    stream.run([{"id": 1, "v": 2, "_ab_cdc_lsn": 4}], full=False)
    assert stream.history("id, v") == [(1, 1, 1, None)]


# -- masks ---------------------------------------------------------------------------------------


@pytest.fixture
def people(make: MAKE) -> Any:
    return make(
        {"id": INT, "name": TEXT, "born": DATE, "m": OBJECT},
        primary_key=ID,
        masks={
            "name": (ColumnType.TEXT, initials),
            "born": (ColumnType.BIGINT, lambda value: value[:4]),
            "m": (ColumnType.JSONB, lambda value: '{"x": "***"}'),
        },
    )


JANE = {"id": 1, "name": "Jane", "born": "1980-05-06", "m": {"x": "secret"}}
SHOWN = "name, born, m->>'x'"


def test_chart_quarantine_and_navigate_hold_the_masks_only(people: Any) -> None:
    people.run([JANE, {**JANE, "id": 2, "name": "Kim"}], rules=[("no_kim", "\"name\" = 'Kim'")])
    assert people.rows(f"SELECT {SHOWN} FROM {{chart}}") == [("J***", 1980, "***")]
    assert people.rows(f"SELECT {SHOWN} FROM {{navigate}}") == [("J***", 1980, "***")]
    assert people.rows(f"SELECT {SHOWN} FROM {{quarantine}}") == [("K***", 1980, "***")]
    assert people.rows("SELECT name FROM {staging} ORDER BY id") == [("Jane",), ("Kim",)]


def test_a_change_under_the_same_mask_opens_a_version(people: Any) -> None:
    people.run([JANE])
    people.run([{**JANE, "name": "Jill"}])
    assert people.history("id, name") == [(1, "J***", 1, 2), (1, "J***", 2, None)]


@pytest.mark.parametrize("key", [ID, ()])
@pytest.mark.parametrize("full", [True, False])
def test_another_policy_opens_no_version_and_is_applied_in_place(
    people: Any, key: Any, full: bool
) -> None:
    people.primary_key = key
    people.run([JANE])
    people.masks["name"] = (ColumnType.TEXT, lambda value: "[person]")
    result = people.run([JANE], full=full or not key)
    assert result.navigate.opened == 0
    assert people.rows("SELECT name FROM {chart}") == [("[person]",)]
    assert people.rows("SELECT name FROM {navigate}") == [("[person]",)]
    del people.masks["name"]
    result = people.run([JANE], full=full or not key)
    assert result.navigate.opened == 0
    assert people.rows("SELECT name FROM {chart}") == [("Jane",)]
    assert people.rows("SELECT name FROM {navigate}") == [("Jane",)]


@pytest.mark.parametrize("full", [True, False])
def test_what_becomes_personal_does_not_stay_readable(make: MAKE, full: bool) -> None:
    stream = make({"id": INT, "name": TEXT}, primary_key=ID)
    stream.run([{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}], full=full)
    stream.run([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}], full=full)
    stream.run([{"name": "Zoe"}], full=False)
    stream.masks["name"] = (ColumnType.TEXT, initials)
    rows = [{"id": 1, "name": "Ada"}, *([{"id": 2, "name": "Bob"}] if full else [])]
    result = stream.run(rows, full=full)
    assert [(c.change, c.detail) for c in result.changes] == [("masked", {"cleared": 2})]
    assert result.navigate.opened == 0
    bob = "B***" if full else None
    assert stream.history("id, name") == [
        (1, None, 1, 2),
        (1, "A***", 2, None),
        (2, bob, 1, None),
    ]
    assert stream.rows("SELECT name FROM {quarantine}") == [(None,)]
    assert not stream.run(rows, full=full).changes


def test_a_tokenized_key_keeps_identity(make: MAKE) -> None:
    stream = make(
        {"id": TEXT, "v": INT},
        primary_key=ID,
        masks={"id": (ColumnType.TEXT, lambda value: f"tok_{value[::-1]}")},
    )
    stream.run([{"id": "ab", "v": 1}, {"id": "cd", "v": 2}])
    stream.run([{"id": "ab", "v": 5}])
    assert stream.history("id, v") == [
        ("tok_ba", 1, 1, 2),
        ("tok_ba", 5, 2, None),
        ("tok_dc", 2, 1, 2),
    ]


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        (INT, [2, 2.0, "2", "002", "2e0"]),
        (NUM, ["1.50", 1.5, "01.5", "15e-1"]),
        (DATE, ["1990-05-17", "19900517", "1990-05-17T00:00:00Z"]),
        (STAMP, ["1990-05-17T00:00:00Z", "1990-05-17T02:00:00.0+02:00", "19900517", "1990-05-17"]),
    ],
)
def test_a_key_spelled_in_another_way_keeps_its_token(
    make: MAKE, kind: Any, spellings: list[Any]
) -> None:
    mask = (ColumnType.TEXT, lambda text: "tok_" + hashlib.sha256(text.encode()).hexdigest())
    stream = make({"id": kind}, primary_key=ID, masks={"id": mask})
    counts = stream.run([{"id": each} for each in spellings], full=False).chart
    assert (counts.promoted, counts.superseded) == (1, len(spellings) - 1)
    for each in spellings:
        stream.run([{"id": each}], full=False)
    assert len(stream.rows("SELECT id FROM {chart}")) == 1
    assert stream.rows("SELECT is_current FROM {navigate}") == [(True,)]


def test_a_mask_that_merges_keys_is_refused(make: MAKE) -> None:
    stream = make({"id": TEXT}, primary_key=ID, masks={"id": (ColumnType.TEXT, initials)})
    with pytest.raises(TerminalError, match="different keys alike"):
        stream.run([{"id": "ab"}, {"id": "ac"}])


@pytest.mark.parametrize("first", [True, False])
def test_a_key_whose_masking_begins_or_ends_is_refused(stream: Any, first: bool) -> None:
    mask = {"id": (ColumnType.TEXT, lambda value: f"tok_{value}")}
    stream.masks = mask if first else {}
    stream.run([{"id": 1, "v": 1}])
    stream.masks = {} if first else mask
    with pytest.raises(TerminalError, match=r"column id of the key is (not )?masked now"):
        stream.run([{"id": 1, "v": 1}])


def test_a_key_masked_away_is_quarantined(make: MAKE) -> None:
    stream = make({"id": TEXT}, primary_key=ID, masks={"id": (ColumnType.TEXT, lambda value: None)})
    assert stream.run([{"id": "ab"}]).marked == {"key_not_null": 1}


def test_a_mask_that_does_not_fit_fails_its_row(people: Any) -> None:
    people.masks["born"] = (ColumnType.BIGINT, lambda value: "x")
    result = people.run([JANE])
    assert (result.chart.promoted, result.marked) == (0, {"type_of_born": 1})
    assert people.rows("SELECT _atlas_reasons FROM {quarantine}") == [
        ({"born": "its mask does not fit its type"},)
    ]


def test_a_value_that_does_not_fit_its_column_is_told_where_the_column_is_masked(
    people: Any,
) -> None:
    result = people.run([{**JANE, "born": "soon"}])
    assert (result.chart.promoted, result.marked) == (0, {"type_of_born": 1})
    ((reasons,),) = people.rows("SELECT _atlas_reasons FROM {quarantine}")
    assert set(reasons) == {"born"}
    assert "mask" not in reasons["born"]

    # Its mask is all right.
    people.masks["born"] = (ColumnType.BIGINT, lambda value: "1980")
    result = people.run([{**JANE, "born": "soon"}])
    assert (result.chart.promoted, result.marked) == (0, {"type_of_born": 1})


def test_rows_without_masks_are_not_promoted(people: Any, monkeypatch: Any) -> None:
    whole = people._mask
    monkeypatch.setattr(people, "_mask", lambda *given: whole(*given).slice(1))
    with pytest.raises(TerminalError, match="1 masked rows for 2 raw ones"):
        people.run([JANE, {**JANE, "id": 2}])


def test_rows_that_vanished_are_noticed(stream: Any) -> None:
    stream.run([{"id": 1, "v": 1}])
    columns = stream.last[0]
    segment = stream.rows("SELECT min(_atlas_id), max(_atlas_id) FROM {raw}")[0]
    (run,) = stream.last[2]
    with pytest.raises(TerminalError, match="2 rows were read and 1 are there"):
        filling.write(stream.cur, 1, stream.tables, run, columns, Segment(*segment, rows=2))


def test_staging_is_made_anew_and_dropped(stream: Any, cur: extensions.cursor) -> None:
    stream.run([{"id": 1, "v": 1}])
    columns = stream.last[0]
    staging.create(cur, 1, columns, {"v": ColumnType.TEXT})
    assert stream.rows("SELECT count(*) FROM {staging}") == [(0,)]
    assert staging.twins(cur, 1) == {"v": staging.Twin("_atlas_masked_0", ColumnType.TEXT)}
    staging.drop(cur, 1)
    staging.drop(cur, 1)
    assert staging.twins(cur, 1) == {}
