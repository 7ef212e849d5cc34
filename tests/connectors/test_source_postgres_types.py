"""Every type of PostgreSQL comes out of source-postgres as the exact JSON it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atlas.layers.types import column_type
from atlas.model.stream import ColumnType as T
from atlas.settings import Settings
from tests.connectors.postgres_source import Database

SETUP = Path(__file__).with_name("postgres_types.sql").read_text()
DIGITS = "1234567890123456789012345678901234567890.1234"
CASES = [
    # type, what Atlas makes of it, and pairs of SQL and JSON
    ("smallint", T.BIGINT, [("-32768", "-32768"), ("32767", "32767")]),
    ("integer", T.BIGINT, [("-2147483648", "-2147483648")]),
    ("bigint", T.BIGINT, [("9223372036854775807", "9223372036854775807")]),
    ("oid", T.BIGINT, [("4294967295", "4294967295")]),
    ("positive", T.BIGINT, [("7", "7")]),
    (
        "numeric",
        T.NUMERIC,
        [
            (DIGITS, DIGITS),
            ("-0.000000000000000000001", "-0.000000000000000000001"),
            ("'1e30'", "1000000000000000000000000000000"),
            ("'NaN'", '"NaN"'),
            ("'Infinity'", '"Infinity"'),
            ("'-Infinity'", '"-Infinity"'),
        ],
    ),
    ("price", T.NUMERIC, [(DIGITS, DIGITS)]),
    ("real", T.NUMERIC, [("0.1", "0.1"), ("'NaN'", '"NaN"'), ("'-inf'", '"-Infinity"')]),
    (
        "double precision",
        T.NUMERIC,
        [
            ("0.1", "0.1"),
            ("1e300", "1e+300"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("'nan'", '"NaN"'),
            ("'inf'", '"Infinity"'),
        ],
    ),
    ("money", T.NUMERIC, [("'-1234567.89'", "-1234567.89")]),
    ("boolean", T.BOOLEAN, [("true", "true"), ("false", "false")]),
    ("text", T.TEXT, [(r"E'a\n\t\"b\\c\u00e9\U0001F600'", r'"a\n\t\"b\\cé😀"'), ("''", '""')]),
    ("varchar(9)", T.TEXT, [("'NaN'", '"NaN"')]),
    ("char(3)", T.TEXT, [("'a'", '"a  "')]),
    ('"char"', T.TEXT, [("'x'", '"x"')]),
    ("name", T.TEXT, [("'x'", '"x"')]),
    ("bytea", T.TEXT, [(r"'\x00ff5c'", r'"\\x00ff5c"')]),
    (
        "date",
        T.DATE,
        [
            ("'2024-02-29'", '"2024-02-29"'),
            ("'infinity'", '"infinity"'),
            ("'0044-03-15 BC'", '"0044-03-15 BC"'),
        ],
    ),
    ("time", T.TIME, [("'23:59:59.999999'", '"23:59:59.999999"')]),
    ("timetz", T.TIMETZ, [("'10:00:00+05:30'", '"10:00:00+05:30"')]),
    (
        "timestamp",
        T.TIMESTAMP,
        [
            ("'2024-01-01 10:00:00.123456'", '"2024-01-01T10:00:00.123456"'),
            ("'-infinity'", '"-infinity"'),
        ],
    ),
    (
        "timestamptz",
        T.TIMESTAMPTZ,
        [
            ("'2024-01-01 10:00:00.5+02'", '"2024-01-01T08:00:00.5+00:00"'),
            ("'infinity'", '"infinity"'),
            ("'0044-03-15 10:00:00+00 BC'", '"0044-03-15T10:00:00+00:00 BC"'),
        ],
    ),
    ("interval", T.TEXT, [("'1 year 2 days 03:04:05.6'", '"P1Y2DT3H4M5.6S"')]),
    (
        "uuid",
        T.TEXT,
        [
            (
                "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
                '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"',
            )
        ],
    ),
    (
        "json",
        T.JSONB,
        [
            (
                'E\'{"b":1,\\n\\t"a":1.50,\\r"a":[null,"x y"]}\'',
                '{"b":1, \t"a":1.50, "a":[null,"x y"]}',
            ),
            ("'null'", "null"),
        ],
    ),
    ("jsonb", T.JSONB, [(f"'{{\"n\":{DIGITS}}}'", f'{{"n": {DIGITS}}}'), ("'[1, 2]'", "[1, 2]")]),
    ("int[]", T.JSONB, [("'{{1,2},{3,NULL}}'", "[[1,2],[3,null]]"), ("'{}'", "[]")]),
    ("numeric[]", T.JSONB, [(f"'{{{DIGITS},NaN}}'", f'[{DIGITS},"NaN"]')]),
    ("text[]", T.JSONB, [("ARRAY['a\"b', NULL, E'\\n']", r'["a\"b",null,"\n"]')]),
    ("money[]", T.JSONB, [("'{1.5,-2}'", "[1.50,-2.00]")]),
    ("timestamptz[]", T.JSONB, [("'{2024-01-01 00:00+00}'", '["2024-01-01T00:00:00+00:00"]')]),
    ("bytea[]", T.JSONB, [("ARRAY['\\x00'::bytea]", r'["\\x00"]')]),
    ("jsonb[]", T.JSONB, [("ARRAY['{\"a\": 1}'::jsonb]", '[{"a": 1}]')]),
    ("json[]", T.JSONB, [("ARRAY[E'{\\n\"a\":1}'::json]", '[{ "a":1}]')]),
    ("mood[]", T.JSONB, [("ARRAY['sad']::mood[]", '["sad"]')]),
    ("vector[]", T.JSONB, [("ARRAY['[1,2]'::vector]", '["[1,2]"]')]),
    (
        "place[]",
        T.JSONB,
        [("ARRAY[ROW('x', 1, NULL)::place]", '[{"street":"x","no":1,"at":null}]')],
    ),
    ("notes", T.JSONB, [("ARRAY['x']", '["x"]')]),
    ("mood", T.TEXT, [("'so \"so\"'", r'"so \"so\""')]),
    (
        "place",
        T.JSONB,
        [("ROW('a', 2, '2024-01-01Z')", '{"street":"a","no":2,"at":"2024-01-01T00:00:00+00:00"}')],
    ),
    ("int4range", T.TEXT, [("'[1,5)'", '"[1,5)"'), ("'empty'", '"empty"')]),
    ("span", T.TEXT, [("'[0.5,1)'", '"[0.5,1)"')]),
    (
        "tstzrange",
        T.TEXT,
        [("'[2024-01-01Z,)'", r'"[\"2024-01-01 00:00:00+00\",)"')],
    ),
    ("int4multirange", T.TEXT, [("'{[1,2),[4,5)}'", '"{[1,2),[4,5)}"')]),
    ("inet", T.TEXT, [("'192.168.0.1/24'", '"192.168.0.1/24"')]),
    ("cidr", T.TEXT, [("'10.0.0.0/8'", '"10.0.0.0/8"')]),
    ("macaddr", T.TEXT, [("'08:00:2b:01:02:03'", '"08:00:2b:01:02:03"')]),
    ("bit(4)", T.TEXT, [("B'0101'", '"0101"')]),
    ("varbit", T.TEXT, [("B'010'", '"010"')]),
    ("point", T.TEXT, [("'(0.1,2)'", '"(0.1,2)"')]),
    ("polygon", T.TEXT, [("'((0,0),(1,1),(1,0))'", '"((0,0),(1,1),(1,0))"')]),
    # The embedded server is built without libxml, so there is no value to send.
    ("xml", T.TEXT, [("NULL", "null")]),
    ("tsvector", T.TEXT, [("'fat:2 cat'", r'''"'cat' 'fat':2"''')]),
    ("vector", T.TEXT, [("'[1,2.5]'", '"[1,2.5]"')]),
    ("int2vector", T.JSONB, [("'1 2'", "[1,2]")]),
    ("regclass", T.TEXT, [("'pg_class'", '"pg_class"')]),
    ("pg_lsn", T.TEXT, [("'16/B374D848'", '"16/B374D848"')]),
    ("jsonpath", T.TEXT, [("'$.a'", r'"$.\"a\""')]),
]


@pytest.fixture
def source(database_url: str, settings: Settings) -> Database:
    return Database(database_url, settings)


def test_each_type_comes_out_exactly(source: Database) -> None:
    source.execute(SETUP)
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(CASES))
    source.execute(f"CREATE TABLE types (id int, {columns})")
    expected: list[list[str]] = []
    for round_ in range(max(len(values) for _, _, values in CASES)):
        chosen = [values[round_ % len(values)] for _, _, values in CASES]
        source.execute(f"INSERT INTO types VALUES ({round_}, {', '.join(v for v, _ in chosen)})")
        expected.append([text for _, text in chosen])
    source.execute("INSERT INTO types VALUES (99)")
    expected.append(["null"] * len(CASES))

    documents, _ = source.read("types")
    for number, (document, texts) in enumerate(zip(documents, expected, strict=True)):
        pieces = "".join(f',"c{n}":{text}' for n, text in enumerate(texts))
        assert document.decode() == f'{{"id":{number if number < 6 else 99}{pieces}}}'
        json.loads(document)


def test_each_type_is_what_chart_makes_of_it(source: Database) -> None:
    source.execute(SETUP)
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(CASES))
    source.execute(f"CREATE TABLE types ({columns})")
    found = source.discover()["public.types"].json_schema["properties"]
    assert {CASES[n][0]: column_type(found[f"c{n}"]) for n in range(len(CASES))} == {
        kind: made for kind, made, _ in CASES
    }


def test_settings_of_the_role_change_nothing(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (at timestamptz, d date, m money, i interval, b bytea, f float8);"
        "INSERT INTO t VALUES ('2024-01-02 03:04:05Z', '2024-01-02', 1.5, '1 day', '\\x01', 0.1)"
    )
    before, _ = source.read("t")
    source.execute(
        f"ALTER DATABASE {source.config['database']} SET TimeZone = 'Asia/Kolkata';"
        f"ALTER DATABASE {source.config['database']} SET DateStyle = 'German';"
        f"ALTER DATABASE {source.config['database']} SET IntervalStyle = 'sql_standard';"
        f"ALTER DATABASE {source.config['database']} SET bytea_output = 'escape';"
        f"ALTER DATABASE {source.config['database']} SET extra_float_digits = -5"
    )
    assert source.read("t")[0] == before
    assert json.loads(before[0])["at"] == "2024-01-02T03:04:05+00:00"
