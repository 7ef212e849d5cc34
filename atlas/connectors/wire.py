"""The JSON of Airbyte's protocol as msgspec reads it: only the parts that Atlas uses."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from atlas.model.stream import AvailableStream, StreamKey, SyncMode


class Descriptor(msgspec.Struct):
    """``stream_descriptor``."""

    name: str
    namespace: str | None = None

    @property
    def key(self) -> StreamKey:
        """As Atlas says it."""
        return StreamKey(self.name, self.namespace)


class WireRecord(msgspec.Struct, gc=False):
    """``record``, its data untouched."""

    stream: str
    data: Raw
    emitted_at: int | float = 0
    namespace: str | None = None


class Envelope(msgspec.Struct, gc=False):
    """A line: of all messages only ``record`` is read at once, the rest when it is asked for."""

    type: str
    record: WireRecord | None = None
    state: Raw = Raw()
    trace: Raw = Raw()
    log: Raw = Raw()
    control: Raw = Raw()
    spec: Raw = Raw()
    catalog: Raw = Raw()
    connectionStatus: Raw = Raw()  # noqa: N815 - the protocol's spelling


class StreamState(msgspec.Struct):
    stream_descriptor: Descriptor


class GlobalState(msgspec.Struct):
    stream_states: list[StreamState] = []


class Stats(msgspec.Struct):
    recordCount: float | None = None  # noqa: N815


class State(msgspec.Struct):
    type: str | None = None
    data: Raw = Raw(b"{}")
    stream: StreamState | None = None
    global_: GlobalState | None = msgspec.field(default=None, name="global")
    sourceStats: Stats | None = None  # noqa: N815


class StreamStatus(msgspec.Struct):
    stream_descriptor: Descriptor
    status: str


class Error(msgspec.Struct):
    message: str = ""
    internal_message: str | None = None
    failure_type: str | None = None
    stream_descriptor: Descriptor | None = None


class Estimate(msgspec.Struct):
    name: str | None = None
    namespace: str | None = None
    row_estimate: float | None = None
    byte_estimate: float | None = None


class Analytics(msgspec.Struct):
    type: str
    value: str | None = None


class Trace(msgspec.Struct):
    type: str
    stream_status: StreamStatus | None = None
    error: Error | None = None
    estimate: Estimate | None = None
    analytics: Analytics | None = None


class Log(msgspec.Struct):
    level: str = "INFO"
    message: str = ""


class ConnectorConfig(msgspec.Struct):
    config: Raw


class Control(msgspec.Struct):
    type: str
    connectorConfig: ConnectorConfig | None = None  # noqa: N815


class Spec(msgspec.Struct):
    connectionSpecification: dict[str, Any]  # noqa: N815


class Stream(msgspec.Struct):
    name: str
    json_schema: dict[str, Any]
    supported_sync_modes: list[str] | None = None
    source_defined_cursor: bool | None = None
    default_cursor_field: list[str] | None = None
    source_defined_primary_key: list[list[str]] | None = None
    namespace: str | None = None

    def available(self) -> AvailableStream:
        known = {mode.value: mode for mode in SyncMode}
        modes = tuple(known[mode] for mode in self.supported_sync_modes or () if mode in known)
        # A path of no steps names no column, so it is no part of a key.
        key = tuple(tuple(path) for path in self.source_defined_primary_key or () if path)
        return AvailableStream(
            key=StreamKey(self.name, self.namespace),
            json_schema=self.json_schema,
            supported_sync_modes=modes or (SyncMode.FULL_REFRESH,),
            source_defined_cursor=bool(self.source_defined_cursor),
            default_cursor_field=tuple(self.default_cursor_field or ()),
            source_defined_primary_key=key,
        )


class Catalog(msgspec.Struct):
    streams: list[Stream]


class ConnectionStatus(msgspec.Struct):
    status: str
    message: str | None = None


ENVELOPE = msgspec.json.Decoder(Envelope)
STATE = msgspec.json.Decoder(State)
TRACE = msgspec.json.Decoder(Trace)
LOG = msgspec.json.Decoder(Log)
CONTROL = msgspec.json.Decoder(Control)
SPEC = msgspec.json.Decoder(Spec)
CATALOG = msgspec.json.Decoder(Catalog)
CONNECTION_STATUS = msgspec.json.Decoder(ConnectionStatus)
