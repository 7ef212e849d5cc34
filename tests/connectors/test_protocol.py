"""Lines to messages: exact, repaired where PostgreSQL would refuse, honest about what is broken."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import msgspec
import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.connectors import protocol
from atlas.connectors.protocol import MalformedError
from atlas.connectors.repair import repair
from atlas.model.stream import StreamKey, SyncMode


def record(data: str | bytes, stream: str = "s") -> bytes:
    raw = data if isinstance(data, bytes) else data.encode(errors="surrogatepass")
    head = b'{"type":"RECORD","record":{"stream":"%s","data":' % stream.encode()
    return head + raw + b',"emitted_at":1700000000123}}'


def data_of(line: bytes) -> bytes:
    message = protocol.decode(line)
    assert isinstance(message, protocol.Record)
    return message.data


EXACT = (
    '{"i": 9223372036854775807, "j":-9223372036854775808, "big": 123456789012345678901234567890,'
    ' "d": 1234567890123456789012345678901234567890.1234567890, "e": 1E-7, "z": 0.10, "n": null,'
    ' "nested": {"a": [1.10, {"b": 2e308}]}}'
)


def test_numbers_come_out_as_they_went_in() -> None:
    assert data_of(record(EXACT)) == EXACT.encode()


def test_numbers_are_exact_on_the_repairing_path_too() -> None:
    spoilt = EXACT[:-1] + r', "x": NaN, "y": "\u0000"}'
    mended = data_of(record(spoilt))
    assert mended == (EXACT[:-1] + r', "x": "NaN", "y": "\ufffd"}').encode()


@pytest.mark.parametrize(
    ("printed", "mended", "repairs"),
    [
        ('{"a": NaN}', '{"a": "NaN"}', 1),
        ('{"a": [Infinity, -Infinity]}', '{"a": ["Infinity", "-Infinity"]}', 2),
        (r'{"a": "x\u0000y"}', r'{"a": "x\ufffdy"}', 1),
        (r'{"a\u0000": 1}', r'{"a\ufffd": 1}', 1),
        (r'{"a": "\ud800"}', r'{"a": "\ufffd"}', 1),
        (r'{"a": "\uDFFF!"}', r'{"a": "\ufffd!"}', 1),
        (r'{"a": "\ud800A"}', r'{"a": "\ufffdA"}', 1),
        (r'{"a": "\udc00\ud800"}', r'{"a": "\ufffd\ufffd"}', 2),
        (r'{"a": "😀"}', r'{"a": "😀"}', 0),
        (r'{"a": "\\u0000 \\ud800"}', r'{"a": "\\u0000 \\ud800"}', 0),
        (r'{"a": "\\\u0000"}', r'{"a": "\\\ufffd"}', 1),
        ('{"a": "NaN and -Infinity", "NaN": 1}', '{"a": "NaN and -Infinity", "NaN": 1}', 0),
        (r'{"a": "\" NaN", "b": NaN}', r'{"a": "\" NaN", "b": "NaN"}', 1),
        ('{"a": "\x00\x01\t"}', r'{"a": "\ufffd\u0001\u0009"}', 3),
    ],
)
def test_repair(printed: str, mended: str, repairs: int) -> None:
    assert repair(printed.encode()) == (mended.encode(), repairs)
    chunk, counted = protocol.decode_chunk(record(printed) + b"\n" + record("{}") + b"\n")
    assert counted == repairs
    assert [bytes(item.record.data) for item in chunk] == [mended.encode(), b"{}"]


@pytest.mark.parametrize("spoilt", [b"\xff", b"\xed\xa0\x80", b"\xc3("])
def test_bytes_that_are_no_utf8_become_replacement_characters(spoilt: bytes) -> None:
    decoded, repairs = protocol.decode_chunk(record(b'{"a":"x' + spoilt + b'y"}') + b"\n")
    text = json.loads(bytes(decoded[0].record.data))["a"]
    assert "�" in text
    assert text[0] == "x"
    assert repairs >= 1


def test_an_unterminated_string_costs_no_backtracking() -> None:
    line = record('{"a": "' + "\\a" * 200_000 + "b" * 200_000)
    with pytest.raises(MalformedError):
        protocol.decode(line)


_HOSTILE = st.text(st.characters(exclude_categories=()), max_size=8)
_CLEAN = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)


def _json(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict]:
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | text
    value = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )
    return st.dictionaries(text, value, max_size=4)


def _read_back(value: dict, ascii_only: bool) -> tuple[object, bytes]:
    printed = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    decoded, _ = protocol.decode_chunk(record(printed) + b"\n")
    data = bytes(decoded[0].record.data)
    return msgspec.json.decode(data), data  # strict: no NaN, no lone surrogate


@given(_json(_HOSTILE), st.booleans())
def test_whatever_python_prints_becomes_strict_json(value: dict, ascii_only: bool) -> None:
    strict, _ = _read_back(value, ascii_only)
    assert "\0" not in json.dumps(strict, ensure_ascii=False).replace("\\\\", "")
    assert "\\u0000" not in json.dumps(strict, ensure_ascii=False).replace("\\\\", "")


def _expected(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, list):
        return [_expected(item) for item in value]
    if isinstance(value, dict):
        return {name: _expected(item) for name, item in value.items()}
    return value


@given(_json(_CLEAN), st.booleans())
def test_nothing_else_changes(value: dict, ascii_only: bool) -> None:
    strict, data = _read_back(value, ascii_only)
    assert json.loads(data) == _expected(value)  # msgspec reads integers beyond 64 bit as floats
    assert strict.keys() == value.keys()


def test_postgresql_takes_what_repair_made(database_url: str) -> None:
    spoilt = [r'{"a":"\u0000"}', r'{"a":"\ud800"}', '{"a":NaN}', EXACT, '{"a":"\x07"}']
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        for text in spoilt:
            cursor.execute("SELECT %s::jsonb::text", (data_of(record(text)).decode(),))
        cursor.execute("SELECT (%s::jsonb->>'d')::numeric", (data_of(record(EXACT)).decode(),))
        (exact,) = cursor.fetchone()
    connection.close()
    assert exact == Decimal("1234567890123456789012345678901234567890.1234567890")


@pytest.mark.parametrize(
    "line",
    [
        b"INFO starting",
        b"",
        b"{}",
        b"[1, 2]",
        b'"x"',
        b"12",
        b'{"level": "info", "message": "structured, but no protocol"}',
        b'{"type": "something", "else": 1}',
        b'{"type": 7}',
        b"{broken",
        b'{"type":"DESTINATION_CATALOG"}',
    ],
)
def test_what_is_no_message_is_a_log_line(line: bytes) -> None:
    assert protocol.decode(line) is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"RECORD","record":{"stream":"s","data":{"a":',
        b'{"type": "RECORD", "record": {"data": {"secret": "hush"}, "emitted_at": 1}}',
        b'{"record":{"stream":"s"},"type":"RECORD"}',
        b'{"type":"RECORD"}',
        b'{"type":"RECORD","record":{"stream":"s","data":[1],"emitted_at":1}}',
        b'{"type":"RECORD","record":{"stream":"s","data":{"secret":01},"emitted_at":1}}',
        b'{"type":"STATE"}',
        b'{"type":"STATE","state":{"type":"STREAM"}}',
        b'{"type":"RECORD","record":{"stream":"s","data":{"a":'
        + b"[" * 9999
        + b"]" * 9999
        + b"}}}",
    ],
)
def test_a_broken_message_is_an_error_that_quotes_nothing(line: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        protocol.decode(line)
    assert "hush" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_one_bad_line_in_a_chunk_spoils_no_other() -> None:
    lines = [record('{"a":1}'), b"hello", record('{"a":NaN}'), b'{"type":"RECORD"', record("{}")]
    decoded, repairs = protocol.decode_chunk(b"\n".join(lines) + b"\n")
    kinds = [type(item).__name__ for item in decoded]
    assert kinds == ["Envelope", "bytes", "Envelope", "MalformedError", "Envelope"]
    assert repairs == 1


def test_states_keep_their_bytes() -> None:
    body = (
        '{"type":"STREAM","stream":{"stream_descriptor":{"name":"s","namespace":"n"},'
        '"stream_state":{"c":1.10}},"sourceStats":{"recordCount":7.0}}'
    )
    state = protocol.decode(b'{"type":"STATE","state":' + body.encode() + b"}")
    assert state == protocol.State("STREAM", StreamKey("s", "n"), (), body.encode(), 7)

    body = (
        '{"type":"GLOBAL","global":{"shared_state":{"lsn":1},"stream_states":['
        '{"stream_descriptor":{"name":"a"}},'
        '{"stream_descriptor":{"name":"b"},"stream_state":{}}]}}'
    )
    state = protocol.parse_state(body.encode())
    assert (state.kind, state.streams) == ("GLOBAL", (StreamKey("a"), StreamKey("b")))

    for body in ('{"type":"LEGACY","data":{"s":{"c":1}}}', '{"data":{"s":{"c":1}}}'):
        state = protocol.parse_state(body.encode())
        assert (state.kind, state.stream, state.blob) == ("LEGACY", None, body.encode())
        assert protocol.legacy_data(state.blob) == b'{"s":{"c":1}}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "type": "TRACE",
                "trace": {
                    "type": "STREAM_STATUS",
                    "emitted_at": 1.5,
                    "stream_status": {"stream_descriptor": {"name": "s"}, "status": "COMPLETE"},
                },
            },
            protocol.Status(StreamKey("s"), "COMPLETE"),
        ),
        (
            {
                "type": "TRACE",
                "trace": {
                    "type": "ERROR",
                    "emitted_at": 1,
                    "error": {"message": "m", "internal_message": None, "failure_type": None},
                },
            },
            protocol.Failure("m", "", "system_error", None),
        ),
        (
            {
                "type": "TRACE",
                "trace": {
                    "type": "ESTIMATE",
                    "emitted_at": 1,
                    "estimate": {"name": "s", "type": "STREAM", "row_estimate": 5},
                },
            },
            protocol.Estimate(StreamKey("s"), 5, None),
        ),
        (
            {
                "type": "TRACE",
                "trace": {"type": "ANALYTICS", "emitted_at": 1, "analytics": {"type": "t"}},
            },
            protocol.Analytics("t", ""),
        ),
        ({"type": "LOG", "log": {"level": "WARN", "message": "m"}}, protocol.Log("WARN", "m")),
        (
            {
                "type": "CONTROL",
                "control": {
                    "type": "CONNECTOR_CONFIG",
                    "emitted_at": 1,
                    "connectorConfig": {"config": {"token": "t"}},
                },
            },
            protocol.Control(b'{"token": "t"}'),
        ),
        (
            {"type": "SPEC", "spec": {"connectionSpecification": {"type": "object"}}},
            protocol.Spec({"type": "object"}),
        ),
        (
            {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "FAILED", "message": "m"}},
            protocol.ConnectionStatus(succeeded=False, message="m"),
        ),
    ],
)
def test_the_other_messages(body: dict, expected: protocol.Message) -> None:
    assert protocol.decode(json.dumps(body).encode()) == expected


def test_catalog() -> None:
    stream = {
        "name": "s",
        "namespace": "public",
        "json_schema": {"type": "object"},
        "supported_sync_modes": ["full_refresh", "incremental", "of_the_future"],
        "source_defined_cursor": True,
        "default_cursor_field": ["a", "b"],
        "source_defined_primary_key": [["id"], ["x", "y"]],
    }
    plain = {"name": "t", "json_schema": {}, "supported_sync_modes": None}
    line = json.dumps({"type": "CATALOG", "catalog": {"streams": [stream, plain]}})
    found = protocol.decode(line.encode())
    assert isinstance(found, protocol.Catalog)
    first, second = found.streams
    assert first.key == StreamKey("s", "public")
    assert first.supported_sync_modes == (SyncMode.FULL_REFRESH, SyncMode.INCREMENTAL)
    assert first.default_cursor_field == ("a", "b")
    assert first.source_defined_primary_key == (("id",), ("x", "y"))
    assert second.supported_sync_modes == (SyncMode.FULL_REFRESH,)


@pytest.mark.parametrize(
    ("streams", "why"),
    [
        ([{"name": "s", "json_schema": {}}] * 2, "stream s is there twice"),
        (
            [{"name": "s", "json_schema": {"properties": ["id"]}}],
            "the properties of stream s are no object",
        ),
    ],
)
def test_a_catalog_that_cannot_be_meant(streams: list[Any], why: str) -> None:
    line = json.dumps({"type": "CATALOG", "catalog": {"streams": streams}}).encode()
    with pytest.raises(protocol.MalformedError, match=why):
        protocol.decode(line)


def test_a_key_of_no_column_is_none() -> None:
    stream = {"name": "s", "json_schema": {}, "source_defined_primary_key": [["id"], []]}
    line = json.dumps({"type": "CATALOG", "catalog": {"streams": [stream]}}).encode()
    message = protocol.decode(line)
    assert isinstance(message, protocol.Catalog)
    assert message.streams[0].source_defined_primary_key == (("id",),)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_no_noise(encoding: str) -> None:
    """As noise its records would be lost, and the run succeed."""
    lines = (record('{"id":1}').decode() + "\n") * 2
    found, _ = protocol.decode_chunk(lines.encode(encoding))
    assert isinstance(found[0], MalformedError)
    assert "UTF-16" in str(found[0])


def test_records_are_gathered_by_stream_up_to_what_is_no_record() -> None:
    lines = [
        b'{"type":"RECORD","record":{"stream":"a","data":{"n":1},"emitted_at":1}}',
        b'{"type":"RECORD","record":{"stream":"b","data":{"n":2},"emitted_at":2}}',
        b"a log line",
        b'{"type":"RECORD","record":{"stream":"a","data":{"n":3},"emitted_at":3}}',
        b'{"type":"STATE","state":{"type":"LEGACY","data":{}}}',
        b'{"type":"RECORD","record":{"stream":"c","data":[4],"emitted_at":4}}',
        b'{"type":"RECORD","record":{"stream":"a","data":{"n":5},"emitted_at":5}}',
    ]
    decoded, _ = protocol.decode_chunk(b"\n".join(lines) + b"\n")
    log, first, state, broken, last = protocol.gather(decoded)
    assert log == b"a log line"
    assert first == {
        ("a", None): ([b'{"n":1}', b'{"n":3}'], [1, 3]),
        ("b", None): ([b'{"n":2}'], [2]),
    }
    assert isinstance(state, protocol.Envelope)
    assert isinstance(broken, protocol.BrokenRecord)
    assert broken.stream == ("c", None)
    assert last == {("a", None): ([b'{"n":5}'], [5])}
