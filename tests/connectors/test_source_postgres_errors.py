"""source-postgres when something is wrong: which error, of which kind, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from atlas.connectors import runner
from atlas.connectors.configure import configure
from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.errors import TerminalError, TransientError
from atlas.settings import Settings
from tests.connectors.postgres_source import Database, reached


@pytest.fixture
def source(database_url: str, settings: Settings) -> Database:
    return Database(database_url, settings)


def test_check_says_what_is_wrong(source: Database) -> None:
    def wrong(text: str, **config: Any) -> None:
        with pytest.raises(TerminalError, match=text):
            runner.check(source.connector, {**source.config, **config}, source.settings)

    wrong("no table or view that this user may read")
    wrong("schemas nowhere", schemas=["public", "nowhere"])
    wrong('database "nowhere" does not exist', database="nowhere")
    wrong('role "nobody_here" does not exist', username="nobody_here")
    wrong("reads by a cursor", replication_method={"method": "CDC"})
    wrong("opens no tunnel", tunnel_method={"tunnel_method": "SSH_KEY_AUTH"})
    source.execute("CREATE TABLE t (id int)")
    runner.check(source.connector, source.config, source.settings)


def test_a_server_that_is_away_is_transient(source: Database) -> None:
    config = {**source.config, "host": "127.0.0.1", "port": 1}
    with pytest.raises(TransientError, match="Connection refused"):
        runner.check(source.connector, config, source.settings)


def failing(source: Database, table: str, **more: Any) -> str:
    with source.reader(table, **more) as reader:
        with pytest.raises((TerminalError, TransientError)) as found:
            list(reader)
    assert list(reader.statuses.values()) == ["INCOMPLETE"]
    return f"{found.type.__name__}: {found.value}"


def test_a_cursor_that_cannot_be_one(source: Database) -> None:
    source.execute("CREATE TABLE t (id int, b bytea, flag boolean)")
    assert "TerminalError" in (error := failing(source, "t", cursor="b"))
    assert "column b cannot be a cursor" in error
    assert "none of the columns" in failing(source, "t", cursor="id", columns=["b"])


def test_the_state_of_another_cursor(source: Database) -> None:
    source.execute("CREATE TABLE t (id int, n int); INSERT INTO t VALUES (1, 1)")
    _, state = source.rows("t", cursor="n")
    assert "reset the stream's state" in failing(source, "t", cursor="id", state=state)


def test_a_table_that_went_holds_back_no_other(source: Database) -> None:
    source.execute("CREATE TABLE a (id int); CREATE TABLE z (id int); INSERT INTO z VALUES (1)")
    found = runner.discover(source.connector, source.config, source.settings)
    source.execute("DROP TABLE a")
    rows = []

    def read() -> None:
        rows.extend(message for message in reader if isinstance(message, Records))

    with Reader(source.connector, source.config, configure(found), [], source.settings) as reader:
        with pytest.raises(TerminalError, match=r"public\.a: it does not exist"):
            read()
    assert [records.data for records in rows] == [[b'{"id":1}']]
    assert {str(k): v for k, v in reader.statuses.items()} == {
        "public.a": "INCOMPLETE",
        "public.z": "COMPLETE",
    }


def test_it_never_writes(source: Database) -> None:
    source.execute(
        "CREATE TABLE log (id int); CREATE FUNCTION noted() RETURNS int LANGUAGE sql AS"
        " 'INSERT INTO log VALUES (1) RETURNING id'; CREATE VIEW v AS SELECT noted() AS id"
    )
    assert "which this source never does" in failing(source, "v")
    assert source.rows("log")[0] == []


def test_an_error_quotes_no_value(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (v text); INSERT INTO t VALUES ('private');"
        "CREATE VIEW broken AS SELECT v::int AS id FROM t"
    )
    error = failing(source, "broken")
    assert "SQLSTATE 22P02" in error
    assert "private" not in error


def test_a_connection_that_breaks_is_transient(source: Database) -> None:
    source.execute(
        "CREATE TABLE t (id int, note text);"
        "INSERT INTO t SELECT g, repeat('n', 2000) FROM generate_series(1, 40000) g"
    )
    states = []

    def read() -> None:
        for message in reader:
            if isinstance(message, State):
                states.append(message.blob)
                source.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
                    " current_database() AND application_name = 'atlas source-postgres'"
                )

    with source.reader("t", cursor="id") as reader:
        with pytest.raises(TransientError, match=r"terminating|connection was lost"):
            read()
    assert list(reader.statuses.values()) == ["INCOMPLETE"]
    rows, _ = source.rows("t", cursor="id", state=states[-1])
    assert rows[0]["id"] == int(reached(states[-1]))
    assert rows[-1]["id"] == 40000
