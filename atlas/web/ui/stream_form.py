"""The wizard's form of streams: what the source offers, what was chosen of it, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.datastructures import MultiDict

_MOST_COLUMNS = 300


def shown(
    offered: Sequence[Mapping[str, Any]],
    chosen: Mapping[str, Mapping[str, Any]] | None,
    before: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The rows of the form.

    Args:
        offered: the streams as a source told them (``discover``).
        chosen: the selection; None: all of them, each as the source can.
        before: what was kept, where ``chosen`` is something wrong that was said since.
    """
    rows = []
    for index, stream in enumerate(offered):
        name = _name(stream, offered, chosen)
        selection = (chosen or {}).get(name) or {}
        was = (before or {}).get(_name(stream, offered, before)) or {}
        properties = _properties(stream)
        modes = stream["sync_modes"] or ["full_refresh"]
        mode = selection.get("sync_mode") or _usual_mode(stream, modes)
        kept = _kept(selection, properties)
        default, own_key = stream["default_cursor_field"], stream["source_defined_primary_key"]
        cursor_fixed, key_fixed = bool(stream["source_defined_cursor"]), bool(own_key)
        cursor = default if cursor_fixed else selection.get("cursor_field") or default
        key = own_key or selection.get("primary_key") or []
        rows.append(
            {
                "index": index,
                "name": name,
                "namespace": stream["namespace"],
                "picked": chosen is None or name in chosen,
                "modes": modes,
                "mode": mode,
                "cursor": ".".join(cursor) if cursor_fixed else _value(cursor) if cursor else "",
                "cursor_fixed": cursor_fixed,
                "other_cursors": _others([cursor, was.get("cursor_field"), default], properties),
                "key": [".".join(path) if key_fixed else _value(path) for path in key],
                "key_fixed": key_fixed,
                "other_keys": _others([*key, *was.get("primary_key", ())], properties),
                "columns": [
                    {"name": each, "kept": each in kept, "type": _type(stream, each)}
                    for each in properties[:_MOST_COLUMNS]
                ],
                "count": len(properties),
                "kept": len(kept),
            }
        )
    return rows


def parse(
    offered: Sequence[Mapping[str, Any]],
    form: MultiDict[str, str],
    before: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, dict[str, Any]] | None, str | None]:
    """The selection that was made (None: all that the source offers), and what is wrong with it in
    one line.

    What is as the source would have it is not written down, unless it was ``before``.
    """
    chosen: dict[str, dict[str, Any]] = {}
    error = None
    for index, stream in enumerate(offered):
        if form.get(f"s{index}") is None:
            continue
        name = _name(stream, offered, before)
        was = (before or {}).get(name) or {}
        entry: dict[str, Any] = {}
        mode = form.get(f"s{index}-mode", "")
        usual = _usual_mode(stream, stream["sync_modes"])
        if mode in stream["sync_modes"] and (mode != usual or "sync_mode" in was):
            entry["sync_mode"] = mode
        cursor = _cursor(stream, form, index, was)
        if cursor and (mode == "incremental" or "cursor_field" in was):
            entry["cursor_field"] = cursor
        known = stream["source_defined_cursor"] or stream["default_cursor_field"]
        if mode == "incremental" and not cursor and not known:
            error = f"stream {name}: an incremental sync needs a cursor"
        key = _key(stream, form, index, was)
        if key:
            entry["primary_key"] = key
        entry |= _columns(stream, form, index, was)
        chosen[name] = entry
    if not chosen:
        error = "choose at least one stream"
    if "every" in form and not any(chosen.values()) and len(chosen) == len(offered):
        return None, error
    return chosen, error


def _name(
    stream: Mapping[str, Any],
    offered: Sequence[Mapping[str, Any]],
    chosen: Mapping[str, Any] | None,
) -> str:
    """What a stream is called in a selection: with its namespace where the name alone says too
    little, or where ``chosen`` calls it so."""
    same = [each for each in offered if each["stream"] == stream["stream"]]
    if stream["namespace"]:
        whole = f"{stream['namespace']}.{stream['stream']}"
        if len(same) > 1 or whole in (chosen or {}):
            return whole
    return str(stream["stream"])


def _properties(stream: Mapping[str, Any]) -> list[str]:
    return list((stream["json_schema"] or {}).get("properties") or {})


def _value(path: Sequence[str]) -> str:
    """A path as the value of an option: a column by its name, dots and all; what is deeper as
    JSON."""
    return path[0] if len(path) == 1 else json.dumps(path)


def _path(value: str, properties: Sequence[str]) -> list[str]:
    """What :func:`_value` wrote."""
    if value not in properties and value.startswith("["):
        try:
            path = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
        if path and isinstance(path, list) and all(isinstance(each, str) for each in path):
            return path
    return [value]


def _others(
    paths: Sequence[Sequence[str] | None], properties: Sequence[str]
) -> list[tuple[str, str]]:
    """Options (value, words) of ``paths`` that are none of the columns that are shown: deeper, far
    down, or no longer at the source."""
    found = {_value(path): ".".join(path) for path in paths if path}
    columns = properties[:_MOST_COLUMNS]
    return [(value, words) for value, words in found.items() if value not in columns]


def _cursor(
    stream: Mapping[str, Any], form: MultiDict[str, str], index: int, was: Mapping[str, Any]
) -> list[str] | None:
    """The cursor to be written down; None: the source's own, or none."""
    before = was.get("cursor_field")
    if stream["source_defined_cursor"]:
        return before
    value = form.get(f"s{index}-cursor", "")
    cursor = _path(value, _properties(stream)) if value else None
    return cursor if before is not None or cursor != stream["default_cursor_field"] else None


def _key(
    stream: Mapping[str, Any], form: MultiDict[str, str], index: int, was: Mapping[str, Any]
) -> list[list[str]] | None:
    """The key to be written down; its parts stay in their order while they are the same."""
    before: list[list[str]] | None = was.get("primary_key")
    if stream["source_defined_primary_key"]:
        return before
    properties = _properties(stream)
    key = [_path(each, properties) for each in form.getlist(f"s{index}-key") if each]
    return before if before is not None and sorted(before) == sorted(key) else key


def _columns(
    stream: Mapping[str, Any], form: MultiDict[str, str], index: int, was: Mapping[str, Any]
) -> dict[str, list[str]]:
    properties = _properties(stream)
    before = _kept(was, properties)
    # What is not shown is as it was.
    kept = set(form.getlist(f"s{index}-column")) | before.intersection(properties[_MOST_COLUMNS:])
    if not kept:
        return {}
    if "columns" in was:
        if kept == before:
            return {"columns": was["columns"]}
        return {"columns": [each for each in properties if each in kept]}
    # What the source adds later comes along, unless only some were asked for.
    left_out = [each for each in properties if each not in kept]
    if set(left_out) == set(was.get("exclude") or ()):
        left_out = was.get("exclude") or []
    return {"exclude": left_out} if left_out else {}


def _kept(selection: Mapping[str, Any], properties: list[str]) -> set[str]:
    if "columns" in selection:
        return set(selection["columns"]) & set(properties)
    return set(properties) - set(selection.get("exclude") or ())


def _usual_mode(stream: Mapping[str, Any], modes: Sequence[str]) -> str:
    known = stream["source_defined_cursor"] or stream["default_cursor_field"]
    return "incremental" if "incremental" in modes and known else "full_refresh"


def _type(stream: Mapping[str, Any], name: str) -> str:
    schema = stream["json_schema"]["properties"].get(name) or {}
    kind = schema.get("type")
    kinds = [each for each in kind if each != "null"] if isinstance(kind, list) else [kind]
    return str(schema.get("format") or " or ".join(str(each) for each in kinds if each) or "any")
