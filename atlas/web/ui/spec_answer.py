"""From what somebody answered in a form of a connector's spec to a configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from atlas.web.ui.spec_schema import (
    MOST_ROWS,
    NOTHING,
    ROOT,
    Schema,
    alternatives,
    escaped,
    kind_of,
    resolved,
    taken_form,
    type_of,
)

_NUMBERS = ("integer", "number")


class Answer:
    """What was sent: ``config``, and what of it could not be read, by the field's name."""

    __slots__ = ("config", "errors")

    def __init__(self, config: dict[str, Any], errors: dict[str, str]) -> None:
        self.config = config
        self.errors = errors


def parse(spec: Schema, sent: Mapping[str, list[str]], before: Mapping[str, Any]) -> Answer:
    """The configuration that a form of ``spec`` was filled in with.

    Args:
        sent: values by the fields' names.
        before: what stood there; a switch that was off in it stays in it, off.
    """
    parser = _Parser(spec, sent)
    found = parser.value(spec, ROOT, before, depth=0, required=True)
    return Answer(found if isinstance(found, dict) else {}, parser.errors)


class _Parser:
    def __init__(self, root: Schema, sent: Mapping[str, list[str]]) -> None:
        self._root = root
        self._sent = sent
        self.errors: dict[str, str] = {}

    def _first(self, name: str) -> str | None:
        values = self._sent.get(name)
        return values[0] if values else None

    def value(self, schema: Any, name: str, before: Any, *, depth: int, required: bool) -> Any:
        """What was sent for a property; ``NOTHING``: it is left out."""
        schema = resolved(self._root, schema)
        kind = kind_of(self._root, schema, depth)
        if kind == "group":
            return self._group(schema, name, before, depth, required)
        if kind == "forms":
            return self._forms(schema, name, before, depth, required)
        if kind == "rows":
            return self._rows(schema, name, before, depth)
        if kind == "fixed":
            return schema.get("const", (schema.get("enum") or [None])[0])
        return self._leaf(kind, schema, name, before, required)

    def _group(self, schema: Schema, name: str, before: Any, depth: int, required: bool) -> Any:
        known = before if isinstance(before, Mapping) else {}
        needed = set(schema.get("required") or ())
        inside_form = "@" in name.rpartition("/")[2]
        found: dict[str, Any] = {}
        said = False
        for child, inner in (schema.get("properties") or {}).items():
            fixed = kind_of(self._root, resolved(self._root, inner), depth + 1) == "fixed"
            # A constant says nothing by itself, but of a form that was chosen.
            if fixed and not (child in needed or child in known or inside_form):
                continue
            value = self.value(
                inner,
                f"{name}/{escaped(child)}",
                known.get(child, NOTHING),
                depth=depth + 1,
                required=child in needed,
            )
            if value is not NOTHING:
                found[child] = value
                said = said or not fixed
        return found if said or required or depth == 0 or known else NOTHING

    def _forms(self, schema: Schema, name: str, before: Any, depth: int, required: bool) -> Any:
        forms = alternatives(schema)
        chosen = self._first(f"{name}@")
        if not chosen:
            return NOTHING
        index = _count(chosen)
        if index is None or index >= len(forms):
            self.errors[name] = "choose one of the forms"
            return NOTHING
        same = taken_form(self._root, forms, before) == index
        return self.value(
            forms[index],
            f"{name}@{index}",
            before if same else NOTHING,
            depth=depth + 1,
            required=True,
        )

    def _rows(self, schema: Schema, name: str, before: Any, depth: int) -> Any:
        known = before if isinstance(before, list) else []
        found = []
        for index in range(min(_count(self._first(f"{name}#") or "") or 0, MOST_ROWS)):
            if self._first(f"{name}#{index}!"):  # taken out
                continue
            row = self.value(
                schema.get("items"),
                f"{name}#{index}",
                known[index] if index < len(known) else NOTHING,
                depth=depth + 1,
                required=False,
            )
            if row is not NOTHING:
                found.append(row)
        if self._first("_add") == name:
            found.append({})
        return found if found or known else NOTHING

    def _leaf(self, kind: str, schema: Schema, name: str, before: Any, required: bool) -> Any:
        if kind == "many":
            options = {str(each): each for each in resolved(self._root, schema["items"])["enum"]}
            chosen = [options[each] for each in self._sent.get(name, ()) if each in options]
            return chosen if chosen or required or before is not NOTHING else NOTHING
        if kind == "boolean":
            if self._first(name) is not None:
                return True
            plain = before is NOTHING and not required and "default" not in schema
            return NOTHING if plain else False
        text = self._first(name)
        if text is None or not text.strip():
            return NOTHING
        try:
            return _read(kind, schema, self._root, text)
        except ValueError as error:
            self.errors[name] = str(error)
            return text


def _count(text: str) -> int | None:
    """The number that the form itself has sent, which is small, or None: somebody else did."""
    return int(text) if text.isdecimal() and len(text) < 7 else None


def _read(kind: str, schema: Schema, root: Schema, text: str) -> Any:
    """A value from what stands in its input.

    Raises:
        ValueError: it is of another kind; says what is wanted.
    """
    match kind:
        case "choice":
            options = {str(each): each for each in schema["enum"]}
            if text not in options:
                raise ValueError("choose one of " + ", ".join(options))
            return options[text]
        case "integer" | "number":
            return _number(text, kind)
        case "list":
            inner = type_of(resolved(root, schema.get("items")))
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            return [_number(line, inner) if inner in _NUMBERS else line for line in lines]
        case "json":
            try:
                return json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError("must be JSON") from error
        case _:
            # A browser sends the ends of lines as it likes; a key must stay as it was copied.
            text = text.replace("\r\n", "\n")
            return text if schema.get("multiline") else text.strip()


def _number(text: str, kind: str) -> int | float:
    text = text.strip()
    if re.fullmatch(r"[+-]?\d{1,300}", text):
        return int(text)
    if kind == "integer":
        raise ValueError("must be a whole number")
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError("must be a number") from error
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("must be a number")
    return value
