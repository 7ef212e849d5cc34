"""What a connector's spec asks for: read alike by who makes a form of it and who reads the answer.

A field's name is the path of its property: ``config/credentials/client_id``, with ``~1`` for a
slash and ``~0`` for a tilde, as in a JSON pointer. Of a choice (``oneOf``) field ``PATH@`` says
which form was taken, and those of form 2 begin with ``PATH@2``. Lists of objects have their rows
at ``PATH#0``, ``PATH#1``… and their number in ``PATH#``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROOT = "config"
DEEPEST = 8
"""Levels of a spec that become fields; what is deeper is asked for as JSON."""
MOST_ROWS = 200
"""Most objects of a list that a form takes."""
NOTHING = object()
"""In the place of a value: there is none."""

Schema = Mapping[str, Any]


def kind_of(root: Schema, schema: Schema, depth: int) -> str:
    """What a property is asked for with: one of the kinds of :class:`.spec_form.Field`."""
    if depth >= DEEPEST:
        return "json"
    if "const" in schema or (len(schema.get("enum") or ()) == 1):
        return "fixed"
    if schema.get("enum"):
        return "choice"
    if alternatives(schema):
        return "forms"
    kind = type_of(schema)
    if kind == "object":
        return "group" if schema.get("properties") else "json"
    if kind == "array":
        items = resolved(root, schema.get("items"))
        if items.get("enum"):
            return "many"
        inside = kind_of(root, items, depth + 1) if items else "json"
        if inside in ("text", "number", "integer"):
            return "list"
        return "rows" if inside in ("group", "forms") else "json"
    return {"string": "text", "boolean": "boolean", "integer": "integer", "number": "number"}.get(
        kind, "json"
    )


def type_of(schema: Schema) -> str:
    """The type of a value that is there; empty where there may be several."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [each for each in kind if each != "null"]
        return str(kinds[0]) if len(kinds) == 1 else ""
    if kind is None and schema.get("properties"):
        return "object"
    return str(kind or "")


def alternatives(schema: Schema) -> list[Any]:
    """The forms that a value may have, without that of none; empty where there is no choice."""
    for word in ("oneOf", "anyOf"):
        forms = schema.get(word)
        if isinstance(forms, list) and forms:
            objects = [each for each in forms if isinstance(each, Mapping)]
            return [each for each in objects if each.get("type") != "null"]
    return []


def taken_form(root: Schema, forms: list[Any], value: Any) -> int | None:
    """Which form a value is of: the one whose constants it has, and whose required properties."""
    if not isinstance(value, Mapping):
        if value is NOTHING or value is None:
            return None
        kinds = [type_of(resolved(root, form)) for form in forms]
        mine = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array"}
        return kinds.index(found) if (found := mine.get(type(value), "")) in kinds else 0
    best, most = 0, -1.0
    for index, form in enumerate(forms):
        form = resolved(root, form)
        properties = form.get("properties") or {}
        score = 0.0
        for name, inner in properties.items():
            inner = resolved(root, inner)
            constants = [inner["const"]] if "const" in inner else inner.get("enum") or []
            if constants and name in value:
                score += 10 if value[name] in constants else -10
            elif name in value:
                score += 1
        score -= sum(0.5 for name in form.get("required") or () if name not in value)
        if score > most:
            best, most = index, score
    return best


def resolved(root: Schema, schema: Any) -> dict[str, Any]:
    """A schema with what it refers to and what it is made of (``allOf``) put in."""
    found = dict(schema) if isinstance(schema, Mapping) else {}
    for _ in range(DEEPEST):
        reference = found.get("$ref")
        if not (isinstance(reference, str) and reference.startswith("#/")):
            break
        target: Any = root
        for part in reference[2:].split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        rest = {word: value for word, value in found.items() if word != "$ref"}
        found = {**(target if isinstance(target, Mapping) else {}), **rest}
    parts = found.get("allOf")
    if isinstance(parts, list):
        merged: dict[str, Any] = {}
        for part in parts:
            merged.update(resolved(root, part))
        found = {**merged, **{k: v for k, v in found.items() if k != "allOf"}}
    return found


def escaped(name: str) -> str:
    """A property's name as a part of a field's."""
    return name.replace("~", "~0").replace("/", "~1").replace("@", "~2").replace("#", "~3")
