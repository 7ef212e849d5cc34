"""source-files where files are broken, odd or many, and Airbyte's own checks of what it prints."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from atlas.connectors import runner
from atlas.connectors.sources import formats
from atlas.errors import TerminalError
from atlas.layers import types
from atlas.model.stream import StreamKey
from tests.connectors.test_source_files import Source, source

with warnings.catch_warnings():
    # Its own: importing it says that a part of it is experimental.
    warnings.simplefilter("ignore")
    from airbyte_cdk.models import ConfiguredAirbyteCatalog, ConfiguredAirbyteStream, Type
    from airbyte_cdk.models import DestinationSyncMode as Destination
    from airbyte_cdk.models import SyncMode as AirbyteSyncMode
    from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput
    from airbyte_cdk.test.standard_tests._catalog_checks import find_catalog_problems
    from airbyte_cdk.test.standard_tests._read_assertions import assert_read_records
    from airbyte_cdk.test.standard_tests._spec_lint import assert_spec_is_valid, get_single_spec

__all__ = ["source"]


def _damaged() -> bytes:
    packed = bytearray(
        gzip.compress(b"".join(b"%d,%d\n" % (n, n * 7919 % 1000) for n in range(20_000)))
    )
    packed[1000:1020] = random.Random(1).randbytes(20)
    return bytes(packed)


def _twice() -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), sink)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.csv", b"a,b\n1,2\n3\n", "x.csv, line 3: 1 fields where the first line has 2"),
        ("x.csv.gz", _damaged(), "x.csv.gz, line"),
        ("x.jsonl", b'{"a": 1}\n[1]\n', "x.jsonl, line 2: not a JSON object"),
        ("x.parquet", b"no", "x.parquet: cannot be read as Parquet"),
        ("x.parquet", _twice(), "x.parquet: column a is there twice"),
    ],
    ids=["ragged", "packed", "no object", "no parquet", "columns of one name"],
)
def test_a_file_that_is_broken_from_the_start_holds_back_no_other(
    source: Source, name: str, content: bytes, why: str
) -> None:
    (source.path / name).write_bytes(content)
    with pytest.raises(TerminalError, match=why):
        runner.check(source.connector, source.config(), source.settings)
    (source.path / "y.csv").write_text("a\n1\n")
    runner.check(source.connector, source.config(), source.settings)
    assert [json.loads(row)["a"] for row in source.read()["y"]] == [1]
    assert list(source.failures) == [StreamKey("x")]
    assert why in source.failures[StreamKey("x")]


@pytest.mark.parametrize("name", ["gone.csv", "gone.jsonl", "gone.parquet"])
def test_a_file_that_is_gone_is_an_error_of_one_line(tmp_path: Path, name: str) -> None:
    _, error = formats.infer(tmp_path / name, formats.Options())
    assert str(error).startswith(f"{name}: cannot be read")
    with pytest.raises(formats.SourceError, match=f"{name}: cannot be read"):
        list(formats.rows(tmp_path / name, formats.Options(), {}))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1234-56-78", "4321-12-01"], "text"),
        (["0000-00-00"], "text"),
        (["2026-01-01 25:00"], "text"),
        (["2026-02-28"], "date"),
        (["9223372036854775807"], "bigint"),
        (["1", "-9223372036854775809"], "numeric"),
        (["1" * 5000], "numeric"),
    ],
    ids=["codes", "no day", "no hour", "day", "64 bit", "more", "many digits"],
)
def test_what_a_column_is(source: Source, values: list[str], kind: str) -> None:
    (source.path / "t.csv").write_text("\n".join(["v", *values]) + "\n")
    assert types.column_type(source.discover()["t"]["v"]).value == kind
    if kind in ("bigint", "numeric"):
        (source.path / "t.csv").unlink()
        (source.path / "t.jsonl").write_text("".join(f'{{"v":{value}}}\n' for value in values))
        assert types.column_type(source.discover()["t"]["v"]).value == kind


def test_a_file_without_values_says_nothing_about_types(source: Source) -> None:
    (source.path / "in").mkdir()
    (source.path / "in" / "1.csv").write_text("n,m\n,\n")
    (source.path / "in" / "2.csv").write_text("n,m\n5,\n")
    found = source.discover(streams=[{"name": "s", "glob": "in/*.csv"}])["s"]
    assert (found["n"]["type"], found["m"]["type"]) == (["null", "integer"], ["null", "string"])


def test_what_discover_did_not_see_is_not_lost(source: Source) -> None:
    (source.path / "e.jsonl").write_text('{"a":1}\n' * 10_001 + '{"a":2,"late":1.10}\n')
    assert "late" not in source.discover()["e"]
    assert '"late":1.10' in source.read()["e"][-1]


def test_columns_of_a_file_that_are_named_as_its_own(source: Source) -> None:
    (source.path / "e.csv").write_text("a,_ab_source_file_url\n1,elsewhere\n")
    (row,) = source.read()["e"]
    assert row.count("_ab_source_file_url") == 1
    assert json.loads(row)["_ab_source_file_url"] == "e.csv"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"encoding": "hex"}, "encoding hex is none"),
        ({"streams": [{"name": "a", "glob": "*"}, {"name": "a", "glob": "*"}]}, "a is there twice"),
        ({"path": "~/x"}, "must be absolute"),
    ],
    ids=["no text", "streams of one name", "home"],
)
def test_configs_that_do_not_work(source: Source, config: dict[str, Any], why: str) -> None:
    (source.path / "e.csv").write_text("a\n1\n")
    with pytest.raises(TerminalError, match=why):
        runner.check(source.connector, source.config(**config), source.settings)


def test_states_of_many_files_stay_small(source: Source, tmp_path: Path) -> None:
    for n in range(1000):
        (source.path / f"{n:04d}.csv").write_text("id\n1\n")
    config = source.config(streams=[{"name": "s", "glob": "*.csv"}])
    stream = {"name": "s", "json_schema": {"properties": {"id": {"type": ["null", "integer"]}}}}
    catalog = {"streams": [{"stream": stream, "sync_mode": "incremental"}]}
    messages = _ask(source, tmp_path, "read", config=config, catalog=catalog).splitlines()
    states = [json.loads(line)["state"] for line in messages if '"type": "STATE"' in line]
    assert len(states) < 150
    assert sum(state["sourceStats"]["recordCount"] for state in states) == 1000
    assert len(states[-1]["stream"]["stream_state"]["files"]) == 1000


def test_a_break_amid_many_files_repeats_few_and_loses_none(source: Source) -> None:
    for n in range(100):
        (source.path / f"{n:02d}.csv").write_text(f"id\n{n}\n")
    streams = [{"name": "s", "glob": "*.csv"}]
    broken = source.path / "70.csv"
    broken.write_text('id\n"open')
    states: dict[Any, bytes] = {}
    first = {json.loads(row)["id"] for row in source.read(states, streams=streams)["s"]}
    assert source.failures
    (blob,) = states.values()
    covered = set(json.loads(blob)["stream"]["stream_state"]["files"])
    broken.write_text("id\n70\n")
    second = {json.loads(row)["id"] for row in source.read(states, streams=streams)["s"]}
    assert first | second == set(range(100))
    assert second == {n for n in range(100) if f"{n:02d}.csv" not in covered}
    assert len(first & second) <= 5


def _ask(source: Source, directory: Path, verb: str, **files: Any) -> str:
    arguments = [*source.connector.command, verb]
    for name, content in files.items():
        path = directory / f"{name}.json"
        path.write_text(json.dumps(content))
        arguments += [f"--{name}", str(path)]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


def test_airbytes_own_checks(source: Source, tmp_path: Path) -> None:
    (source.path / "t.csv").write_text("id,n,at,d\n1,1.5,2026-01-01T10:00:00Z,2026-01-01\n2,,,\n")
    (source.path / "j.jsonl").write_text('{"id": 1, "deep": {"a": [1]}}\n{"id": null}\n')
    parquet.write_table(pa.table({"id": [1, None], "l": [[1], None]}), source.path / "p.parquet")

    def ask(verb: str, **files: Any) -> EntrypointOutput:
        return EntrypointOutput(messages=_ask(source, tmp_path, verb, **files).splitlines())

    spec = get_single_spec(ask("spec"), connector_name="source-files")
    assert_spec_is_valid(spec, connector_name="source-files")
    (message,) = ask("discover", config=source.config()).get_message_by_types([Type.CATALOG])
    assert find_catalog_problems(message.catalog) == {}
    streams = message.catalog.streams
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "append"}
    plain = [{"stream": {"name": s.name, "json_schema": s.json_schema}, **modes} for s in streams]
    output = ask("read", config=source.config(), catalog={"streams": plain})
    assert_read_records(
        records=output.records_iterator,
        configured_catalog=ConfiguredAirbyteCatalog(
            streams=[
                ConfiguredAirbyteStream(
                    stream=stream,
                    sync_mode=AirbyteSyncMode.full_refresh,
                    destination_sync_mode=Destination.append,
                )
                for stream in streams
            ]
        ),
        require_records_per_stream=True,
        validate_schema=True,
    )
    assert not output.errors
