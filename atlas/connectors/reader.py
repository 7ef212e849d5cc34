"""Reading: a connector's records, states and statuses, in order, with memory that stays flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from atlas.connectors import protocol
from atlas.connectors.config import Redactor
from atlas.connectors.install import Connector
from atlas.connectors.protocol import Batch, BrokenRecord, Control, Failure, State, Status
from atlas.connectors.runner import learn, prepare
from atlas.connectors.session import OnLog, OnStart, Session, to_json
from atlas.connectors.wire import Envelope
from atlas.errors import TerminalError
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records of one stream.

    ``data[i]`` is a JSON object as the connector printed it, fit for ``jsonb``, and
    ``emitted_at[i]`` when it was emitted, in milliseconds of Unix time.
    """

    stream: StreamKey
    data: list[bytes]
    emitted_at: list[int]

    def __len__(self) -> int:
        return len(self.data)


class Reader:
    """Runs a connector's ``read``. A context manager, to be iterated once, made in a thread that
    lives as long as the reading: the connector dies with it (:func:`atlas.process.spawn`).

    Iterating yields :class:`Records`, :class:`State`, :class:`Status`, and :class:`Control` as soon
    as the connector says it (its secrets are hidden from then on). Records come in batches
    of what one chunk of output holds (about 1 MiB, or one record if it is larger). Against State
    and Status their order is exactly the connector's; between two of those, each stream's records
    keep their order, while batches of different streams may be interleaved otherwise than printed.

    Iteration ends when the connector has ended well. It raises TransientError or TerminalError
    (:meth:`Session.raise_for_end`) when it has not, after everything that was printed before has
    been yielded. All attributes stay readable then.

    Exit 0 is not success yet: where ``saw_statuses``, a stream is complete only if its last
    status is COMPLETE and it has no entry in ``failures``.

    Args:
        config: with its ``${…}`` references.
        streams: what to read. One that is ``full_refresh`` and has a cursor field is asked for
            incrementally: Airbyte's "refresh" (see :func:`atlas.connectors.configure.configure`).
        state: the states to go on from, each the ``blob`` of a :class:`State`: one LEGACY, or one
            GLOBAL at most and STREAM states of what is not in it. Leave out a stream's to read it
            anew.
        spec: what :func:`atlas.connectors.runner.spec` returned, to save asking again.
        on_log: gets the connector's log lines, redacted.
        on_start: gets how long the connector took to say its first message.

    Attributes:
        statuses: last status of each stream.
        saw_statuses: whether the connector said any.
        failures: TRACE ERRORs by stream (redacted message).
        ignored: records of streams that were not asked for.

    Raises:
        TerminalError: at construction: a reference in the config cannot be resolved, a state is
            none, the program does not exist.
    """

    def __init__(
        self,
        connector: Connector,
        config: Mapping[str, Any],
        streams: Sequence[ConfiguredStream],
        state: Sequence[bytes | str],
        settings: Settings,
        *,
        spec: Mapping[str, Any] | None = None,
        on_log: OnLog | None = None,
        on_start: OnStart | None = None,
    ) -> None:
        content, self._redactor, self._spec = prepare(connector, config, settings, spec)
        files = {"config": content, "catalog": to_json(_catalog(streams))}
        if state:
            files["state"] = _state_file(connector.name, state)
        self._keys = {(item.key.name, item.key.namespace): item.key for item in streams}
        self._kept = {
            item.key: frozenset(item.json_schema.get("properties") or ())
            for item in streams
            if item.cut
        }
        self.statuses: dict[StreamKey, str] = {}
        self.failures: dict[StreamKey, str] = {}
        self.ignored = 0
        self._session = Session(
            connector,
            "read",
            settings,
            redactor=self._redactor,
            files=files,
            on_log=on_log,
            on_start=on_start,
        )

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._session.__exit__(*exc)

    def stop(self) -> None:
        """End the connector with its process group; from any thread. Iteration then raises."""
        self._session.stop()

    @property
    def pid(self) -> int:
        """Id of the connector's process group."""
        return self._session.pid

    @property
    def redactor(self) -> Redactor:
        """Hides the config's secrets; for text about this run that comes from elsewhere."""
        return self._redactor

    @property
    def saw_statuses(self) -> bool:
        """Whether the connector said any stream status."""
        return bool(self.statuses)

    @property
    def repaired(self) -> int:
        """Values that were mended so that ``jsonb`` takes them."""
        return self._session.repaired

    @property
    def garbage(self) -> int:
        """Lines that were no message (they went to the log)."""
        return self._session.garbage

    @property
    def estimates(self) -> dict[StreamKey, int]:
        """Expected rows by stream, where the connector says."""
        return self._session.estimates

    def __iter__(self) -> Iterator[Records | State | Status | Control]:
        for envelopes in self._session.chunks():
            yield from self._chunk(envelopes)
        for failure in self._session.failures:
            self._note(failure)
        self._session.raise_for_end()

    def _chunk(
        self, envelopes: list[Batch | Envelope | BrokenRecord]
    ) -> Iterator[Records | State | Status | Control]:
        for envelope in envelopes:
            if isinstance(envelope, Batch):
                yield from self._batch(envelope)
                continue
            if isinstance(envelope, BrokenRecord):
                if envelope.stream in self._keys:
                    raise self._session.malformed(envelope)
                self.ignored += 1
                continue
            message = self._session.take(envelope)
            if isinstance(message, Control):
                learn(self._redactor, self._spec, message)
                yield message
            if isinstance(message, State | Status):
                if isinstance(message, Status):
                    self.statuses[message.stream] = message.status
                yield message

    def _batch(self, batch: Batch) -> Iterator[Records]:
        for name, (data, emitted_at) in batch.items():
            key = self._keys.get(name)
            if key is None:
                self.ignored += len(data)
                continue
            if key in self._kept:
                data = [_cut(one, self._kept[key]) for one in data]
            yield Records(key, data, emitted_at)

    def _note(self, failure: Failure) -> None:
        if failure.stream is not None:
            self.failures.setdefault(failure.stream, self._session.describe(failure))


_PROPERTIES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _cut(data: bytes, kept: frozenset[str]) -> bytes:
    """A record without the properties that are not ``kept``; what is kept keeps its bytes."""
    found = _PROPERTIES.decode(data)
    return msgspec.json.encode({name: value for name, value in found.items() if name in kept})


def _catalog(streams: Sequence[ConfiguredStream]) -> dict[str, Any]:
    """Airbyte's ConfiguredAirbyteCatalog."""
    configured = []
    for item in streams:
        incremental = item.sync_mode is SyncMode.INCREMENTAL or bool(item.cursor_field)
        modes = [SyncMode.FULL_REFRESH] + ([SyncMode.INCREMENTAL] if incremental else [])
        key = [list(path) for path in item.primary_key]
        stream: dict[str, Any] = {
            "name": item.key.name,
            "json_schema": item.json_schema,
            "supported_sync_modes": modes,
            "source_defined_primary_key": key,
            "default_cursor_field": list(item.cursor_field),
        }
        if item.key.namespace is not None:
            stream["namespace"] = item.key.namespace
        configured.append(
            {
                "stream": stream,
                "sync_mode": modes[-1],
                "destination_sync_mode": "append",
                "cursor_field": list(item.cursor_field),
                "primary_key": key,
            }
        )
    return {"streams": configured}


def _state_file(name: str, state: Sequence[bytes | str]) -> bytes:
    """What Airbyte's platform writes for ``--state``: a list, or a LEGACY state's bare object."""
    try:
        parsed = [
            protocol.parse_state(blob.encode() if isinstance(blob, str) else bytes(blob))
            for blob in state
        ]
    except protocol.MalformedError as error:
        raise TerminalError(
            f"connector {name}: its stored state cannot be read ({error}); reset it"
        ) from error
    kinds = [item.kind for item in parsed]
    if kinds.count("GLOBAL") > 1 or ("LEGACY" in kinds and len(kinds) > 1):
        raise TerminalError(
            f"connector {name}: its stored states mix {', '.join(sorted(set(kinds)))}; reset them"
        )
    if kinds == ["LEGACY"]:
        return protocol.legacy_data(parsed[0].blob)
    return b"[" + b",".join(item.blob for item in parsed) + b"]"
