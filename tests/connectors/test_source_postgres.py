"""source-postgres against a real server: what it finds and reads, in which order, from where."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import psycopg2
import pytest

from atlas.connectors.config import secrets, validate
from atlas.connectors.protocol import State
from atlas.connectors.reader import Records
from atlas.connectors.sources.postgres_spec import SPEC
from atlas.errors import UsageError
from atlas.model.stream import SyncMode
from atlas.settings import Settings
from tests.connectors.postgres_source import Database, reached


@pytest.fixture
def source(database_url: str, settings: Settings) -> Database:
    return Database(database_url, settings)


def ids(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["id"] for row in rows]


# --- spec, check, discover -----------------------------------------------------------------------


def test_a_configuration_of_airbytes_own_source_fits() -> None:
    config = {
        "host": "db.example",
        "port": 5432,
        "database": "shop",
        "username": "reader",
        "password": "very secret",
        "schemas": ["public", "sales"],
        "ssl_mode": {
            "mode": "verify-ca",
            "ca_certificate": "PEM",
            "client_key": "a secret key",
        },
        "replication_method": {"method": "Standard"},
        "tunnel_method": {"tunnel_method": "NO_TUNNEL"},
    }
    validate("shop", SPEC, config)
    assert set(secrets(SPEC, config)) == {"very secret", "a secret key"}
    with pytest.raises(UsageError, match=r"config\.replication_method\.method"):
        validate("shop", SPEC, {**config, "replication_method": {"method": "CDC"}})


def test_discover(source: Database) -> None:
    source.execute(
        """
        CREATE SCHEMA "Sales";
        CREATE TABLE "Sales"."Order Lines" (
            b int, a int NOT NULL, "Über" text, PRIMARY KEY (a, b) INCLUDE ("Über"));
        CREATE TABLE plain (doc jsonb NOT NULL, gone int);
        ALTER TABLE plain DROP COLUMN gone;
        CREATE TABLE parted (id int PRIMARY KEY, at date) PARTITION BY RANGE (id);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
        CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
        CREATE VIEW seen AS SELECT id FROM parted;
        CREATE MATERIALIZED VIEW kept AS SELECT id FROM parted;
        CREATE SEQUENCE numbers;
        CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int)
        """
    )
    found = source.discover(schemas=["Sales", "public"])
    assert sorted(found) == [
        "Sales.Order Lines", "public.kept", "public.parted", "public.plain", "public.seen",
    ]  # fmt: skip
    lines = found["Sales.Order Lines"]
    assert lines.source_defined_primary_key == (("a",), ("b",))
    assert list(lines.json_schema["properties"]) == ["b", "a", "Über"]
    assert lines.json_schema["properties"]["a"]["type"] == "number"
    assert lines.json_schema["properties"]["Über"]["type"] == ["null", "string"]
    assert found["public.parted"].source_defined_primary_key == (("id",),)
    assert found["public.plain"].supported_sync_modes == (SyncMode.FULL_REFRESH,)
    assert "null" in found["public.plain"].json_schema["properties"]["doc"]["type"]
    assert SyncMode.INCREMENTAL in found["public.seen"].supported_sync_modes


def test_partitions_are_read_through_their_parent(source: Database) -> None:
    source.execute(
        "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);"
        "INSERT INTO parted SELECT generate_series(5, 14)"
    )
    assert sorted(ids(source.rows("parted")[0])) == list(range(5, 15))


def test_what_may_not_be_read_is_no_stream(source: Database) -> None:
    name = source.config["database"]
    source.execute(
        f"CREATE ROLE {name}_r LOGIN; CREATE TABLE open (a int, b int); CREATE TABLE shut (a int);"
        f"GRANT SELECT (a) ON open TO {name}_r; INSERT INTO open VALUES (1, 2)"
    )
    try:
        source.config["username"] = f"{name}_r"
        found = source.discover()
        assert list(found) == ["public.open"]
        assert list(found["public.open"].json_schema["properties"]) == ["a"]
        assert source.read("open")[0] == [b'{"a":1}']
    finally:
        source.execute(f"DROP OWNED BY {name}_r; DROP ROLE {name}_r")


def test_starting_it_imports_nothing_heavy() -> None:
    program = (
        "import sys; from atlas.connectors.sources import postgres; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    theirs = set(done.stdout.decode().split()) - set(sys.stdlib_module_names)
    # what is in site-packages' own start-up (editable finders) begins with an underscore
    assert {name for name in theirs if not name.startswith("_")} <= {
        "atlas", "psycopg2", "distutils",
    }  # fmt: skip


# --- reading -------------------------------------------------------------------------------------


def test_full_refresh(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (id int, v text); INSERT INTO t SELECT g, 'x' || g FROM"
        " generate_series(1, 25000) g; ANALYZE t"
    )
    rows = 0
    with source.reader("t") as reader:
        for message in reader:
            rows += len(message) if isinstance(message, Records) else 0
    assert rows == 25000
    assert list(reader.estimates.values()) == [25000]
    assert list(reader.statuses.values()) == ["COMPLETE"]
    documents, states = source.read("t")
    assert documents[0] == b'{"id":1,"v":"x1"}'
    assert [state.record_count for state in states] == [25000]


def test_an_empty_table(source: Database) -> None:
    source.execute("CREATE TABLE t (id int)")
    assert source.rows("t")[0] == []
    rows, state = source.rows("t", cursor="id")
    assert (rows, reached(state)) == ([], None)
    source.execute("INSERT INTO t VALUES (1)")
    assert ids(source.rows("t", cursor="id", state=state)[0]) == [1]


def test_columns_named_as_the_query_names_things(source: Database) -> None:
    source.execute('CREATE TABLE t (t int, r int, r_ json, "select" int, "a""b" int)')
    source.execute("INSERT INTO t VALUES (1, 2, '3', 4, 5)")
    assert source.read("t")[0] == [b'{"t":1,"r":2,"r_":3,"select":4,"a\\"b":5}']


def test_only_the_columns_that_were_chosen(source: Database) -> None:
    source.execute("CREATE TABLE t (id int, a int, b int); INSERT INTO t VALUES (1, 2, 3)")
    assert source.read("t", columns=["b", "id"])[0] == [b'{"id":1,"b":3}']


def test_incremental_goes_on_at_its_value(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
        "INSERT INTO t VALUES (1, '2024-01-03'), (2, '2024-01-01'), (3, '2024-01-02')"
    )
    rows, state = source.rows("t", cursor="at")
    assert ids(rows) == [2, 3, 1]
    assert reached(state) == "2024-01-03T00:00:00+00:00"
    # The value that was reached comes again, for more rows of it may have come.
    source.execute("INSERT INTO t VALUES (4, '2024-01-03'), (5, '2024-01-02 12:00')")
    rows, state = source.rows("t", cursor="at", state=state)
    assert sorted(ids(rows)) == [1, 4]
    rows, _ = source.rows("t", cursor="at", state=state, lookback_seconds=12 * 3600)
    assert sorted(ids(rows)) == [1, 4, 5]


def test_states_come_in_the_cursors_order(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (id bigint, note text); INSERT INTO t SELECT g, repeat('n', 100)"
        " FROM generate_series(9000000000000000000 + 40000, 9000000000000000001, -1) g"
    )
    seen = 0
    last = ""
    states = 0
    with source.reader("t", cursor="id") as reader:
        for message in reader:
            if isinstance(message, Records):
                seen += len(message)
                last = json.loads(message.data[-1])["id"]
            elif isinstance(message, State):
                # exactly what came before it
                assert int(reached(message.blob)) == last == 9000000000000000000 + seen
                states += 1
    assert seen == 40000
    assert states >= 3


def test_a_state_amid_the_rows_is_gone_on_from(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (id int, note text);"
        "INSERT INTO t SELECT g, repeat('n', 100) FROM generate_series(1, 40000) g"
    )
    _, states = source.read("t", cursor="id")
    amid = states[1]
    rows, _ = source.rows("t", cursor="id", state=amid.blob)
    assert ids(rows) == list(range(int(reached(amid.blob)), 40001))


def test_rows_without_a_cursor_come_each_time(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (id int, at timestamp);"
        "INSERT INTO t VALUES (1, NULL), (2, '2024-01-01'), (3, 'infinity'), (4, '-infinity')"
    )
    rows, state = source.rows("t", cursor="at")
    assert ids(rows[:2]) == [4, 2]
    assert sorted(ids(rows[2:])) == [1, 3]
    # an infinite value is none to go on from
    assert reached(state) == "2024-01-01T00:00:00"
    source.execute("INSERT INTO t VALUES (5, '2024-01-02'), (6, NULL)")
    rows, state = source.rows("t", cursor="at", state=state)
    assert ids(rows[:2]) == [2, 5]
    assert sorted(ids(rows[2:])) == [1, 3, 6]
    assert reached(state) == "2024-01-02T00:00:00"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("smallint", ["-5", "7"]),
        ("bigint", ["-9223372036854775808", "9223372036854775807"]),
        ("oid", ["1", "4294967295"]),
        ("numeric", ["-1e40", "12345678901234567890123456789012345678.901"]),
        ("real", ["0.1", "0.3"]),
        ("double precision", ["0.1", "0.30000000000000004"]),
        ("date", ["0044-03-15 BC", "2024-01-01"]),
        ("timestamp", ["0044-03-15 BC", "2024-01-01 00:00:00.000001"]),
        ("timestamptz", ["2024-01-01 00:00:00+02", "2024-01-01 00:00:00.000001+00"]),
        ("text", ["a'b\"", "a\\é"]),
        ("varchar(3)", ["a", "b"]),
        ("char(5)", ["a", "abcd"]),
        ("uuid", ["018f0000-0000-7000-8000-000000000000", "018f0000-0000-7000-8000-00000000000a"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_cursor_type_goes_on_exactly(source: Database, kind: str, values: list[str]) -> None:
    source.execute(f"CREATE TABLE t (id int, c {kind})")
    source.execute("INSERT INTO t VALUES (1, %s), (2, %s)", *values)
    rows, state = source.rows("t", cursor="c", lookback_values=0)
    assert ids(rows) == [1, 2]
    rows, again = source.rows("t", cursor="c", state=state)
    assert ids(rows) == [2]
    assert reached(again) == reached(state)


def test_whole_numbers_look_back(source: Database) -> None:
    source.execute("CREATE TABLE t (id smallint); INSERT INTO t SELECT generate_series(1, 9)")
    _, state = source.rows("t", cursor="id")
    assert ids(source.rows("t", cursor="id", state=state, lookback_values=2)[0]) == [7, 8, 9]
    # below the least value of its type there is nothing
    assert len(source.rows("t", cursor="id", state=state, lookback_values=40000)[0]) == 9


@pytest.mark.parametrize(
    ("kind", "values", "lookback", "again"),
    [
        ("date", "('2024-01-01'), ('2024-01-02'), ('2024-01-04')", {"lookback_seconds": 86_401}, 2),
        ("timestamptz", "('2024-01-01'), ('2024-01-02')", {"lookback_seconds": 86_400}, 2),
        ("numeric", "(1.5), (2.5), (3.5)", {"lookback_values": 1}, 2),
        ("text", "('a'), ('b')", {"lookback_values": 1, "lookback_seconds": 1}, 1),
    ],
    ids=["date", "timestamptz", "numeric", "text"],
)
def test_how_far_each_cursor_looks_back(
    source: Database, kind: str, values: str, lookback: dict[str, int], again: int
) -> None:
    source.execute(f'CREATE TABLE t ("c%s" {kind}); INSERT INTO t VALUES {values}')
    _, state = source.rows("t", cursor="c%s")
    assert len(source.rows("t", cursor="c%s", state=state, **lookback)[0]) == again


def test_a_nan_holds_nothing_up(source: Database) -> None:
    source.execute("CREATE TABLE t (id int, n numeric); INSERT INTO t VALUES (1, 'NaN'), (2, 5)")
    rows, state = source.rows("t", cursor="n")
    assert (ids(rows), Decimal(reached(state))) == ([2, 1], 5)
    source.execute("INSERT INTO t VALUES (3, 6)")
    assert ids(source.rows("t", cursor="n", state=state)[0]) == [2, 3, 1]


def test_a_large_row_and_lines_of_any_length(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (id int, note text); INSERT INTO t SELECT g,"
        " repeat(md5(g::text), CASE g WHEN 500 THEN 160000 ELSE g END)"
        " FROM generate_series(1, 999) g"
    )
    rows, _ = source.rows("t", cursor="id")
    assert ids(rows) == list(range(1, 1000))
    assert len(rows[499]["note"]) == 5_120_000
    assert all(len(row["note"]) == 32 * row["id"] for row in rows if row["id"] != 500)


def test_a_stream_is_of_one_moment(source: Database, database_url: str) -> None:
    source.execute(
        "CREATE TABLE t (id int, note text);"
        "INSERT INTO t SELECT g, repeat('n', 2000) FROM generate_series(1, 20000) g"
    )
    writer = psycopg2.connect(database_url)
    found = []
    with source.reader("t", cursor="id") as reader:
        for message in reader:
            if isinstance(message, Records):
                if not found:
                    with writer, writer.cursor() as cur:
                        cur.execute("INSERT INTO t VALUES (20001, ''), (NULL, '')")
                found += [json.loads(document)["id"] for document in message.data]
    writer.close()
    assert found == list(range(1, 20001))
