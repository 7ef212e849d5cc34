"""What a run makes of a source that offers something else than before: takes it in, leaves it out,
or stops. Each change is told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from atlas.errors import TerminalError
from atlas.layers import names, types
from atlas.ledger import source_changes
from atlas.ledger.database import cursor
from atlas.ledger.runs import Run, RunStream
from atlas.model.connection import Connection
from atlas.model.evolution import Change, SchemaPolicy, SourceChange
from atlas.model.stream import AvailableStream, ColumnType, ConfiguredStream, StreamKey

_MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Offer:
    """What the source has, and what of it the run would read."""

    available: Sequence[AvailableStream]
    configured: Sequence[ConfiguredStream]
    gone: Sequence[ConfiguredStream] = ()


def lost_streams(
    conn: sa.Connection,
    connection: Connection,
    connection_id: int,
    this: Run,
    available: Sequence[AvailableStream],
) -> dict[str, ConfiguredStream]:
    """Streams that the connection selects by name and its source has no more, as they were read
    last. One that was never read is not among them: its name is a misspelling."""
    there = {name for item in available for name in (item.key.name, str(item.key))}
    lost = [name for name in connection.streams or {} if name not in there]
    if not lost:
        return {}
    before = source_changes.before(conn, connection_id, this.id)
    return {
        name: item.configured
        for key, item in before.items()
        for name in lost
        if name in (key.name, str(key))
    }


def settle(
    conn: sa.Connection, connection: Connection, connection_id: int, this: Run, offer: Offer
) -> list[ConfiguredStream]:
    """The streams as this run reads them, by the connection's policy; the changes are written down.

    Raises:
        TerminalError: the policy is ``fail``, and something changed that nobody has accepted; or
            ``freeze``, and nothing of what was there before is left.
    """
    # Whatever the policy is: an acceptance that nobody needed must not wait for a later change.
    accepted = source_changes.accepted(conn, connection_id)
    policy = SchemaPolicy.EVOLVE if accepted else connection.schema_changes
    before = source_changes.before(conn, connection_id, this.id)
    if not before:
        return _bounded(offer.configured, connection)
    changes, fresh = _of_streams(conn, connection, connection_id, this, offer, before)
    configured = list(offer.configured)
    known = {
        key: names.known(cursor(conn), connection.name, key)
        for key in (item.key for item in configured)
        if key in before
    }
    for item in configured:
        if item.key in before:
            changes += _of_columns(item, before[item.key], offer, known[item.key])
    if policy is SchemaPolicy.FAIL and changes:
        raise TerminalError(_refusal(connection.name, changes))
    if policy is SchemaPolicy.FREEZE:
        configured = [
            _frozen(item, before.get(item.key), connection, known.get(item.key, {}))
            for item in configured
            if item.key not in fresh
        ]
        if not configured:
            raise TerminalError(_nothing_left(connection.name, fresh))
        kept = {item.key: set(_properties(item.json_schema)) for item in configured}
        changes = [_left_out(change, fresh, kept) for change in changes]
    source_changes.record(conn, connection.name, this.id, changes)
    return _bounded(configured, connection)


def _bounded(
    configured: Sequence[ConfiguredStream], connection: Connection
) -> list[ConfiguredStream]:
    """Under ``freeze`` what no schema names is left out from the first run on, and also of a run
    whose changes are accepted: nobody could see what it would be."""
    if connection.schema_changes is not SchemaPolicy.FREEZE:
        return list(configured)
    return [
        replace(item, cut=True) if _properties(item.json_schema) else item for item in configured
    ]


def _of_streams(
    conn: sa.Connection,
    connection: Connection,
    connection_id: int,
    this: Run,
    offer: Offer,
    before: dict[StreamKey, RunStream],
) -> tuple[list[SourceChange], set[StreamKey]]:
    """Streams that are new or gone: of those that it names, or where it takes whatever there is,
    of all; and the new ones."""
    if this.selected is not None:
        return [], set()
    if connection.streams is not None:
        named = {item.key for item in offer.configured}
        # Each is gone in every run; it is news, and has to be accepted, once.
        told = source_changes.gone(conn, connection.name)
        gone = {item.key for item in offer.gone} - told
        return _of_existence(set(), gone, named & told), set()
    whole = source_changes.whole_before(conn, connection_id, this.id)
    if not whole:
        return [], set()  # only some were asked for so far: the others are not new
    there = {item.key for item in offer.available}
    fresh = there - set(before)
    gone = whole - there
    back = there & source_changes.gone(conn, connection.name)
    return _of_existence(fresh, gone, back), fresh


def _of_existence(
    fresh: set[StreamKey], gone: set[StreamKey], back: set[StreamKey]
) -> list[SourceChange]:
    changes = [SourceChange(key, Change.STREAM_ADDED) for key in sorted(fresh, key=str)]
    changes += [SourceChange(key, Change.STREAM_REMOVED) for key in sorted(gone, key=str)]
    changes += [SourceChange(key, Change.STREAM_RETURNED) for key in sorted(back, key=str)]
    return changes


def _of_columns(
    item: ConfiguredStream, before: RunStream, offer: Offer, known: Mapping[str, ColumnType]
) -> list[SourceChange]:
    old, new = _properties(before.configured.json_schema), _properties(item.json_schema)
    (available,) = (each for each in offer.available if each.key == item.key)
    there = _properties(available.json_schema)
    changes = []
    for name in new:
        if name not in old:
            change = Change.RETURNED if name in known else Change.ADDED
            changes.append(SourceChange(item.key, change, name))
            continue
        was, now = types.column_type(old[name]), types.column_type(new[name])
        if was != now:
            detail = {"from": was.value, "to": now.value}
            changes.append(SourceChange(item.key, Change.TYPE, name, detail))
    # What the user has left out since is no change of the source.
    changes += [
        SourceChange(item.key, Change.REMOVED, name)
        for name in old
        if name not in new and name not in there
    ]
    if set(before.configured.primary_key) != set(item.primary_key):
        detail = {"from": _key(before.configured.primary_key), "to": _key(item.primary_key)}
        changes.append(SourceChange(item.key, Change.KEY, None, detail))
    return changes


def _frozen(
    item: ConfiguredStream,
    before: RunStream | None,
    connection: Connection,
    known: Mapping[str, ColumnType],
) -> ConfiguredStream:
    """``item`` with no column and no type that was not there before, but for what the connection
    asks for by name."""
    if before is None:
        return item
    properties = _properties(item.json_schema)
    selections = connection.streams or {}
    chosen = selections.get(str(item.key)) or selections.get(item.key.name)
    wanted = set(known) | set((chosen.columns or ()) if chosen is not None else ())
    old = _properties(before.configured.json_schema)
    if not known and not item.cut:
        # It never named a column, and its records were taken as they are.
        return replace(item, json_schema=before.configured.json_schema)
    kept = {
        name: _as_wide(schema, old.get(name), known.get(name))
        for name, schema in properties.items()
        if name in wanted or name.startswith("_ab_")
    }
    return replace(item, json_schema={**item.json_schema, "properties": kept}, cut=True)


def _as_wide(new: Any, old: Any, stored: ColumnType | None) -> Any:
    """The schema ``new``, unless the column would have to become wider for it."""
    if stored is None or types.widen(stored, types.column_type(new)) == stored:
        return new
    return types.schema_of(stored) if old is None else old


def _left_out(
    change: SourceChange, fresh: set[StreamKey], kept: dict[StreamKey, set[str]]
) -> SourceChange:
    if change.change is Change.STREAM_ADDED and change.stream in fresh:
        return replace(change, change=Change.STREAM_LEFT_OUT)
    if change.change is Change.ADDED and change.property not in kept.get(change.stream, set()):
        return replace(change, change=Change.LEFT_OUT)
    return change


def _refusal(connection: str, changes: list[SourceChange]) -> str:
    told = [f"stream {change.stream}: {change}" for change in changes[:_MOST_TOLD]]
    more = f"; and {len(changes) - _MOST_TOLD} more" if len(changes) > _MOST_TOLD else ""
    # A column's name may hold anything, and the error is one line.
    return " ".join(
        f"connection {connection}: its source has changed, and schema_changes is fail: "
        f"{'; '.join(told)}{more}; `atlas connections accept {connection}` has the next sync take "
        "it as it is".split()
    )


def _nothing_left(connection: str, fresh: set[StreamKey]) -> str:
    listed = sorted(map(str, fresh))
    more = f" and {len(listed) - _MOST_TOLD} more" if len(listed) > _MOST_TOLD else ""
    return " ".join(
        f"connection {connection}: every stream that its source offers is new, and schema_changes "
        f"is freeze: {', '.join(listed[:_MOST_TOLD])}{more}; `atlas connections accept "
        f"{connection}` has the next sync take it as it is".split()
    )


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _key(paths: Sequence[tuple[str, ...]]) -> str:
    return ", ".join(".".join(path) for path in paths) or "none"
