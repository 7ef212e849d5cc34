"""source-files as Atlas runs it: formats, exact values, files that come, change and are broken."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from atlas.connectors import install, runner
from atlas.connectors.config import validate
from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.errors import TerminalError, UsageError
from atlas.layers import types
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings


class Source:
    """source-files over a directory."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self.settings = settings
        self.connector = install.resolve("source-files", None, settings)
        self.path = path
        self.failures: dict[StreamKey, str] = {}

    def config(self, **more: Any) -> dict[str, Any]:
        return {"path": str(self.path), **more}

    def discover(self, **more: Any) -> dict[str, dict[str, Any]]:
        found = runner.discover(self.connector, self.config(**more), self.settings)
        assert all(stream.source_defined_cursor for stream in found)
        return {stream.key.name: stream.json_schema["properties"] for stream in found}

    def read(self, states: dict[Any, bytes] | None = None, **more: Any) -> dict[str, list[Any]]:
        """Rows by stream, as JSON text; ``states`` are given and then hold what was reached."""
        found = runner.discover(self.connector, self.config(**more), self.settings)
        mode = SyncMode.FULL_REFRESH if states is None else SyncMode.INCREMENTAL
        streams = [
            ConfiguredStream(item.key, item.json_schema, mode, item.default_cursor_field)
            if mode is SyncMode.INCREMENTAL
            else ConfiguredStream(item.key, item.json_schema, mode)
            for item in found
        ]
        rows: dict[str, list[Any]] = {item.key.name: [] for item in found}
        given = list((states or {}).values())
        with Reader(self.connector, self.config(**more), streams, given, self.settings) as reader:
            for message in reader:
                if isinstance(message, Records):
                    rows[message.stream.name] += [row.decode() for row in message.data]
                elif isinstance(message, State) and states is not None:
                    states[message.stream] = message.blob
        self.failures = reader.failures
        return rows


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Source:
    path = tmp_path / "in"
    path.mkdir()
    return Source(settings, path)


def _plain(rows: list[str]) -> list[dict[str, Any]]:
    """Rows without what the source adds."""
    read = [json.loads(row, parse_float=Decimal) for row in rows]
    return [{k: v for k, v in row.items() if not k.startswith("_ab_")} for row in read]


def test_csv_is_exact(source: Source) -> None:
    (source.path / "orders.csv").write_text(
        "id;zip;amount;paid;day;at;note\n"
        '1;00123;12345678901234567890.12;TRUE;2026-01-01;2026-01-01T10:00:00Z;"two\nlines; ""x"""\n'
        "98765432109876543210;1000;-0.10;false;;2026-01-01 10:00:00+02:00;ø\n"
    )
    schemas = source.discover()["orders"]
    kinds = {name: types.column_type(schema).value for name, schema in schemas.items()}
    assert kinds == {
        "id": "numeric",  # one of them is beyond 64 bit
        "zip": "text",
        "amount": "numeric",
        "paid": "boolean",
        "day": "date",
        "at": "timestamp with time zone",
        "note": "text",
        "_ab_source_file_url": "text",
        "_ab_source_file_row": "bigint",
        "_ab_source_file_last_modified": "timestamp with time zone",
    }
    rows = source.read()["orders"]
    assert '"amount":12345678901234567890.12' in rows[0]
    assert '"id":98765432109876543210' in rows[1]
    assert '"amount":-0.10' in rows[1]
    one, two = _plain(rows)
    assert (one["zip"], one["paid"], one["note"]) == ("00123", True, 'two\nlines; "x"')
    assert (two["day"], two["note"]) == (None, "ø")
    last = json.loads(rows[1])
    assert (last["_ab_source_file_url"], last["_ab_source_file_row"]) == ("orders.csv", 2)


def test_a_value_that_does_not_fit_stays_what_it_is(source: Source) -> None:
    rows = [f"{n}" for n in range(10_001)] + ["unknown"]
    (source.path / "n.csv").write_text("n\n" + "\n".join(rows) + "\n")
    assert _plain(source.read()["n"])[-2:] == [{"n": 10_000}, {"n": "unknown"}]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("bom.csv", "﻿a,b\n1,é\n".encode(), {}),
        ("latin.csv", "a,b\n1,é\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("wide.csv", "a,b\n1,é\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("packed.csv.gz", gzip.compress("a,b\n1,é\n".encode(), mtime=0), {}),
        ("tabs.tsv", "a\tb\n1\té\n".encode(), {}),
        ("pipes.csv", "a|b\r\n1|é\r\n".encode(), {"delimiter": "|"}),
        ("bare.csv", "1,é\n".encode(), {"header": False}),
    ],
    ids=["mark", "latin-1", "utf-16", "gzip", "tabs", "pipes", "no header"],
)
def test_csv_of_every_kind(
    source: Source, name: str, content: bytes, options: dict[str, Any]
) -> None:
    (source.path / name).write_bytes(content)
    ((_, rows),) = source.read(**options).items()
    assert [list(row.values()) for row in _plain(rows)] == [[1, "é"]]


def test_json_lines_are_left_as_they_are(source: Source) -> None:
    lines = ['{"id": 1, "deep": {"n": 1.10}, "when": "2026-01-01"}', "", '{"id": 2, "tags": ["a"]}']
    (source.path / "events.jsonl").write_text("\n".join(lines) + "\n")
    schemas = source.discover()["events"]
    kinds = {name: types.column_type(schema).value for name, schema in schemas.items()}
    assert (kinds["id"], kinds["deep"], kinds["when"], kinds["tags"]) == (
        "bigint",
        "jsonb",
        "date",
        "jsonb",
    )
    rows = source.read()["events"]
    assert '"deep":{"n": 1.10}' in rows[0]
    assert [row["id"] for row in _plain(rows)] == [1, 2]


def test_parquet_of_every_type(source: Source) -> None:
    utc = dt.UTC
    when = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC).replace(tzinfo=None)
    table = pa.table(
        {
            "small": pa.array([-1, None], pa.int8()),
            "big": pa.array([2**64 - 1, 0], pa.uint64()),
            "price": pa.array([Decimal("12345678901234567890123.45"), None], pa.decimal128(38, 2)),
            "share": pa.array([0.1, float("nan")], pa.float64()),
            "yes": pa.array([True, None]),
            "text": pa.array(['a"b', None]),
            "raw": pa.array([b"\x00\xff", None]),
            "day": pa.array([dt.date(2026, 1, 2), None]),
            "local": pa.array([when, None], pa.timestamp("us")),
            "instant": pa.array([when.replace(tzinfo=utc), None], pa.timestamp("us", "UTC")),
            "nano": pa.array([1767322245678901234, None], pa.timestamp("ns")),
            "of_day": pa.array([when.time(), None], pa.time64("us")),
            "list": pa.array([[1, None], None]),
            "struct": pa.array([{"a": Decimal("1.5")}, None]),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "nothing": pa.array([[], None], pa.map_(pa.string(), pa.int64())),
            "far": pa.array([4_000_000, None], pa.date32()),
            "word": pa.array(["x", None]).dictionary_encode(),
        }
    )
    parquet.write_table(table, source.path / "t.parquet")
    kinds = {
        name: types.column_type(schema).value for name, schema in source.discover()["t"].items()
    }
    assert (kinds["price"], kinds["big"]) == ("numeric", "numeric")
    assert (kinds["local"], kinds["instant"]) == (
        "timestamp without time zone",
        "timestamp with time zone",
    )
    one, two = _plain(source.read()["t"])
    assert one == {
        "small": -1,
        "big": 2**64 - 1,
        "price": Decimal("12345678901234567890123.45"),
        "share": Decimal("0.1"),
        "yes": True,
        "text": 'a"b',
        "raw": "AP8=",
        "day": "2026-01-02",
        "local": "2026-01-02T03:04:05.678901",
        "instant": "2026-01-02T03:04:05.678901+00:00",
        "nano": "2026-01-02T02:50:45.678901234",
        "of_day": "03:04:05.678901",
        "list": [1, None],
        "struct": {"a": Decimal("1.5")},
        "map": {"k": 1},
        "nothing": {},
        "far": "12921-08-18",
        "word": "x",
    }
    assert two == {**dict.fromkeys(one), "big": 0, "share": "NaN"}


def test_files_that_are_new_or_changed_are_read(source: Source) -> None:
    one, two = source.path / "a" / "1.csv", source.path / "a" / "2.csv"
    one.parent.mkdir()
    one.write_text("id\n1\n")
    two.write_text("id\n2\n")
    for path in (one, two):
        os.utime(path, ns=(10**18, 10**18))  # of the same moment
    streams = [{"name": "a", "glob": "a/*.csv"}]
    states: dict[Any, bytes] = {}

    def ids() -> list[int]:
        return [row["id"] for row in _plain(source.read(states, streams=streams)["a"])]

    assert ids() == [1, 2]
    assert ids() == []
    two.write_text("id\n2\n3\n")
    os.utime(two, ns=(10**18 + 1, 10**18 + 1))
    (source.path / "a" / "0.csv").write_text("id\n0\n")
    os.utime(source.path / "a" / "0.csv", ns=(10**17, 10**17))  # older than all that was read
    assert ids() == [0, 2, 3]
    assert ids() == []
    assert [row["id"] for row in _plain(source.read(streams=streams)["a"])] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a,b\n1,2\n3\n", "x.csv, line 3: 1 fields where the first line has 2"),
        (b"a,a\n1,2\n", "column a is there twice"),
        (b'a\n"open\n', "x.csv, line"),
        (b"a\n\xff\n", "not in its encoding; set encoding"),
    ],
    ids=["ragged", "twice", "an open quote", "another encoding"],
)
def test_a_broken_file_fails_its_stream_only(source: Source, content: bytes, why: str) -> None:
    (source.path / "x.csv").write_text("a,b\n1,2\n")
    (source.path / "y.csv").write_text("a\n1\n")
    streams = runner.discover(source.connector, source.config(), source.settings)
    (source.path / "x.csv").write_bytes(content)
    configured = [ConfiguredStream(s.key, s.json_schema, SyncMode.FULL_REFRESH) for s in streams]
    with Reader(source.connector, source.config(), configured, [], source.settings) as reader:
        rows = [part.stream.name for part in reader if isinstance(part, Records) for _ in part.data]
    assert "y" in rows
    assert reader.statuses == {StreamKey("x"): "INCOMPLETE", StreamKey("y"): "COMPLETE"}
    assert why in reader.failures[StreamKey("x")]


def test_a_full_refresh_without_a_file_is_not_complete(source: Source) -> None:
    streams = [{"name": "a", "glob": "*.csv"}]
    (source.path / "a.csv").write_text("id\n1\n")
    (found,) = runner.discover(source.connector, source.config(streams=streams), source.settings)

    def status(*states: bytes) -> str:
        mode = SyncMode.INCREMENTAL if states else SyncMode.FULL_REFRESH
        configured = [
            ConfiguredStream(found.key, found.json_schema, mode, found.default_cursor_field)
        ]
        config = source.config(streams=streams)
        with Reader(source.connector, config, configured, states, source.settings) as reader:
            assert not any(isinstance(part, Records) for part in reader)
        return reader.statuses[found.key]

    states: dict[Any, bytes] = {}
    source.read(states, streams=streams)
    (source.path / "a.csv").write_text("id\n")
    assert status() == "COMPLETE"
    (source.path / "a.csv").unlink()
    assert status() == "INCOMPLETE"
    assert status(*states.values()) == "COMPLETE"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"path": "relative"}, "must be absolute"),
        ({"path": "/no/such/place"}, "is not there"),
        ({"streams": [{"name": "a", "glob": "../*.csv"}]}, "must stay below path"),
        ({"streams": [{"name": "a", "glob": "*.csv"}]}, "no file is there"),
        ({"encoding": "klingon"}, "is none that Python knows"),
        ({}, "holds no file that ends in"),
    ],
    ids=["relative", "missing", "outside", "no file", "encoding", "empty"],
)
def test_a_config_that_does_not_work(source: Source, config: dict[str, Any], why: str) -> None:
    with pytest.raises(TerminalError, match=why):
        runner.check(source.connector, source.config(**config), source.settings)


def test_the_spec_names_what_is_wrong(source: Source) -> None:
    spec = runner.spec(source.connector, source.settings)
    with pytest.raises(UsageError, match=r"config\.streams\[0\]: 'glob' is a required property"):
        validate("f", spec, source.config(streams=[{"name": "a"}]))
    with pytest.raises(UsageError, match=r"config\.format: 'xml' is not one of"):
        validate("f", spec, source.config(format="xml"))
