"""What a source says and is told: Airbyte's messages as lines, and its command line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FailureType = Literal["config_error", "transient_error", "system_error"]


class SourceError(Exception):
    """The source cannot go on: ``kind`` is Airbyte's failure_type, the text a line for people."""

    def __init__(self, message: str, kind: FailureType = "config_error") -> None:
        super().__init__(message)
        self.kind: FailureType = kind


@dataclass(frozen=True, slots=True)
class Selected:
    """A stream of the configured catalog.

    Attributes:
        properties: the properties that are wanted, in order, with their schemas.
        cursor: the cursor's property, or None.
        incremental: whether it is to be read so.
    """

    name: str
    namespace: str | None
    properties: dict[str, Any]
    cursor: str | None
    incremental: bool

    @property
    def descriptor(self) -> dict[str, Any]:
        """As messages name it."""
        return (
            {"name": self.name, "namespace": self.namespace}
            if self.namespace
            else {"name": self.name}
        )


class Source:
    """What a source has to answer; each method may raise :class:`SourceError`."""

    spec: dict[str, Any]

    def check(self, config: dict[str, Any]) -> None:
        """See that ``config`` works."""
        raise NotImplementedError

    def discover(self, config: dict[str, Any]) -> list[dict[str, Any]]:
        """The streams, as AirbyteStream documents."""
        raise NotImplementedError

    def read(
        self,
        config: dict[str, Any],
        streams: Sequence[Selected],
        states: dict[tuple[str, str | None], dict[str, Any]],
    ) -> None:
        """Say the records, states and statuses of ``streams``."""
        raise NotImplementedError


def say(message: dict[str, Any]) -> None:
    """Print one message at once."""
    sys.stdout.buffer.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
    sys.stdout.buffer.flush()


def trace(kind: str, body: dict[str, Any]) -> None:
    """Print a TRACE message."""
    say({"type": "TRACE", "trace": {"type": kind, "emitted_at": now(), kind.lower(): body}})


def status(stream: Selected, said: str) -> None:
    """Print a stream's status."""
    trace("STREAM_STATUS", {"stream_descriptor": stream.descriptor, "status": said})


def failure(error: SourceError, stream: Selected | None = None) -> None:
    """Print an error: of one stream, or of the whole."""
    body: dict[str, Any] = {"message": str(error), "failure_type": error.kind}
    if stream is not None:
        body["stream_descriptor"] = stream.descriptor
    trace("ERROR", body)


def state(stream: Selected, reached: dict[str, Any], records: int) -> None:
    """Print the state that the stream has reached, ``records`` after the one before."""
    say(
        {
            "type": "STATE",
            "state": {
                "type": "STREAM",
                "stream": {"stream_descriptor": stream.descriptor, "stream_state": reached},
                "sourceStats": {"recordCount": records},
            },
        }
    )


def now() -> int:
    """Milliseconds of Unix time."""
    return time.time_ns() // 1_000_000


def run(source: Source, arguments: Sequence[str]) -> int:
    """Answer a command line as a connector does; returns its exit code."""
    try:
        verb, given = _arguments(arguments)
        if verb == "spec":
            say({"type": "SPEC", "spec": {"connectionSpecification": source.spec}})
        elif verb == "check":
            _check(source, given["config"])
        elif verb == "discover":
            say({"type": "CATALOG", "catalog": {"streams": source.discover(given["config"])}})
        else:
            streams = [_selected(item) for item in given["catalog"]["streams"]]
            source.read(given["config"], streams, _states(given.get("state")))
    except SourceError as error:
        failure(error)
        return 1
    return 0


def _check(source: Source, config: dict[str, Any]) -> None:
    found = {"status": "SUCCEEDED"}
    try:
        source.check(config)
    except SourceError as error:
        if error.kind != "config_error":
            raise
        found = {"status": "FAILED", "message": str(error)}
    say({"type": "CONNECTION_STATUS", "connectionStatus": found})


_NEEDS: dict[str, tuple[str, ...]] = {
    "spec": (),
    "check": ("config",),
    "discover": ("config",),
    "read": ("config", "catalog"),
}


def _arguments(arguments: Sequence[str]) -> tuple[str, dict[str, Any]]:
    verb, *rest = arguments or [""]
    if verb not in _NEEDS:
        raise SourceError(f"unknown command {verb!r}: use {', '.join(_NEEDS)}")
    given: dict[str, Any] = {}
    for name, path in zip(rest[::2], rest[1::2], strict=False):
        try:
            given[name.removeprefix("--")] = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(f"{name}: the file cannot be read: {type(error).__name__}") from error
    for name in _NEEDS[verb]:
        if not isinstance(given.get(name), dict):
            raise SourceError(f"{verb} needs --{name} FILE with a JSON object")
    return verb, given


def _selected(item: dict[str, Any]) -> Selected:
    stream = item["stream"]
    cursor = item.get("cursor_field") or []
    if len(cursor) > 1:
        raise SourceError(f"stream {stream['name']}: a cursor within a column is not supported")
    return Selected(
        name=stream["name"],
        namespace=stream.get("namespace"),
        properties=dict((stream.get("json_schema") or {}).get("properties") or {}),
        cursor=cursor[0] if cursor else None,
        incremental=item.get("sync_mode") == "incremental",
    )


def _states(given: Any) -> dict[tuple[str, str | None], dict[str, Any]]:
    found = {}
    for message in given if isinstance(given, list) else []:
        entry = message.get("stream") or {}
        descriptor = entry.get("stream_descriptor") or {}
        if "name" not in descriptor:
            raise SourceError("a state of this source is of type STREAM: reset the state")
        key = (descriptor["name"], descriptor.get("namespace"))
        found[key] = entry.get("stream_state") or {}
    return found
