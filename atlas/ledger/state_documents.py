"""A connector's states as JSON, taken apart and put together without reading their values.

A document is the text of an AirbyteStateMessage. Its parts stay the bytes that they were, so a
cursor of forty digits comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from atlas.model.stream import FieldPath, StreamKey

_STATS = ("sourceStats", "destinationStats")
_NULL = b"null"


class _Descriptor(msgspec.Struct, omit_defaults=True):
    name: str
    namespace: str | None = None


class _Entry(msgspec.Struct):
    stream_descriptor: _Descriptor
    stream_state: Raw = Raw(_NULL)


_MAP = msgspec.json.Decoder(dict[str, Raw])
_LIST = msgspec.json.Decoder(list[Raw])
_ENTRY = msgspec.json.Decoder(_Entry)
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Basis:
    """How a stream was read when its state was made."""

    cursor_field: FieldPath = ()
    primary_key: tuple[FieldPath, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What one attempt reads, and so what it can speak for.

    Attributes:
        streams: the streams that its source was asked for, with how they are read.
        anew: those of them that are read from their start.
        whole: whether that is all that the connection reads.
    """

    streams: Mapping[StreamKey, Basis]
    anew: Collection[StreamKey] = ()
    whole: bool = True


def entries(document: str) -> dict[StreamKey, bytes]:
    """The streams inside a GLOBAL state, each with its AirbyteStreamState."""
    found = {}
    for item in _LIST.decode(_inner(document).get("stream_states") or b"[]"):
        key = _ENTRY.decode(item).stream_descriptor
        found[StreamKey(key.name, key.namespace)] = bytes(item)
    return found


def shared(document: str) -> bytes | None:
    """The part of a GLOBAL state that belongs to all its streams; None: it has none."""
    found = bytes(_inner(document).get("shared_state") or _NULL)
    return None if found == _NULL else found


def value(entry: bytes) -> bytes:
    """The connector's own value inside an AirbyteStreamState."""
    return bytes(_ENTRY.decode(entry).stream_state)


def entry(key: StreamKey, own: bytes) -> bytes:
    """The AirbyteStreamState of a stream, of the connector's own value."""
    return _encode(_Entry(_Descriptor(key.name, key.namespace), Raw(own)))


def stream_entry(document: str) -> bytes:
    """The AirbyteStreamState inside a STREAM state."""
    return bytes(_MAP.decode(document)["stream"])


def stream_document(key: StreamKey, own: bytes) -> str:
    """A STREAM state of the connector's own value."""
    return _encode({"type": "STREAM", "stream": Raw(entry(key, own))}).decode()


def legacy_data(document: str) -> bytes:
    """The bare object inside a LEGACY state."""
    return bytes(_MAP.decode(document).get("data") or b"{}")


def legacy_document(data: bytes) -> str:
    """A LEGACY state of its bare object."""
    return _encode({"type": "LEGACY", "data": Raw(data)}).decode()


def bare(document: str) -> str:
    """The state without what was counted when it was sent."""
    top = {name: part for name, part in _MAP.decode(document).items() if name not in _STATS}
    return _encode(top).decode()


def counted(document: str, rows: int) -> str:
    """The state with what Atlas stored of the rows before it, as destinations say it."""
    top = dict(_MAP.decode(document))
    top["destinationStats"] = Raw(_encode({"recordCount": float(rows)}))
    return _encode(top).decode()


def with_entries(document: str, kept: Mapping[StreamKey, bytes], common: bytes | None) -> str:
    """A GLOBAL state with these streams and this shared part instead of its own."""
    top, inner = dict(_MAP.decode(document)), dict(_inner(document))
    inner["stream_states"] = Raw(_encode([Raw(item) for item in kept.values()]))
    if common is None:
        inner.pop("shared_state", None)
    else:
        inner["shared_state"] = Raw(common)
    top["global"] = Raw(_encode(inner))
    return _encode(top).decode()


def merged_global(former: str, new: str, reading: Reading) -> str:
    """What a GLOBAL state comes to, sent by a source that was asked for ``reading``.

    A stream that it leaves out keeps its entry, unless it is read anew. Those that were not asked
    for keep theirs, whatever the source says of them; and for their sake the shared part stays as
    it was, for what it has moved past would be lost to them. So the source sends that part again
    when they are read. Only a run of all that the connection reads moves it, and a stream that is
    no longer read then loses its entry: should it be read again, it begins anew.
    """
    before, now = entries(former), entries(new)
    common, held = shared(new), shared(former)
    outside = {key: item for key, item in before.items() if key not in reading.streams}
    kept = {
        key: item
        for key, item in before.items()
        if key in reading.streams and key not in now and key not in reading.anew
    }
    if reading.whole and (common is not None or held is not None):
        outside = {}
    elif outside and held is not None:
        common = held
    return with_entries(new, {**kept, **now, **outside}, common)


def merged_legacy(former: str, new: str, reading: Reading) -> str:
    """What a LEGACY state comes to. By custom it holds streams by name: those that were not asked
    for stay."""
    if reading.whole:
        return new
    names = {key.name for key in reading.streams}
    before = _MAP.decode(legacy_data(former))
    outside = {name: part for name, part in before.items() if name not in names}
    top = dict(_MAP.decode(new))
    top["data"] = Raw(_encode({**_MAP.decode(legacy_data(new)), **outside}))
    return _encode(top).decode()


def given(kind: str, key: StreamKey | None, document: str, reading: Reading) -> str:
    """What a source gets of a stored state to go on with ``reading``; "" for nothing."""
    going_on = reading.streams.keys() - set(reading.anew)
    if not going_on or (key is not None and key not in going_on):
        return ""
    if kind == "GLOBAL":
        some = {one: item for one, item in entries(document).items() if one in going_on}
        common = shared(document)
        return with_entries(document, some, common) if some or common is not None else ""
    if kind == "LEGACY" and reading.anew:
        names = {one.name for one in reading.anew}
        data = _MAP.decode(legacy_data(document))
        return legacy_document(_encode({n: part for n, part in data.items() if n not in names}))
    return document


def _inner(document: str) -> dict[str, Raw]:
    return _MAP.decode(_MAP.decode(document).get("global") or b"{}")
