"""From what a source offers and what a connection selects to what one run reads."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from atlas.errors import UsageError
from atlas.model.stream import (
    AvailableStream,
    ConfiguredStream,
    FieldPath,
    StreamKey,
    StreamSelection,
    SyncMode,
)

_NOTHING = StreamSelection()


def configure(
    available: Sequence[AvailableStream],
    selections: Mapping[str, StreamSelection] | None = None,
    only: Sequence[str] | None = None,
    full_refresh: bool = False,
    known: Mapping[StreamKey, Collection[str]] | None = None,
) -> list[ConfiguredStream]:
    """The streams of one run, in the source's order.

    Incremental is the default where the stream supports it and a cursor is known; the source's own
    primary key and cursor win over the user's, as the protocol demands.

    Args:
        selections: by stream name ("namespace.name" where names repeat); None selects all.
        only: names of the selected streams that this run reads; None: all of them.
        full_refresh: read from scratch, once. An incremental stream then comes back as
            ``full_refresh`` *with* its cursor field: :class:`atlas.connectors.reader.Reader` asks
            the source for an incremental read, and the caller gives no state. This is Airbyte's
            own "refresh": everything is read, and the state at the end is one that the next
            incremental run can go on from, which the state of a plain full refresh is not.
        known: properties that a stream had before. One that is gone may stand in ``columns``
            still: it was no misspelling.

    Raises:
        UsageError: a name that the source lacks, a sync mode that the stream lacks, or a cursor
            that nobody names; the message says what to write.
    """
    by_name = _by_name(available)
    if selections is None:
        chosen = {stream.key: _NOTHING for stream in available}
    else:
        chosen = {
            _find(by_name, name, "the source").key: selection
            for name, selection in selections.items()
        }
    if only is not None:
        wanted = {_find(by_name, name, "the source").key for name in only}
        missing = [str(key) for key in wanted if key not in chosen]
        if missing:
            raise UsageError(
                f"stream {min(missing)}: not selected by the connection; add it to its streams"
            )
        chosen = {key: selection for key, selection in chosen.items() if key in wanted}
    return [
        _configure(stream, chosen[stream.key], full_refresh, (known or {}).get(stream.key, ()))
        for stream in available
        if stream.key in chosen
    ]


def _by_name(available: Iterable[AvailableStream]) -> dict[str, list[AvailableStream]]:
    names: dict[str, list[AvailableStream]] = {}
    for stream in available:
        names.setdefault(stream.key.name, []).append(stream)
        if stream.key.namespace is not None:
            names.setdefault(str(stream.key), []).append(stream)
    return names


def _find(names: Mapping[str, list[AvailableStream]], name: str, whose: str) -> AvailableStream:
    found = names.get(name)
    if found is None:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {_some(names)}"
        raise UsageError(f"stream {name}: {whose} has none of this name; {hint}")
    if len(found) > 1:
        raise UsageError(
            f"stream {name}: there are several; write one of "
            + ", ".join(sorted(str(stream.key) for stream in found))
        )
    return found[0]


def _some(names: Iterable[str], most: int = 8) -> str:
    listed = sorted(names)
    shown = ", ".join(listed[:most]) or "none at all"
    return shown + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _configure(
    stream: AvailableStream, selection: StreamSelection, full_refresh: bool, known: Collection[str]
) -> ConfiguredStream:
    name = stream.key
    can_increment = SyncMode.INCREMENTAL in stream.supported_sync_modes
    cursor = _cursor(stream, selection)
    mode = selection.sync_mode
    if mode is None:
        has_cursor = bool(cursor) or stream.source_defined_cursor
        mode = SyncMode.INCREMENTAL if can_increment and has_cursor else SyncMode.FULL_REFRESH
    elif mode not in stream.supported_sync_modes:
        raise UsageError(
            f"stream {name}: it cannot be read {mode}; write sync_mode: "
            + " or ".join(stream.supported_sync_modes)
        )
    if mode is SyncMode.INCREMENTAL and not cursor and not stream.source_defined_cursor:
        raise UsageError(
            f"stream {name}: sync_mode incremental needs a cursor and the source defines none; "
            "write cursor_field: [column]"
        )
    _known_columns(stream, selection, known)
    cursor = cursor if mode is SyncMode.INCREMENTAL else ()
    primary_key = stream.source_defined_primary_key or selection.primary_key or ()
    schema = stream.json_schema
    cut = selection.columns is not None or selection.exclude is not None
    if cut:
        needed = {"cursor": cursor[:1], "primary key": [path[0] for path in primary_key if path]}
        schema = _selected(stream, selection, needed)
    return ConfiguredStream(
        key=stream.key,
        json_schema=schema,
        sync_mode=SyncMode.FULL_REFRESH if full_refresh else mode,
        cursor_field=cursor,
        primary_key=primary_key,
        cut=cut,
    )


def _selected(
    stream: AvailableStream, selection: StreamSelection, needed: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The stream's schema with the columns that are wanted; what a source says of its log or its
    deletions (``_ab_…``) stays unless it is named in ``exclude``."""
    properties = stream.json_schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise UsageError(
            f"stream {stream.key}: its source names no columns, so none can be selected"
        )
    if selection.columns is not None:
        kept = {name for name in properties if name in selection.columns or name.startswith(_META)}
    else:
        kept = set(properties) - set(selection.exclude or ())
    for word, names in needed.items():
        for name in names:
            if name in properties and name not in kept:
                raise UsageError(
                    f"stream {stream.key}: column {name} is its {word} and cannot be left out"
                )
    return {
        **stream.json_schema,
        "properties": {name: said for name, said in properties.items() if name in kept},
    }


_META = "_ab_"


def _cursor(stream: AvailableStream, selection: StreamSelection) -> FieldPath:
    if stream.source_defined_cursor:
        return stream.default_cursor_field
    return selection.cursor_field or stream.default_cursor_field


def _known_columns(
    stream: AvailableStream, selection: StreamSelection, known: Collection[str]
) -> None:
    """A misspelt key or cursor would end in rows without identity: say so at once."""
    properties = stream.json_schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return
    for word, paths in (
        ("cursor_field", (selection.cursor_field,) if selection.cursor_field else ()),
        ("primary_key", selection.primary_key or ()),
        ("columns", [(name,) for name in selection.columns or () if name not in known]),
        ("exclude", [(name,) for name in selection.exclude or ()]),
    ):
        for path in paths:
            if path and path[0] not in properties:
                near = difflib.get_close_matches(path[0], list(properties), n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {_some(properties)}"
                raise UsageError(f"stream {stream.key}: {word} {path[0]} is no column; {hint}")
