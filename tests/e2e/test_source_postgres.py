"""A PostgreSQL database of one's own, from `atlas apply` to the exact history of what it held."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812 - its name is lower-case
from psycopg2.extensions import parse_dsn

from tests.e2e.conftest import Atlas

SETUP = (Path(__file__).parents[1] / "connectors" / "postgres_types.sql").read_text()

# Column, type, values in turn, and how chart's text is made of the source's column. Most names are
# of one letter, as statements call their tables.
TYPES = [
    ("i2", "smallint", ["-32768", "7"], "i2"),
    ("i8", "bigint", ["9223372036854775807", "-9223372036854775808"], "i8"),
    ("o", "oid", ["4294967295"], "o"),
    ("n", "numeric", ["1234567890123456789012345678901234567890.1234", "'NaN'", "'Infinity'"], "n"),
    ("r", "real", ["0.1", "1e30", "'-inf'"], "r::text::numeric"),
    ("f", "double precision", ["0.30000000000000004", "1e300", "'nan'"], "f::text::numeric"),
    ("m", "money", ["'-12.50'"], "m::numeric"),
    ("b", "boolean", ["true", "false"], "b"),
    ("t", "text", [r"E'a\n\"\\é'", "''", "'NaN'"], "t"),
    ("s", "char(3)", ["'a'"], "rpad(s, 3)"),
    ("x", "bytea", [r"'\x00ff'"], "x"),
    ("d", "date", ["'2024-02-29'"], "d"),
    ("tm", "time", ["'23:59:59.999999'"], "tm"),
    ("tz", "timetz", ["'10:00:00+05:30'"], "tz"),
    ("ts", "timestamp", ["'2024-01-01 10:00:00.123456'"], "ts"),
    ("tt", "timestamptz", ["'2024-01-01 10:00:00.5+02'"], "tt"),
    ("c", "interval", ["'1 year 2 days 03:04:05.6'"], "c"),
    ("u", "uuid", ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"], "u"),
    ("j", "json", ['E\'{"b":1,\\n"a":12345678901234567890.10}\'', "'[1]'"], "j::jsonb"),
    ("jb", "jsonb", ['\'{"b": {"c": [null, "x"]}}\''], "jb"),
    ("a", "numeric[]", ["'{{1,2.50},{3,NULL}}'"], "to_jsonb(a)"),
    ("e", "mood", ["'so \"so\"'"], "e"),
    ("p", "place", ["ROW('a', 2, '2024-01-01Z')"], "to_jsonb(p)"),
    ("k", "tstzrange", ["'[2024-01-01Z,)'"], "k"),
    ("v", "vector", ["'[1,2.5]'"], "v"),
]


class Source:
    """A database beside Atlas's own, in the same server."""

    def __init__(self, connection: Connection, config: dict[str, Any]) -> None:
        self.connection = connection
        self.config = config

    def execute(self, statement: str) -> None:
        with self.connection.cursor() as cur:
            cur.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cur:
            cur.execute(query)
            return cur.fetchall()


@pytest.fixture
def source(atlas: Atlas) -> Iterator[Source]:
    name = f"source_{uuid.uuid4().hex[:8]}"
    admin = psycopg2.connect(atlas.engine.url.render_as_string(hide_password=False))
    admin.autocommit = True
    with admin.cursor() as cur:
        cur.execute(f"CREATE DATABASE {name}")
    given = {**parse_dsn(admin.dsn), "dbname": name}
    connection = psycopg2.connect(**given)
    connection.autocommit = True
    config = {
        "host": given["host"],
        "port": int(given.get("port", 5432)),
        "database": name,
        "username": given["user"],
    }
    yield Source(connection, config)
    connection.close()
    with admin.cursor() as cur:
        cur.execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


def connection_to(
    source: Source, name: str, streams: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "connector": "source-postgres",
        "config": source.config,
        "streams": streams,
        **more,
    }


def test_three_incremental_syncs_and_a_full_refresh(atlas: Atlas, source: Source) -> None:
    source.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, city_code text, amount numeric(40, 4),"
        " doc jsonb, changed timestamptz NOT NULL)"
    )
    clock = 0
    present: dict[int, tuple[Any, ...]] = {}
    history: list[list[Any]] = []  # key, values, opened by sync, closed by sync

    def put(*rows: tuple[int, str | None, str, int]) -> None:
        nonlocal clock
        for id_, code, amount, n in rows:
            clock += 1
            source.execute(
                f"INSERT INTO orders VALUES ({id_}, {'NULL' if code is None else repr(code)},"
                f" {amount}, '{{\"n\": {n}}}', '2024-01-01Z'::timestamptz + '{clock} s')"
                " ON CONFLICT (id) DO UPDATE SET city_code = excluded.city_code,"
                " amount = excluded.amount, doc = excluded.doc, changed = excluded.changed"
            )
            present[id_] = (code, amount, f'{{"n": {n}}}', clock)

    synced: list[str] = []

    def sync(*arguments: str, gone: tuple[int, ...] = ()) -> dict[str, Any]:
        document = atlas.sync("pgshop", *arguments)
        synced.append(document["run_id"])
        number = len(synced)
        open_ = {version[0]: version for version in history if version[3] is None}
        for id_, values in present.items():
            if id_ in open_ and open_[id_][1] != values:
                open_[id_][3] = number
            if id_ not in open_ or open_[id_][1] != values:
                history.append([id_, values, number, None])
        for id_ in gone:
            open_[id_][3] = number
        return dict(document["streams"][0]["rows"])

    def check() -> None:
        stamps = [
            stamp
            for run in synced
            for (stamp,) in atlas.rows(
                "SELECT extracted_at FROM pipeline.run WHERE id = :run", run=run
            )
        ]
        wanted = [
            (id_, *values, stamps[since - 1], until and stamps[until - 1], until is None)
            for id_, values, since, until in history
        ]
        found = atlas.rows(
            "SELECT id, city_code, CAST(amount AS text), CAST(doc AS text),"
            " CAST(extract(epoch FROM changed - '2024-01-01Z') AS int), valid_from, valid_to,"
            " is_current FROM navigate.pgshop_orders ORDER BY id, valid_from"
        )
        assert sorted(found, key=lambda row: (row[0], row[5])) == sorted(
            wanted, key=lambda row: (row[0], row[5])
        )
        current = atlas.rows("SELECT id, CAST(amount AS text) FROM chart.pgshop_orders ORDER BY 1")
        assert current == sorted((id_, values[1]) for id_, values in present.items())

    long = "123456789012345678901234567890123456.7891"
    put((1, "A", "1.5000", 1), (2, None, long, 2), (3, "C", "-0.0001", 3))
    streams = {"orders": {"sync_mode": "incremental", "cursor_field": ["changed"]}}
    columns = dict.fromkeys(("id", "city_code", "amount", "doc", "changed"), "keep")
    atlas.apply(connection_to(source, "pgshop", streams, pii={"columns": columns}))
    assert sync()["explore"] == 3
    put((1, "A", "9.0000", 1), (4, "D", "4.0000", 4), (2, "B", long, 2))
    assert sync()["explore"] == 4  # and the one at the cursor's value again
    put((4, "D", "4.0000", 5), (5, None, "0.0000", 0))
    assert sync()["explore"] == 3
    check()

    source.execute("DELETE FROM orders WHERE id IN (1, 5)")
    for id_ in (1, 5):
        del present[id_]
    assert sync("--full-refresh", gone=(1, 5))["explore"] == 3
    check()

    # And on from the state that the full refresh left: a key that was gone comes back.
    put((1, "Z", "7.0000", 7))
    assert sync()["explore"] == 2
    check()
    assert len(history) == 9


def test_every_type_through_chart(atlas: Atlas, source: Source) -> None:
    source.execute(SETUP)
    source.execute("SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'")
    columns = ", ".join(f"{name} {kind}" for name, kind, _, _ in TYPES)
    source.execute(f"CREATE TABLE kinds (id int PRIMARY KEY, {columns})")
    for number in range(3):
        values = ", ".join(values[number % len(values)] for _, _, values, _ in TYPES)
        source.execute(f"INSERT INTO kinds VALUES ({number}, {values})")
    source.execute(
        "INSERT INTO kinds (id, d) VALUES (3, NULL), (4, 'infinity'), (5, '0044-03-15 BC')"
    )
    keep = dict.fromkeys([name for name, _, _, _ in TYPES], "keep")
    atlas.apply(connection_to(source, "pgkinds", {"kinds": {}}, pii={"columns": keep}))
    atlas.sync("pgkinds")

    names = [name for name, _, _, _ in TYPES]
    wanted = source.rows(
        f"SELECT id, {', '.join(f'({made})::text' for _, _, _, made in TYPES)}"
        " FROM kinds WHERE id < 4 ORDER BY id"
    )
    found = atlas.rows(
        f"SELECT id, {', '.join(f'CAST({name} AS text)' for name in names)}"
        " FROM chart.pgkinds_kinds ORDER BY id"
    )
    for one, other in zip(wanted, found, strict=True):
        assert dict(zip(["id", *names], one, strict=True)) == dict(
            zip(["id", *names], other, strict=True)
        )
    # What is no date of ISO 8601 is set aside, with its reason.
    quarantine = atlas.rows("SELECT CAST(data AS text) FROM explore.pgkinds_kinds_raw ORDER BY 1")
    assert len(quarantine) == 6
    assert atlas.rows("SELECT count(*) FROM chart.pgkinds_kinds_quarantine") == [(2,)]
