"""Sources whose states and endings make no sense: what is stored is exact, what is told is true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.stages.conftest import SCRIPTED, Source, row


def _state(cursor: str, stream: str = "users") -> str:
    entry = {"stream_descriptor": {"name": stream}, "stream_state": {"cursor": cursor}}
    return json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": entry}})


def _fail(shop: Source) -> str:
    error = shop.attempt(shop.begin())
    assert error is not None
    assert "\n" not in error
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'failed'"))
    return error


def _ids(shop: Source) -> list[int]:
    return shop.column("SELECT (data ->> 'id')::int FROM explore.shop_users_raw ORDER BY 1")


def test_a_state_before_its_records_is_the_sources_word(shop: Source) -> None:
    """It says that what comes before it is covered; what comes after is not, until the next."""
    shop.options = {"raw_lines": [_state("2026-01-03")], "fail_after": 2}
    shop.rows = {"users": [row(n, n) for n in (1, 2, 3, 4)]}
    _fail(shop)
    covered = "SELECT coalesce(sum(rows) FILTER (WHERE covered), 0) FROM pipeline.segment"
    assert shop.value(covered) == 0
    assert shop.states() == {"users": {"cursor": "2026-01-03"}}
    # What no state covers is taken back, and read again from the state that there is.
    shop.options = {"exclusive": True}
    shop.run()
    assert _ids(shop)[-1] == 4


def test_no_state_ever_reads_all_anew_each_time(shop: Source) -> None:
    shop.options = {"emit_state": False}
    shop.rows = {"users": [row(1, 1), row(2, 2)]}
    for _ in range(2):
        assert shop.run()["users"].rows_explore == 2
    assert shop.states() == {}
    assert _ids(shop) == [1, 1, 2, 2]


def test_a_state_of_a_stream_that_nobody_asked_for_is_not_kept(shop: Source) -> None:
    shop.options = {"raw_lines": [_state("2026-01-09", "strangers")]}
    shop.rows = {"users": [row(1, 1)]}
    shop.run()
    assert set(shop.states()) == {"users"}


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_crash_leaves_what_a_state_covers_and_the_next_run_the_rest(
    shop: Source, after: int
) -> None:
    shop.options = {"state_every": 1, "exclusive": True, "fail_after": after}
    shop.rows = {"users": [row(n, n) for n in (1, 2, 3)]}
    error = _fail(shop)
    assert "ended with exit code 1" in error
    assert _ids(shop) == list(range(1, after + 1))
    del shop.options["fail_after"]
    shop.run()
    assert _ids(shop) == [1, 2, 3]


@pytest.mark.parametrize("emitted_at", [-(10**15), 10**30, 1e18])
def test_a_time_that_is_none(shop: Source, emitted_at: float) -> None:
    record = {"stream": "users", "data": row(9, 9), "emitted_at": emitted_at}
    shop.options = {"raw_lines": [json.dumps({"type": "RECORD", "record": record})]}
    shop.rows = {"users": [row(1, 1)]}
    assert "emitted_at is no time" in _fail(shop)


def test_json_that_is_nested_too_deeply(shop: Source) -> None:
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    line = f'{{"type":"RECORD","record":{{"stream":"users","emitted_at":1,"data":{deep}}}}}'
    shop.options = {"raw_lines": [line]}
    shop.rows = {"users": [row(1, 1)]}
    assert "message is nested too deeply" in _fail(shop)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"type": "STATE"}', "broken STATE message"),
        ('{"type": "STATE", "state": {"type": "STREAM"}}', "type STREAM without a stream"),
        (
            '{"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "connectorConfig": 1}}',
            "broken CONTROL message",
        ),
        ('{"type": "RECORD"}', "broken RECORD message: it has no record"),
        (
            '{"type": "RECORD", "record": {"stream": 1, "data": {}, "emitted_at": 1}}',
            r"got `int` - at `$.record.stream`",
        ),
        (
            '{"type": "RECORD", "record": {"stream": "users", "data": [7], "emitted_at": 1}}',
            "its data is no object",
        ),
        (
            '{"type": "RECORD", "record": {"stream": "users", "data": {}, "emitted_at": "x"}}',
            r"got `str` - at `$.record.emitted_at`",
        ),
    ],
    ids=["no state", "no stream", "control", "no record", "a number", "a list", "a text"],
)
def test_a_broken_message_ends_the_run_with_one_line(shop: Source, line: str, why: str) -> None:
    shop.options = {"raw_lines": [line]}
    shop.rows = {"users": [row(1, 1)]}
    assert why in _fail(shop)
    assert shop.states() == {}


def test_a_status_that_says_nothing_is_none(shop: Source) -> None:
    shop.options = {"raw_lines": ['{"type": "TRACE", "trace": {"type": "STREAM_STATUS"}}']}
    shop.rows = {"users": [row(1, 1)]}
    shop.run()
    assert _ids(shop) == [1]


def test_windows_line_ends_and_a_byte_order_mark(shop: Source, tmp_path: Path) -> None:
    shop.rows = {"users": [row(1, 1)]}
    program = tmp_path / "dos.py"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import subprocess, sys\n"
        f"out = subprocess.run([{str(SCRIPTED)!r}, *sys.argv[1:]], stdout=subprocess.PIPE).stdout\n"
        "sys.stdout.buffer.write(b'\\xef\\xbb\\xbf' + out.replace(b'\\n', b'\\r\\n'))\n"
    )
    shop.program = program
    shop.run()
    assert _ids(shop) == [1]


_READ = """
import resource, sys
from atlas.connectors import install
from atlas.connectors.reader import Reader
from atlas.errors import TerminalError
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import parse
settings = parse({"ATLAS_HOME": sys.argv[1]})
stream = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    connector = install.resolve(None, sys.argv[2], settings)
    list(Reader(connector, {}, [stream], [], settings, spec={}))
except TerminalError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_record_of_200_mb_is_refused_in_little_memory(tmp_path: Path) -> None:
    program = tmp_path / "huge.sh"
    program.write_text(
        "#!/bin/sh\n"
        'printf \'%s\' \'{"type":"RECORD","record":{"stream":"users","data":{"x":"\'\n'
        "head -c 200000000 /dev/zero | tr '\\0' x\n"
        'echo \'"},"emitted_at":1}}\'\n'
    )
    program.chmod(0o755)
    arguments = [sys.executable, "-c", _READ, str(tmp_path / "home"), str(program)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    error, grown = done.stdout.splitlines()
    assert "printed a line of more than 67108864 bytes" in error
    assert "ATLAS_MAX_RECORD_BYTES" in error
    assert int(grown) < 150  # MiB: the line up to the limit, and a chunk


def _all(shop: Source, query: str) -> list[Any]:
    with shop.engine.connect() as conn:
        return [tuple(each) for each in conn.execute(sa.text(query))]


def test_a_secret_in_every_spelling_is_hidden(shop: Source, caplog: Any) -> None:
    secret = "s3cr/t+pass word"
    error = {"message": f"refused {secret}", "internal_message": f"Basic {secret}"}
    shop.options = {
        "api_key": secret,
        "log_api_key": True,
        "trace_error": {**error, "failure_type": "config_error"},
    }
    shop.rows = {"users": [row(1, 1)]}
    told = _fail(shop)
    stored = [str(each) for each in _all(shop, "SELECT error FROM pipeline.run_stream")]
    stored += [str(each) for each in _all(shop, "SELECT error FROM pipeline.attempt")]
    stored += [str(each) for each in _all(shop, "SELECT event FROM pipeline.lineage_event")]
    said = [str(each) for each in _all(shop, "SELECT message FROM pipeline.run_log")]
    assert said
    for text in (told, *stored, *said, caplog.text):
        assert secret not in text
        assert "s3cr" not in text
