"""Types: what a schema becomes, what fits exactly, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from atlas.errors import TerminalError
from atlas.layers import explore, types
from atlas.model.stream import ColumnType as T
from atlas.model.stream import Segment

MAKE = Callable[..., Any]
STAMP = {"type": "string", "format": "date-time"}
PLAIN_STAMP = {**STAMP, "airbyte_type": "timestamp_without_timezone"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, T.BIGINT),
        ({"type": ["null", "integer"]}, T.BIGINT),
        ({"type": "integer", "airbyte_type": "big_integer"}, T.NUMERIC),
        ({"type": "number"}, T.NUMERIC),
        ({"type": "number", "airbyte_type": "integer"}, T.BIGINT),
        ({"type": "boolean"}, T.BOOLEAN),
        ({"type": "string"}, T.TEXT),
        ({"type": "string", "format": "email"}, T.TEXT),
        ({"type": "string", "format": "date"}, T.DATE),
        (STAMP, T.TIMESTAMPTZ),
        ({**STAMP, "airbyte_type": "timestamp_with_timezone"}, T.TIMESTAMPTZ),
        (PLAIN_STAMP, T.TIMESTAMP),
        ({"type": "string", "format": "time"}, T.TIMETZ),
        ({"type": "string", "airbyte_type": "time_without_timezone"}, T.TIME),
        ({"type": "string", "airbyte_type": "big_number"}, T.NUMERIC),
        ({"type": "object"}, T.JSONB),
        ({"type": ["null", "array"]}, T.JSONB),
        ({"type": ["integer", "number"]}, T.NUMERIC),
        ({"type": ["string", "integer"]}, T.TEXT),
        ({"type": ["boolean", "integer"]}, T.TEXT),
        ({"type": ["string", "object"]}, T.JSONB),
        ({}, T.JSONB),
        (True, T.JSONB),
        ({"type": "null"}, T.JSONB),
        ({"oneOf": [{"type": "null"}, {"type": "string", "format": "date"}]}, T.DATE),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, T.TEXT),
        ({"anyOf": [{"type": "integer"}, {}]}, T.JSONB),
        ({"type": "string", "oneOf": [{"format": "date"}]}, T.TEXT),
        ({"enum": ["a", "b", None]}, T.TEXT),
        ({"const": 1}, T.BIGINT),
        ({"$ref": "#/definitions/x"}, T.JSONB),
        ({"type": "whatever"}, T.JSONB),
    ],
)
def test_schema(schema: Any, expected: T) -> None:
    assert types.column_type(schema) is expected


def test_widening_is_a_join() -> None:
    for a, b in product(T, T):
        assert types.widen(a, b) is types.widen(b, a)
        assert types.widen(a, types.widen(a, b)) is types.widen(a, b)
    for a, b, c in product(T, T, T):
        assert types.widen(types.widen(a, b), c) is types.widen(a, types.widen(b, c))


D40 = "1234567890123456789012345678901234567890.123"
INT, NUM, BOOL, TEXT = ({"type": t} for t in ("integer", "number", "boolean", "string"))
DATE = {"type": "string", "format": "date"}
TIME = {"type": "string", "airbyte_type": "time_without_timezone"}
TIMETZ = {"type": "string", "airbyte_type": "time_with_timezone"}
WRONG = object()


VALUES: list[tuple[Any, str, Any]] = [
    (INT, "1", "1"),
    (INT, "-0", "0"),
    (INT, "1.0", "1"),
    (INT, "1e3", "1000"),
    (INT, '"42"', "42"),
    (INT, "9223372036854775807", "9223372036854775807"),
    (INT, "-9223372036854775808", "-9223372036854775808"),
    (INT, "9223372036854775808", WRONG),
    (INT, "-9223372036854775809", WRONG),
    (INT, "1e100", WRONG),
    (INT, "1.5", WRONG),
    (INT, "true", WRONG),
    (INT, '"1_000"', WRONG),
    (INT, '"0x1F"', WRONG),
    (INT, '" 1"', WRONG),
    (INT, '""', WRONG),
    (INT, "[1]", WRONG),
    (INT, "null", None),
    (NUM, "0.1", "0.1"),
    (NUM, D40, D40),
    (NUM, f'"{D40}"', D40),
    (NUM, "1e-7", "0.0000001"),
    (NUM, "10.50", "10.50"),
    (NUM, "12345678901234567890123456789012345678901234567890", "1234567890" * 5),
    (NUM, '"NaN"', "NaN"),
    (NUM, '"Infinity"', "Infinity"),
    (NUM, '"-Infinity"', "-Infinity"),
    (NUM, '"inf"', WRONG),
    (NUM, '"nan"', WRONG),
    (NUM, '"1_0"', WRONG),
    (NUM, "false", WRONG),
    (NUM, '"-"', WRONG),
    (NUM, '"."', WRONG),
    (BOOL, "true", "true"),
    (BOOL, "false", "false"),
    (BOOL, '"true"', WRONG),
    (BOOL, "1", WRONG),
    (TEXT, '"a"', "a"),
    (TEXT, '""', ""),
    (TEXT, "1.10", "1.10"),
    (TEXT, "true", "true"),
    (TEXT, '{"a": [1, null]}', '{"a": [1, null]}'),
    (TEXT, '"now"', "now"),
    (DATE, '"2024-02-29"', "2024-02-29"),
    (DATE, '"20240229"', "2024-02-29"),
    (DATE, '"2024-02-29T00:00:00Z"', "2024-02-29"),
    (DATE, '"2024-02-29T00:00:00.000+00:00"', "2024-02-29"),
    (DATE, '"2024-02-29T00:00:01Z"', WRONG),
    (DATE, "20240229", WRONG),
    (DATE, '"2023-02-29"', WRONG),
    (DATE, '"29.02.2024"', WRONG),
    (DATE, '"02/29/2024"', WRONG),
    (DATE, '"2024-2-9"', WRONG),
    (DATE, '"Feb 29, 2024"', WRONG),
    *((DATE, f'"{word}"', WRONG) for word in ("now", "today", "infinity", "epoch", "")),
    (STAMP, '"2024-02-29T12:30:45Z"', "2024-02-29 12:30:45+00"),
    (STAMP, '"2024-02-29T12:30:45.123456Z"', "2024-02-29 12:30:45.123456+00"),
    (STAMP, '"2024-02-29t12:30:45z"', "2024-02-29 12:30:45+00"),
    (STAMP, '"2024-02-29 12:30:45+02:00"', "2024-02-29 10:30:45+00"),
    (STAMP, '"2024-02-29T12:30:45.5-0530"', "2024-02-29 18:00:45.5+00"),
    (STAMP, '"2024-02-29T12:30:45+02"', "2024-02-29 10:30:45+00"),
    (STAMP, '"2024-02-29T12:30"', "2024-02-29 12:30:00+00"),
    (STAMP, '"2024-02-29T12:30:45"', "2024-02-29 12:30:45+00"),
    (STAMP, '"2024-02-29"', "2024-02-29 00:00:00+00"),
    (STAMP, '"20240229T123045Z"', "2024-02-29 12:30:45+00"),
    (STAMP, "1700000000", WRONG),
    (STAMP, "20240229", WRONG),
    (STAMP, '"1700000000"', WRONG),
    (STAMP, '"2024-02-30T00:00:00Z"', WRONG),
    (STAMP, '"2024-02-29T25:00:00Z"', WRONG),
    (STAMP, '"2024-02-29T12:30:45 UTC"', WRONG),
    (STAMP, '"2024-02-29T12:30:45Z\\n"', WRONG),
    (STAMP, '"2024-02-29T12:30:45+5"', WRONG),
    (STAMP, '"2024-02-29T12:30:45.Z"', WRONG),
    (STAMP, '"Thu, 29 Feb 2024 12:30:45 GMT"', WRONG),
    *((STAMP, f'"{word}"', WRONG) for word in ("now", "infinity", "-infinity", "epoch")),
    (PLAIN_STAMP, '"2024-02-29T12:30:45"', "2024-02-29 12:30:45"),
    (PLAIN_STAMP, '"2024-02-29T12:30:45+02:00"', "2024-02-29 10:30:45"),
    (PLAIN_STAMP, '"allballs"', WRONG),
    (TIME, '"12:30:45.5"', "12:30:45.5"),
    (TIME, '"12:30:45+02:00"', "10:30:45"),
    (TIME, '"allballs"', WRONG),
    (TIME, '"noon"', WRONG),
    (TIMETZ, '"12:30:45+02:00"', "12:30:45+02"),
    (TIMETZ, '"12:30:45"', "12:30:45+00"),
    (TIMETZ, '"25:00:00"', WRONG),
    ({}, '"a"', '"a"'),
    ({}, "null", None),
    ({"type": "array"}, "[1, {}]", "[1, {}]"),
]


def test_values(make: MAKE) -> None:
    """Each case is a column of one record."""
    stream = make({f"v{n}": schema for n, (schema, _, _) in enumerate(VALUES)})
    record = ", ".join(f'"v{n}": {json}' for n, (_, json, _) in enumerate(VALUES))
    result = stream.run([b"{" + record.encode() + b"}"])
    assert result.chart.quarantined == 1
    names = ", ".join(f"v{n}::text" for n in range(len(VALUES)))
    ((*values, errors),) = stream.rows(f"SELECT {names}, _atlas_errors FROM {{staging}}")
    wrong = {f"v{n}" for n, (_, _, expected) in enumerate(VALUES) if expected is WRONG}
    cases = [(schema.get("format"), json) for schema, json, _ in VALUES]
    expected = [None if value is WRONG else value for _, _, value in VALUES]
    assert list(zip(cases, values, strict=True)) == list(zip(cases, expected, strict=True))
    assert set(errors) == wrong
    ((checks,),) = stream.rows("SELECT _atlas_checks FROM {quarantine}")
    assert set(checks) == {f"type_of_{name}" for name in wrong}
    ((quarantined, reasons),) = stream.rows(
        "SELECT to_jsonb(q), _atlas_reasons FROM {quarantine} q"
    )
    assert reasons == errors
    assert all(quarantined[name] is None for name in wrong)
    day = VALUES.index((DATE, '"02/29/2024"', WRONG))
    assert reasons[f"v{day}"] == "not a date of ISO 8601"
    assert "02/29/2024" not in str(reasons)


SAME = [
    (INT, ["1", "1.0", "1e0", '"01"', "10e-1", '"+1"'], "1"),
    (INT, ["0", "-0", "0.0", '"-0"', "0e5"], "0"),
    (INT, ["9223372036854775807", '"9223372036854775807.0"'], "9223372036854775807"),
    (INT, ["9223372036854775808"], "9223372036854775808"),
    (INT, ['"x"'], "x"),
    (NUM, ["1.5", "1.50", "15e-1", '"001.500"'], "1.5"),
    (NUM, ["0", "-0", "-0.00", '"0e9"'], "0"),
    (NUM, [D40, f'"0{D40}00"', f"{D40}e0"], D40),
    (NUM, ["1e21", "1000000000000000000000.0"], "1" + "0" * 21),
    (NUM, ['"NaN"'], "NaN"),
    (NUM, ['"Infinity"'], "Infinity"),
    (NUM, ['"infinity"'], "infinity"),
    (BOOL, ["true"], "true"),
    (BOOL, ['"true"'], '"true"'),
    (DATE, ['"1990-05-17"', '"19900517"', '"1990-05-17T00:00:00Z"'], "1990-05-17"),
    (DATE, ["19900517"], "19900517"),
    (DATE, ['"17.5.1990"'], "17.5.1990"),
    (
        STAMP,
        ['"1990-05-17T00:30:00Z"', '"1990-05-17T02:30:00.000+02:00"', '"19900517T003000Z"'],
        "1990-05-17 00:30:00+00",
    ),
    (STAMP, ['"9999-12-31T23:59:59.9999999Z"'], "10000-01-01 00:00:00+00"),
    (STAMP, ['"0001-01-01T00:00:00+01:00"'], "0001-12-31 23:00:00+00 BC"),
    (STAMP, ['"infinity"'], "infinity"),
    (PLAIN_STAMP, ['"1990-05-17T02:30:00+02:00"', '"1990-05-17 00:30"'], "1990-05-17 00:30:00"),
    (TIME, ['"12:30"', '"12:30:00.0"', '"14:30+02:00"'], "12:30:00"),
    (TIMETZ, ['"12:30+02"', '"12:30:00.0+02:00"'], "12:30:00+02"),
    (TEXT, ["1.50"], "1.50"),
    (TEXT, ['"01"'], "01"),
    (INT, ["null"], None),
]
"""What spellings of a value of a type are given as, where they have to be one text."""


def test_spellings_of_a_value_are_one_text(make: MAKE) -> None:
    """It is the text that the typed column has, and what does not fit stays as it was sent."""
    cases = [
        (schema, spelled, expected) for schema, spellings, expected in SAME for spelled in spellings
    ]
    stream = make({f"v{n}": schema for n, (schema, _, _) in enumerate(cases)})
    record = ", ".join(f'"v{n}": {spelled}' for n, (_, spelled, _) in enumerate(cases))
    result = stream.run([b"{" + record.encode() + b"}"])
    (rows,) = stream.rows("SELECT min(_atlas_id), max(_atlas_id), count(*) FROM {raw}")
    columns, named = stream.last[0], {f"v{n}" for n in range(len(cases))}
    batch = explore.read(stream.cur, stream.tables, result.run_id, Segment(*rows), columns, named)
    given = [batch.column(f"v{n}")[0].as_py() for n in range(len(cases))]
    said = [(spelled, text) for (_, spelled, _), text in zip(cases, given, strict=True)]
    assert said == [(spelled, expected) for _, spelled, expected in cases]
    names = ", ".join(
        f"trim_scale(v{n})::text" if schema is NUM else f"v{n}::text"
        for n, (schema, _, _) in enumerate(cases)
    )
    ((*typed, errors),) = stream.rows(f"SELECT {names}, _atlas_errors FROM {{staging}}")
    fit = [n for n in range(len(cases)) if f"v{n}" not in errors]
    assert [given[n] for n in fit] == [typed[n] for n in fit]


def test_exact_types_reach_python(make: MAKE) -> None:
    stream = make({"n": NUM, "i": INT})
    stream.run([f'{{"n": {D40}, "i": 9007199254740993}}'.encode()])
    assert stream.rows("SELECT n, i FROM {navigate}") == [(Decimal(D40), 9007199254740993)]


def test_one_bad_value_fails_its_row_only(make: MAKE) -> None:
    stream = make({"id": INT, "a": INT, "b": DATE}, primary_key=(("id",),))
    result = stream.run([{"id": 1, "a": "x", "b": "now"}, {"id": 2, "a": 1}, b"[1, 2]"])
    assert (result.chart.promoted, result.chart.quarantined) == (1, 2)
    assert result.marked == {
        "type_of_a": 1,
        "type_of_b": 1,
        "record_is_object": 1,
        "key_not_null": 1,
    }


def test_wide_streams(make: MAKE) -> None:
    """Too wide for a SELECT of all steps' values: the same rules hold."""
    stream = make({f"c{n}": TEXT for n in range(1200)} | {"n": INT, "at": STAMP}, name="wide")
    record = {f"c{n}": "x" for n in range(1200)}
    at = {"at": "2024-01-01T00:00:00Z"}
    stream.run([record | at, record | {"n": "x"}, record | {"at": "2024-01-01T01:00:00+01:00"}])
    assert (
        stream.rows("SELECT c0, c1199, n, at::text FROM {navigate}")
        == [("x", "x", None, "2024-01-01 00:00:00+00")] * 2
    )
    assert stream.rows("SELECT count(DISTINCT _atlas_row_hash) FROM {chart}") == [(1,)]
    assert stream.rows("SELECT _atlas_reasons FROM {quarantine}") == [({"n": "not a number"},)]


def test_too_wide_streams_are_refused(make: MAKE) -> None:
    stream = make({f"c{n}": TEXT for n in range(1700)}, name="wide")
    with pytest.raises(TerminalError, match="1700 columns"):
        stream.run([{}])


@pytest.mark.parametrize("kind", list(T))
def test_a_type_has_a_schema(kind: T) -> None:
    assert types.column_type(types.schema_of(kind)) is kind


@pytest.mark.parametrize("kind", ["number", "integer"])
def test_a_number_beyond_numeric_is_quarantined_with_its_reason(make: MAKE, kind: str) -> None:
    """Explore keeps it as text (the source's digits)."""
    why = {"number": "out of the range of numeric", "integer": "not a whole number of 64 bits"}
    stream = make({"id": {"type": "integer"}, "n": {"type": kind}, "t": TEXT})
    stream.run([{"id": 1, "n": "1e200000"}, {"id": 2, "n": 1, "t": "1e200000"}])
    assert stream.rows("SELECT id, t FROM {navigate}") == [(2, "1e200000")]
    assert stream.rows("SELECT _atlas_reasons FROM {quarantine}") == [({"n": why[kind]},)]
