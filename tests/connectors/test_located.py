"""Which table or files a stream is: only what its config says for sure, and nothing secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atlas.connectors.located import Files, Table, located
from atlas.connectors.sources import files
from atlas.model.stream import StreamKey

CONFIG = {
    "host": "db.Example",
    "port": 5433,
    "database": "sales",
    "username": "reader",
    "password": "s3cret",
    "ssl_mode": {"mode": "require"},
}
ORDERS = StreamKey("orders", "public")


def _table(stream: StreamKey = ORDERS, **config: Any) -> Table | Files | None:
    return located("source-postgres", CONFIG | config, stream)


def _files(stream: str, **config: Any) -> str | None:
    found = located("source-files", config, StreamKey(stream))
    assert not isinstance(found, Table)
    return None if found is None else found.path


def test_a_table_is_told_with_its_database() -> None:
    assert _table() == Table("db.Example", 5433, "sales", "public", "orders")
    assert _table(StreamKey("Order Lines", "eu")) == Table(
        "db.Example", 5433, "sales", "eu", "Order Lines"
    )
    without = {name: value for name, value in CONFIG.items() if name != "port"}
    found = located("source-postgres", without, StreamKey("orders"))
    assert found == Table("db.Example", 5432, "sales", "public", "orders")


def test_a_password_that_is_a_reference_hides_no_table() -> None:
    assert _table(password="${env:SALES_PASSWORD}") == _table()


@pytest.mark.parametrize("host", ["10.0.0.7", "::1", "2001:DB8::7", "db_1"])
def test_an_address_is_a_host(host: str) -> None:
    assert isinstance(_table(host=host), Table)


@pytest.mark.parametrize(
    "config",
    [
        {"host": "${env:HOST}"},
        {"host": "${file:/run/host}"},
        {"host": "db-${env:REGION}.example"},
        {"port": "${env:PORT}"},
        {"database": "${env:DATABASE}"},
        {"database": "sales_${file:/run/stage}"},
        {"host": "/var/run/postgresql"},
        {"host": "@abstract"},
        {"host": ""},
        {"host": "a.example,b.example"},
        {"host": "reader:s3cret@db.example"},
        {"host": "reader:s3cret"},
        {"host": "fe80::1%eth0"},
        {"port": 0},
        {"database": "sales.eu"},
        {"database": "postgresql://reader:s3cret@db.example/sales"},
    ],
)
def test_no_table_where_it_is_not_sure(config: dict[str, Any]) -> None:
    assert _table(**config) is None


def test_names_with_a_dot_could_be_two_tables() -> None:
    assert _table(StreamKey("b", "a.b")) is None
    assert _table(StreamKey("a.b", "public")) is None


@pytest.mark.parametrize("connector", [None, "source-mysql", "source-file", "source-faker"])
def test_nothing_is_said_of_other_connectors(connector: str | None) -> None:
    assert located(connector, CONFIG | {"path": "/srv/orders.csv"}, StreamKey("orders")) is None


def test_one_file_is_the_stream_that_is_called_like_it() -> None:
    assert _files("orders", path="/srv/in/orders.csv") == "/srv/in/orders.csv"
    assert _files("orders", path="//srv//in/./orders.CSV.gz") == "/srv/in/orders.CSV.gz"
    # Of a directory only a look into it says which file the stream is; so may these be.
    assert _files("orders", path="/srv/in") is None
    assert _files("in", path="/srv/in") is None
    assert _files("part-0", path="/srv/orders.parquet") is None


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("orders/**/*.csv", "/srv/in/orders/**/*.csv"),
        ("orders/2024.csv", "/srv/in/orders/2024.csv"),
        ("orders/**/*", "/srv/in/orders"),
        ("orders/*", "/srv/in/orders"),
        ("**/*", "/srv/in"),
        ("*", "/srv/in"),
        ("*/*", "/srv/in/*"),
        ("/etc/passwd", None),
        ("../other/*.csv", None),
        ("orders/${env:YEAR}.csv", None),
    ],
)
def test_a_listed_stream_is_its_pattern_or_its_directory(glob: str, path: str | None) -> None:
    listed = [{"name": "events", "glob": "events.jsonl"}, {"name": "orders", "glob": glob}]
    assert _files("orders", path="/srv/in/", streams=listed) == path
    assert _files("gone", path="/srv/in/", streams=listed) is None


@pytest.mark.parametrize(
    "path",
    ["/srv/${env:A}/orders.csv", "/${file:/run/a}/orders.csv", "in/orders.csv", "/../orders.csv"],
)
def test_no_files_where_it_is_not_sure(path: str) -> None:
    assert _files("orders", path=path) is None
    listed = [{"name": "orders", "glob": "*.csv"}]
    assert _files("orders", path=path, streams=listed) is None


def test_the_source_reads_just_the_files_that_are_told(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.gz", "in/b.csv", "in/deep/c.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for config, below in (
        ({"path": str(tmp_path / "a.csv")}, ["a.csv"]),
        ({"path": str(tmp_path / "a.csv.gz")}, ["a.csv.gz"]),
        ({"streams": [{"name": "a", "glob": "in/**/*"}]}, ["in/b.csv", "in/deep/c.csv"]),
        ({"streams": [{"name": "a", "glob": "in/*.csv"}]}, ["in/b.csv"]),
    ):
        config = {"path": str(tmp_path), **config}
        (stream,) = files._streams(config)
        read = {file.path for file in stream.files}
        assert read == {tmp_path / name for name in below}
        told = _files(stream.name, **config)
        assert told is not None
        there = Path(told)
        everything = (
            there.rglob("*") if there.is_dir() else tmp_path.glob(str(there.relative_to(tmp_path)))
        )
        assert {path for path in everything if path.is_file()} == read
