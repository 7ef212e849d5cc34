"""The wizard's form of streams: what the source offers, what was chosen of it, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.datastructures import MultiDict

_MOST_COLUMNS = 300


def name_of(stream: Mapping[str, Any], offered: Sequence[Mapping[str, Any]]) -> str:
    """What a stream is called in a selection: with its namespace where the name alone says too
    little."""
    same = [each for each in offered if each["stream"] == stream["stream"]]
    if len(same) > 1 and stream["namespace"]:
        return f"{stream['namespace']}.{stream['stream']}"
    return str(stream["stream"])


def shown(
    offered: Sequence[Mapping[str, Any]], chosen: Mapping[str, Mapping[str, Any]] | None
) -> list[dict[str, Any]]:
    """The rows of the form.

    Args:
        offered: the streams as a source told them (``discover``).
        chosen: the selection; None: all of them, each as the source can.
    """
    rows = []
    for index, stream in enumerate(offered):
        name = name_of(stream, offered)
        selection = (chosen or {}).get(name) or {}
        properties = list((stream["json_schema"] or {}).get("properties") or {})
        modes = stream["sync_modes"] or ["full_refresh"]
        mode = selection.get("sync_mode") or _usual_mode(stream, modes)
        kept = _kept(selection, properties)
        rows.append(
            {
                "index": index,
                "name": name,
                "namespace": stream["namespace"],
                "picked": chosen is None or name in chosen,
                "modes": modes,
                "mode": mode,
                "cursor": ".".join(
                    selection.get("cursor_field") or stream["default_cursor_field"] or []
                ),
                "cursor_fixed": bool(stream["source_defined_cursor"]),
                "key": [
                    ".".join(path)
                    for path in selection.get("primary_key")
                    or stream["source_defined_primary_key"]
                    or []
                ],
                "key_fixed": bool(stream["source_defined_primary_key"]),
                "columns": [
                    {"name": each, "kept": each in kept, "type": _type(stream, each)}
                    for each in properties[:_MOST_COLUMNS]
                ],
                "kept": len(kept),
                "many": len(properties) > _MOST_COLUMNS,
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
        name = name_of(stream, offered)
        entry: dict[str, Any] = {}
        mode = form.get(f"s{index}-mode", "")
        was = (before or {}).get(name) or {}
        usual = _usual_mode(stream, stream["sync_modes"])
        if mode in stream["sync_modes"] and (mode != usual or "sync_mode" in was):
            entry["sync_mode"] = mode
        cursor = form.get(f"s{index}-cursor", "")
        if mode == "incremental" and not stream["source_defined_cursor"]:
            default = ".".join(stream["default_cursor_field"])
            if cursor and (cursor != default or "cursor_field" in was):
                entry["cursor_field"] = cursor.split(".")
            elif not cursor and not default:
                error = f"stream {name}: an incremental sync needs a cursor"
        key = [each for each in form.getlist(f"s{index}-key") if each]
        if key and not stream["source_defined_primary_key"]:
            entry["primary_key"] = [each.split(".") for each in key]
        entry |= _columns(stream, form, index, was)
        chosen[name] = entry
    if not chosen:
        error = "choose at least one stream"
    if "every" in form and not any(chosen.values()) and len(chosen) == len(offered):
        return None, error
    return chosen, error


def _columns(
    stream: Mapping[str, Any], form: MultiDict[str, str], index: int, was: Mapping[str, Any]
) -> dict[str, list[str]]:
    properties = list((stream["json_schema"] or {}).get("properties") or {})[:_MOST_COLUMNS]
    kept = set(form.getlist(f"s{index}-column"))
    left_out = [each for each in properties if each not in kept]
    if "columns" in was and len(properties) <= _MOST_COLUMNS:
        return {"columns": [each for each in properties if each in kept]} if kept else {}
    # What the source adds later comes along, unless only some were asked for.
    return {"exclude": left_out} if left_out and kept else {}


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
