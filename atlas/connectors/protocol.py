"""Airbyte's protocol: from the lines that a connector prints to messages.

A RECORD's ``data`` is never decoded: it stays the bytes that the connector printed, so numbers
come out as they went in, and reading costs little. What those bytes may hold that PostgreSQL's
``jsonb`` refuses is mended and counted, byte by byte (:mod:`atlas.connectors.repair`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from atlas.connectors import wire
from atlas.connectors.repair import is_utf8, repair
from atlas.connectors.wire import Envelope
from atlas.model.stream import AvailableStream, StreamKey


@dataclass(frozen=True, slots=True)
class Record:
    """One record: ``data`` is a JSON object as printed, ``emitted_at`` in milliseconds of Unix
    time (0: not said)."""

    stream: StreamKey
    data: bytes
    emitted_at: int


@dataclass(frozen=True, slots=True)
class State:
    """A checkpoint: the records before it are covered by it.

    Attributes:
        kind: ``STREAM``, ``GLOBAL`` or ``LEGACY``.
        stream: whose state it is, None unless ``kind`` is STREAM.
        streams: the streams inside a GLOBAL state, else empty.
        blob: the JSON of the whole AirbyteStateMessage as printed; give it back as it is.
        record_count: the records that the source counted since its last state, if it says.
    """

    kind: str
    stream: StreamKey | None
    streams: tuple[StreamKey, ...]
    blob: bytes
    record_count: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A stream's status: ``STARTED``, ``RUNNING``, ``COMPLETE`` or ``INCOMPLETE``."""

    stream: StreamKey
    status: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A TRACE ERROR. ``kind`` is ``config_error``, ``transient_error`` or ``system_error`` (also
    where the connector names none); ``stream`` is None where it is about the whole sync."""

    message: str
    internal_message: str
    kind: str
    stream: StreamKey | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much is expected: of a stream, or (None) of the sync; None where it is not said."""

    stream: StreamKey | None
    rows: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Analytics:
    """A connector's own telemetry, which Atlas sends nowhere."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Log:
    """A log line; ``level`` is one of FATAL, ERROR, WARN, INFO, DEBUG, TRACE."""

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Control:
    """The connector's config changed (a rotated token): ``config`` is the new one, as JSON."""

    config: bytes


@dataclass(frozen=True, slots=True)
class Spec:
    """``connection_specification``: JSON schema of the config."""

    connection_specification: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Catalog:
    """What ``discover`` found."""

    streams: tuple[AvailableStream, ...]


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """What ``check`` found; ``message`` is the connector's own."""

    succeeded: bool
    message: str


class Batch(dict[tuple[str, str | None], tuple[list[bytes], list[int]]]):
    """RECORDs with no STATE or TRACE between them: by stream name and namespace their ``data``,
    each a JSON object as printed, and their ``emitted_at`` in milliseconds of Unix time."""


Message = (
    Record | State | Status | Failure | Estimate | Analytics | Log | Control | Spec | Catalog
    | ConnectionStatus
)  # fmt: skip


class MalformedError(ValueError):
    """A line says that it is a RECORD, STATE, … and is not one; ``str()`` quotes nothing of it."""


class BrokenRecord(MalformedError):
    """A RECORD whose ``data`` is no object; ``stream`` is its stream's name and namespace."""

    def __init__(self, stream: tuple[str, str | None]) -> None:
        super().__init__("broken RECORD message: its data is no object")
        self.stream = stream


_CLAIMS = re.compile(
    rb'\s*\{\s*"type"\s*:\s*"(?:RECORD|STATE|TRACE|CONTROL|SPEC|CATALOG|CONNECTION_STATUS)"'
)


def decode_chunk(chunk: bytes) -> tuple[list[Envelope | bytes | MalformedError], int]:
    """Decode whole lines at once.

    Returns:
        For each line its envelope, or the line itself where it is no message, or the error where
        it claims to be one and cannot be read even after repair; and the number of repairs.
    """
    if b"\\u0000" not in chunk and is_utf8(chunk):
        try:
            return wire.ENVELOPE.decode_lines(chunk), 0  # type: ignore[return-value] # list is invariant
        except (msgspec.MsgspecError, RecursionError):
            pass  # some line is no message, or needs repair: find out which
    decoded: list[Envelope | bytes | MalformedError] = []
    repairs = 0
    for line in chunk.split(b"\n"):
        if line and not line.isspace():
            try:
                found, mended = _decode_line(line)
            except MalformedError as error:
                decoded.append(error)
            else:
                decoded.append(found)
                repairs += mended
    return decoded, repairs


def gather(
    decoded: Iterable[Envelope | bytes | MalformedError],
) -> list[Batch | Envelope | bytes | MalformedError]:
    """What :func:`decode_chunk` gave, with its RECORDs in batches before what came after them.

    Nothing follows an error, unless it is a record's own: its stream may be none that was asked
    for.
    """
    gathered: list[Batch | Envelope | bytes | MalformedError] = []
    batch = Batch()
    for item in decoded:
        if isinstance(item, Envelope):
            record = item.record
            if record is not None and item.type == "RECORD":
                data = bytes(record.data)
                name = (record.stream, record.namespace)
                if data[0] != 0x7B:  # "{"
                    item = BrokenRecord(name)
                else:
                    found = batch.get(name)
                    if found is None:
                        found = batch[name] = ([], [])
                    found[0].append(data)
                    found[1].append(int(record.emitted_at) or time.time_ns() // 1_000_000)
                    continue
            elif item.type == "LOG":
                gathered.append(item)
                continue
        if batch and not isinstance(item, bytes):
            gathered.append(batch)
            batch = Batch()
        gathered.append(item)
        if isinstance(item, MalformedError) and not isinstance(item, BrokenRecord):
            return gathered
    if batch:
        gathered.append(batch)
    return gathered


def decode(line: bytes) -> Message | None:
    """The message of one line, or None if it is no protocol message (then it is a log line).

    Raises:
        MalformedError: it claims to be a message and is broken.
    """
    found, _ = _decode_line(line)
    return None if isinstance(found, bytes) else interpret(found)


def interpret(envelope: Envelope) -> Message | None:
    """The message in ``envelope``, or None for a type that is of no matter to a source.

    Raises:
        MalformedError: the message lacks what its type needs.
    """
    try:
        return _interpret(envelope)
    except msgspec.MsgspecError as error:
        raise MalformedError(f"broken {envelope.type} message: {error}") from error


def parse_state(blob: bytes) -> State:
    """Read an AirbyteStateMessage.

    Raises:
        MalformedError: it is none.
    """
    try:
        state = wire.STATE.decode(blob)
    except msgspec.MsgspecError as error:
        raise MalformedError(f"broken STATE message: {error}") from error
    stats = state.sourceStats
    count = None if stats is None or stats.recordCount is None else int(stats.recordCount)
    if state.type == "GLOBAL" or (state.type is None and state.global_ is not None):
        inner = state.global_.stream_states if state.global_ else []
        streams = tuple(item.stream_descriptor.key for item in inner)
        return State("GLOBAL", None, streams, blob, count)
    if state.stream is not None:
        return State("STREAM", state.stream.stream_descriptor.key, (), blob, count)
    if state.type == "STREAM":
        raise MalformedError("broken STATE message: type STREAM without a stream")
    return State("LEGACY", None, (), blob, count)


def legacy_data(blob: bytes) -> bytes:
    """The bare state object inside a LEGACY state."""
    return bytes(wire.STATE.decode(blob).data)


_MARK = b"\xef\xbb\xbf"
"""The byte order mark, with which some programs on Windows begin their output."""


_UTF16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{")
"""How output in UTF-16 begins, with its mark or without. As mere noise in the log, all of its
records would be lost in a run that succeeds."""


def _decode_line(line: bytes) -> tuple[Envelope | bytes, int]:
    if line.startswith(_UTF16):
        raise MalformedError("output is UTF-16; have the connector print UTF-8")
    line = line.removeprefix(_MARK)
    if b"\\u0000" not in line and is_utf8(line):
        try:
            return wire.ENVELOPE.decode(line), 0
        except (msgspec.MsgspecError, RecursionError):
            pass
    if not line.lstrip().startswith(b"{"):
        return line, 0
    mended, repairs = repair(line)
    try:
        return wire.ENVELOPE.decode(mended), repairs
    except msgspec.ValidationError as error:  # valid JSON
        if _CLAIMS.match(mended) or _type_of(mended) in ("RECORD", "STATE"):
            raise MalformedError(f"broken message: {error}") from error
        return line, 0
    except RecursionError as error:
        raise MalformedError("message is nested too deeply") from error
    except msgspec.MsgspecError as error:
        if _CLAIMS.match(mended):
            # Its text might quote a value, so only the position is told.
            raise MalformedError("broken message: it is not JSON") from error
        return line, 0


def _type_of(line: bytes) -> Any:
    found = msgspec.json.decode(line)
    return found.get("type") if isinstance(found, dict) else None


def _interpret(envelope: Envelope) -> Message | None:
    match envelope.type:
        case "RECORD":
            record = envelope.record
            if record is None:
                raise MalformedError("broken RECORD message: it has no record")
            data = bytes(record.data)
            if data[:1] != b"{":
                raise MalformedError("broken RECORD message: its data is no object")
            key = StreamKey(record.stream, record.namespace)
            return Record(key, data, int(record.emitted_at))
        case "STATE":
            return parse_state(bytes(envelope.state))
        case "TRACE":
            return _interpret_trace(wire.TRACE.decode(envelope.trace))
        case "LOG":
            log = wire.LOG.decode(envelope.log)
            return Log(log.level, log.message)
        case "CONTROL":
            control = wire.CONTROL.decode(envelope.control)
            if control.connectorConfig is None:
                return None
            return Control(bytes(control.connectorConfig.config))
        case "SPEC":
            return Spec(wire.SPEC.decode(envelope.spec).connectionSpecification)
        case "CATALOG":
            found = wire.CATALOG.decode(envelope.catalog)
            streams = tuple(stream.available() for stream in found.streams)
            _refuse_doubtful(streams)
            return Catalog(streams)
        case "CONNECTION_STATUS":
            status = wire.CONNECTION_STATUS.decode(envelope.connectionStatus)
            return ConnectionStatus(status.status == "SUCCEEDED", status.message or "")
    return None


def _refuse_doubtful(streams: Iterable[AvailableStream]) -> None:
    seen: set[StreamKey] = set()
    for stream in streams:
        if stream.key in seen:
            raise MalformedError(f"broken CATALOG message: stream {stream.key} is there twice")
        seen.add(stream.key)
        if not isinstance(stream.json_schema.get("properties") or {}, dict):
            raise MalformedError(
                f"broken CATALOG message: the properties of stream {stream.key} are no object"
            )


def _interpret_trace(trace: wire.Trace) -> Message | None:
    if trace.type == "STREAM_STATUS" and trace.stream_status is not None:
        status = trace.stream_status
        return Status(status.stream_descriptor.key, status.status)
    if trace.type == "ERROR" and trace.error is not None:
        error = trace.error
        return Failure(
            message=error.message,
            internal_message=error.internal_message or "",
            kind=error.failure_type or "system_error",
            stream=error.stream_descriptor.key if error.stream_descriptor else None,
        )
    if trace.type == "ESTIMATE" and trace.estimate is not None:
        estimate = trace.estimate
        return Estimate(
            stream=StreamKey(estimate.name, estimate.namespace) if estimate.name else None,
            rows=None if estimate.row_estimate is None else int(estimate.row_estimate),
            bytes=None if estimate.byte_estimate is None else int(estimate.byte_estimate),
        )
    if trace.type == "ANALYTICS" and trace.analytics is not None:
        return Analytics(trace.analytics.type, trace.analytics.value or "")
    return None
