"""A connection's state in people's hands: read, reset, exported, imported, put back.

What goes out and comes in is Airbyte's own JSON: a list of AirbyteStateMessage, as its platform
writes it for a connector, or the bare object of a LEGACY state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Raw
from sqlalchemy.exc import DBAPIError

from atlas.connectors import protocol
from atlas.connectors.repair import is_utf8, repair
from atlas.errors import NotFound, UsageError
from atlas.ledger import state, state_changes
from atlas.ledger import state_documents as documents
from atlas.ledger.state_changes import Change
from atlas.model.stream import StreamKey

_MAP = msgspec.json.Decoder(dict[str, Raw])
_LIST = msgspec.json.Decoder(list[Raw])
_TYPES = {b'"STREAM"', b'"GLOBAL"', b'"LEGACY"', b'"STATE"'}


def show(conn: sa.Connection, name: str) -> dict[str, Any]:
    """What the connection's state is: whole as Airbyte's JSON, and stream by stream.

    Returns:
        ``{"connection", "type", "state", "streams": [{"stream", "namespace", "type", "state",
        "run_id", "updated_at"}]}``; every ``state`` is a :class:`msgspec.Raw`.

    Raises:
        NotFound: there is no such connection.
    """
    rows = state.rows(conn, state_changes.id_of(conn, name))
    return {
        "connection": name,
        "type": rows[0].type if rows else None,
        "state": Raw(_exported([state.restored(row) for row in rows])),
        "streams": [item for row in rows for item in _streams(row)],
    }


def show_stream(conn: sa.Connection, name: str, stream: str) -> dict[str, Any]:
    """One stream's part of :func:`show`, with the connection.

    Raises:
        NotFound: there is no such connection, or no state of this stream.
        UsageError: several streams have this name.
    """
    connection_id = state_changes.id_of(conn, name)
    key = state_changes.find(conn, name, connection_id, stream)
    for row in state.rows(conn, connection_id):
        for item in _streams(row):
            if (item["stream"], item["namespace"]) == (key.name, key.namespace):
                return {"connection": name, **item}
    raise state_changes.unknown(name, key, state.get(conn, connection_id))


def export(conn: sa.Connection, name: str, stream: str | None = None) -> bytes:
    """The state as Airbyte's JSON; of one stream as what a connector would get for it alone.

    Raises:
        NotFound: there is no such connection, or no state of this stream.
    """
    connection_id = state_changes.id_of(conn, name)
    present = state.get(conn, connection_id)
    if stream is None:
        return _exported(present)
    key = state_changes.find(conn, name, connection_id, stream)
    reading = documents.Reading({key: documents.Basis()})
    for each in present:
        if key in each.streams:
            given = documents.given(each.type, each.key, each.document, reading)
            return _exported([state.State(each.type, each.key, given)])
    raise state_changes.unknown(name, key, present)


def reset(conn: sa.Connection, name: str, stream: str | None, *, actor: str) -> None:
    """Forget the state of one stream, or all of it; nothing to forget is no error.

    Raises:
        NotFound: there is no such connection or stream. ActiveRun: it has an active run.
        Conflict: a LEGACY state cannot be reset in part.
    """
    change = Change(conn, name, actor=actor)
    change.reset(None if stream is None else change.find(stream))


def import_(conn: sa.Connection, name: str, text: bytes, stream: str | None, *, actor: str) -> None:
    """Have ``text`` be all the state of the connection, or that of one stream.

    Args:
        text: a list of AirbyteStateMessage, one of them, or a LEGACY state's bare object; for
            ``stream`` one message of type STREAM, or the connector's own value.

    Raises:
        UsageError: it is none of these. NotFound: there is no such connection or stream.
        ActiveRun: the connection has an active run.
        Conflict: a LEGACY state cannot be replaced in part.
    """
    _storable(text)
    states = parse(text) if stream is None else []
    own, named = (b"", None) if stream is None else _one(text, stream)
    change = Change(conn, name, actor=actor)
    if stream is None:
        with _fitting():
            change.replace(states, action="import")
        return
    try:
        key = change.find(stream)
    except NotFound:
        # Nothing knows the stream yet; the message may.
        if named is None:
            raise
        key = named
    if named is not None and named != key:
        raise UsageError(f"the state is one of stream {named}, not of {key}")
    with _fitting():
        change.put(key, own, action="import")


def restore(conn: sa.Connection, name: str, history_id: int, *, actor: str) -> None:
    """Put back a state of the history.

    Raises:
        NotFound: there is no such connection or entry. ActiveRun: it has an active run.
        Conflict: its kind does not fit what the connection has now.
    """
    Change(conn, name, actor=actor).restore(history_id)


def history(
    conn: sa.Connection,
    name: str,
    *,
    stream: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """A page of the states that the connection had, newest first; see
    :func:`state_changes.history`. A ``state`` is None where it was reset."""
    page = state_changes.history(conn, name, stream=stream, limit=limit, cursor=cursor)
    for item in page["items"]:
        item["changed_at"] = _time(item["changed_at"])
        if item["state"] is not None:
            item["state"] = Raw(documents.bare(item["state"]).encode())
    return page


def parse(text: bytes) -> list[state.State]:
    """The states in Airbyte's JSON.

    Raises:
        UsageError: it is none.
    """
    try:
        start = text.lstrip()[:1]
        if start == b"[":
            messages = [_message(bytes(item)) for item in _LIST.decode(text)]
        elif start == b"{":
            top = _MAP.decode(text)
            if top and not _is_message(top):
                text = documents.legacy_document(text).encode()
            messages = [_message(text)] if top else []
        else:
            raise UsageError("the state must be a JSON list of AirbyteStateMessage, or an object")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"the state is not JSON that Airbyte would write: {error}") from error
    kinds = [message.kind for message in messages]
    if kinds.count("GLOBAL") > 1 or ("LEGACY" in kinds and len(kinds) > 1):
        raise UsageError("the state must hold one GLOBAL at most, or one LEGACY alone")
    named = [key for message in messages for key in (message.stream, *message.streams) if key]
    for key in named:
        if named.count(key) > 1:
            raise UsageError(f"the state has stream {key} twice")
    return [
        state.State(message.kind, message.stream, documents.bare(message.blob.decode()))
        for message in messages
    ]


def _storable(text: bytes) -> None:
    if not is_utf8(text) or repair(text)[1]:
        raise UsageError("the state holds a NUL or half a character, which cannot be stored")


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    """PostgreSQL's errors about values, as the user's."""
    try:
        yield
    except DBAPIError as error:
        if (getattr(error.orig, "pgcode", None) or "")[:2] not in ("22", "54"):
            raise
        raise UsageError("the state holds a value that PostgreSQL cannot store") from error


def _is_message(top: dict[str, Raw]) -> bool:
    """Whether an object is an AirbyteStateMessage, and not a LEGACY state's own."""
    if bytes(top.get("type", b"")) in _TYPES or set(top) == {"data"}:
        return True
    for name, part in (("stream", b"stream_descriptor"), ("global", b"stream_states")):
        inner = bytes(top.get(name, b""))
        if inner[:1] == b"{" and part.decode() in _MAP.decode(inner):
            return True
    return False


def _message(blob: bytes) -> protocol.State:
    top = _MAP.decode(blob)
    if bytes(top.get("type", b"")) == b'"STATE"' and "state" in top:  # as a connector printed it
        blob = bytes(top["state"])
        top = _MAP.decode(blob)
    if not _is_message(top):
        raise UsageError("the state has an item that is no AirbyteStateMessage")
    try:
        return protocol.parse_state(blob)
    except protocol.MalformedError as error:
        raise UsageError(f"the state has an item that cannot be read: {error}") from error


def _one(text: bytes, stream: str) -> tuple[bytes, StreamKey | None]:
    """The connector's own state of one stream, and the stream that it says it is of."""
    try:
        top: Any = msgspec.json.decode(text)
        if isinstance(top, dict) and not _is_message(_MAP.decode(text)):
            return text, None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"the state is not JSON: {error}") from error
    if not isinstance(top, dict | list):
        raise UsageError(f"stream {stream}: its state must be a JSON object")
    found = [
        (key, entry)
        for each in parse(text)
        for key, entry in (
            [(each.key, documents.stream_entry(each.document))]
            if each.key is not None
            else documents.entries(each.document).items()
            if each.type == "GLOBAL"
            else ()
        )
    ]
    if len(found) != 1:
        raise UsageError(f"stream {stream}: give the state of one stream, not of {len(found)}")
    return documents.value(found[0][1]), found[0][0]


def _exported(states: list[state.State]) -> bytes:
    if [each.type for each in states] == ["LEGACY"]:
        return documents.legacy_data(states[0].document)
    return b"[" + b",".join(documents.bare(each.document).encode() for each in states) + b"]"


def _streams(row: sa.Row[Any]) -> list[dict[str, Any]]:
    found = state.restored(row)
    if found.key is not None:
        entries = {found.key: documents.stream_entry(found.document)}
    else:
        entries = documents.entries(found.document) if found.type == "GLOBAL" else {}
    return [
        {
            "stream": key.name,
            "namespace": key.namespace,
            "type": row.type,
            "state": Raw(documents.value(entry)),
            "run_id": row.run_id,
            "updated_at": _time(row.updated_at),
        }
        for key, entry in entries.items()
    ]


def _time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
