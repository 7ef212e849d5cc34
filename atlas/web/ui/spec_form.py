"""A form from a connector's spec: what it asks for, and what somebody answered.

A field's name is the path of its property: ``config/credentials/client_id``, with ``~1`` for a
slash and ``~0`` for a tilde, as in a JSON pointer. Of a choice (``oneOf``) field ``PATH@`` says
which form was taken, and those of form 2 begin with ``PATH@2``. Lists of objects have their rows
at ``PATH#0``, ``PATH#1``… and their number in ``PATH#``.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

ROOT = "config"
_DEEPEST = 8
_MOST_ROWS = 200
_LINK = re.compile(
    r"""<a\b[^>]*?href\s*=\s*["']?(https?://[^"'\s>]+)["']?[^>]*>(.*?)</a\s*>"""
    r"""|\[([^\]]+)\]\((https?://[^)\s]+)\)""",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<[^>]+>")
_NOTHING = object()

Schema = Mapping[str, Any]


@dataclass(slots=True)
class Field:
    """One thing that the form asks for.

    Attributes:
        kind: text, number, integer, boolean, choice (of ``options``), many (several of them), list
            (one value a line), json, fixed (nothing to choose), group (of ``fields``), forms (one
            of ``forms``), rows (a list of groups).
        name: of the input.
        value: as the input shows it; for many a list; for fixed what it is.
        secret: whether it is one; its value is never that, only the mask.
        inner: whether it stands in a form that may not be chosen, so that the browser must not
            insist on it.
        place: names and positions from the configuration's root, for what is wrong with it.
    """

    kind: str
    name: str
    title: str
    value: Any = ""
    help: Markup = field(default_factory=Markup)
    required: bool = False
    secret: bool = False
    long: bool = False
    inner: bool = False
    options: list[Any] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    place: tuple[str | int, ...] = ()
    error: str = ""
    more: list[Field] = field(default_factory=list)


@dataclass(slots=True)
class Form:
    """One form of a choice: its index, title and fields, and whether it is the one taken."""

    index: str
    title: str
    help: Markup
    chosen: bool
    fields: list[Field]


# --- from a spec to a form -----------------------------------------------------------------------


def build(spec: Schema, config: Mapping[str, Any], *, fresh: bool) -> Field:
    """The form for ``config``, in which secrets are masked.

    Args:
        fresh: nothing was answered yet: what has a default begins with it.
    """
    group = _Builder(spec, fresh).field(spec, ROOT, "", config, (), depth=0, inner=False)
    if group.kind != "group":
        group = Field("group", ROOT, "", fields=[])
    if not group.fields:
        group.fields, group.more = group.more, []
    return group


class _Builder:
    def __init__(self, root: Schema, fresh: bool) -> None:
        self._root = root
        self._fresh = fresh

    def field(
        self,
        schema: Any,
        name: str,
        title: str,
        value: Any,
        place: tuple[str | int, ...],
        *,
        depth: int,
        inner: bool,
        required: bool = False,
    ) -> Field:
        schema = resolved(self._root, schema)
        if value is _NOTHING and self._fresh and "default" in schema:
            value = schema["default"]
        made = Field(
            _kind(self._root, schema, depth),
            name,
            str(schema.get("title") or title),
            help=help_text(schema.get("description")),
            required=required,
            secret=schema.get("airbyte_secret") is True,
            long=schema.get("multiline") is True,
            inner=inner,
            place=place,
            attributes=_attributes(schema),
        )
        if made.kind == "group":
            self._group(made, schema, value, depth)
        elif made.kind == "forms":
            self._forms(made, schema, value, depth)
        elif made.kind == "rows":
            self._rows(made, schema, value, depth)
        else:
            _fill(made, schema, value)
        return made

    def _group(self, made: Field, schema: Schema, value: Any, depth: int) -> None:
        known = value if isinstance(value, Mapping) else {}
        needed = set(schema.get("required") or ())
        properties = schema.get("properties") or {}
        ordered = sorted(properties.items(), key=lambda pair: _order(self._root, pair[1]))
        for name, inner in ordered:
            child = self.field(
                inner,
                f"{made.name}/{escaped(name)}",
                name,
                known.get(name, _NOTHING),
                (*made.place, name),
                depth=depth + 1,
                inner=made.inner,
                required=name in needed,
            )
            plain = child.required or child.kind == "fixed" or name in known
            shown = plain or resolved(self._root, inner).get("always_show") is True
            (made.fields if shown or len(properties) <= 4 else made.more).append(child)

    def _forms(self, made: Field, schema: Schema, value: Any, depth: int) -> None:
        forms = _alternatives(schema)
        taken = _taken(self._root, forms, value)
        if taken is None and (made.required or value is not _NOTHING):
            taken = 0
        for index, form in enumerate(forms):
            form = resolved(self._root, form)
            mine = f"{made.name}@{index}"
            given = value if taken == index else _NOTHING
            inside = self.field(
                {**form, "title": "", "description": ""},
                mine,
                "",
                given,
                made.place,
                depth=depth + 1,
                inner=True,
            )
            fields = [*inside.fields, *inside.more] if inside.kind == "group" else [inside]
            made.forms.append(
                Form(
                    str(index),
                    str(form.get("title") or _constant_of(self._root, form) or f"form {index + 1}"),
                    help_text(form.get("description")),
                    taken == index,
                    fields,
                )
            )

    def _rows(self, made: Field, schema: Schema, value: Any, depth: int) -> None:
        rows = list(value) if isinstance(value, list) else []
        if not rows and made.required:
            rows = [_NOTHING]
        for index, row in enumerate(rows[:_MOST_ROWS]):
            made.fields.append(
                self.field(
                    schema.get("items"),
                    f"{made.name}#{index}",
                    f"{made.title} {index + 1}",
                    row,
                    (*made.place, index),
                    depth=depth + 1,
                    inner=True,
                )
            )


def _kind(root: Schema, schema: Schema, depth: int) -> str:
    if depth >= _DEEPEST:
        return "json"
    if "const" in schema or (len(schema.get("enum") or ()) == 1):
        return "fixed"
    if schema.get("enum"):
        return "choice"
    if _alternatives(schema):
        return "forms"
    kind = _type(schema)
    if kind == "object":
        return "group" if schema.get("properties") else "json"
    if kind == "array":
        items = resolved(root, schema.get("items"))
        if items.get("enum"):
            return "many"
        inside = _kind(root, items, depth + 1) if items else "json"
        if inside in ("text", "number", "integer"):
            return "list"
        return "rows" if inside in ("group", "forms") else "json"
    return {"string": "text", "boolean": "boolean", "integer": "integer", "number": "number"}.get(
        kind, "json"
    )


def _fill(made: Field, schema: Schema, value: Any) -> None:
    """What the input of a single value shows."""
    known = None if value is _NOTHING else value
    match made.kind:
        case "fixed":
            made.value = schema.get("const", (schema.get("enum") or [None])[0])
        case "choice":
            made.options = [each for each in schema["enum"] if each is not None]
            made.value = "" if known is None else known
        case "many":
            made.options = list(resolved(schema, schema.get("items")).get("enum") or ())
            made.value = known if isinstance(known, list) else []
        case "list":
            made.value = "\n".join(map(str, known)) if isinstance(known, list) else ""
        case "json":
            made.value = "" if known is None else json.dumps(known, indent=2, ensure_ascii=False)
        case "boolean":
            made.value = known is True
        case _:
            made.value = "" if known is None else str(known)


def _attributes(schema: Schema) -> dict[str, str]:
    """What the browser can check, and an example to go by."""
    found: dict[str, str] = {}
    for word, attribute in (("minimum", "min"), ("maximum", "max"), ("maxLength", "maxlength")):
        if isinstance(schema.get(word), int | float):
            found[attribute] = str(schema[word])
    if _type(schema) == "number":
        found["step"] = "any"
    examples = schema.get("examples")
    if isinstance(examples, list) and examples and isinstance(examples[0], str | int | float):
        found["placeholder"] = str(examples[0])
    if schema.get("pattern_descriptor"):
        found["placeholder"] = str(schema["pattern_descriptor"])
    return found


def _order(root: Schema, schema: Any) -> float:
    order = resolved(root, schema).get("order")
    return float(order) if isinstance(order, int | float) else 1e9


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [each for each in kind if each != "null"]
        return str(kinds[0]) if len(kinds) == 1 else ""
    if kind is None and schema.get("properties"):
        return "object"
    return str(kind or "")


def _alternatives(schema: Schema) -> list[Any]:
    for word in ("oneOf", "anyOf"):
        forms = schema.get(word)
        if isinstance(forms, list) and forms:
            objects = [each for each in forms if isinstance(each, Mapping)]
            return [each for each in objects if each.get("type") != "null"]
    return []


def _taken(root: Schema, forms: list[Any], value: Any) -> int | None:
    """Which form a value is of: the one whose constants it has, and whose required properties."""
    if not isinstance(value, Mapping):
        if value is _NOTHING or value is None:
            return None
        kinds = [_type(resolved(root, form)) for form in forms]
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


def _constant_of(root: Schema, form: Schema) -> str:
    for inner in (form.get("properties") or {}).values():
        inner = resolved(root, inner)
        if "const" in inner:
            return str(inner["const"])
    return ""


def resolved(root: Schema, schema: Any) -> dict[str, Any]:
    """A schema with what it refers to and what it is made of (``allOf``) put in."""
    found = dict(schema) if isinstance(schema, Mapping) else {}
    for _ in range(_DEEPEST):
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


def help_text(text: Any) -> Markup:
    """A description of a spec, which may hold links in HTML or Markdown: those stay, as links of
    ours, and every other tag goes."""
    if not isinstance(text, str):
        return Markup()
    pieces, at = [], 0
    for match in _LINK.finditer(text):
        pieces.append(escape(_plain(text[at : match.start()])))
        href, words = (match[1], match[2]) if match[1] else (match[4], match[3])
        pieces.append(
            Markup('<a href="{}" rel="noreferrer noopener" target="_blank">{}</a>').format(
                html.unescape(href), _plain(words)
            )
        )
        at = match.end()
    pieces.append(escape(_plain(text[at:])))
    return Markup("").join(pieces)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(_TAG.sub("", text)).replace("`", ""))


def escaped(name: str) -> str:
    """A property's name as a part of a field's."""
    return name.replace("~", "~0").replace("/", "~1").replace("@", "~2").replace("#", "~3")


def place_errors(form: Field, errors: Mapping[str, str]) -> str | None:
    """Write what is wrong beside the field that it is about; returns what is about none.

    Args:
        errors: by a field's name; under ``""`` one line that begins with the place, such as
            ``connection shop: config.credentials.key: must be …``.
    """
    general = None
    fields = list(_every(form))
    for name, words in errors.items():
        if name:
            found = [each for each in fields if each.name == name]
        else:
            place, what = _place_of(words)
            found = [
                each
                for each in fields
                if each.kind != "group" and ".".join(map(str, each.place)) == place
            ]
            words = what if found else words
        if found:
            # Of a choice several forms have the place: it is the chosen one's.
            found[-1].error = words
        else:
            general = words.partition(": ")[2] if words.startswith("connection ") else words
    return general


_MISSING = re.compile(r"'([^']+)' is a required property")


def _place_of(words: str) -> tuple[str, str]:
    match = re.search(r"config((?:\.[^.:\[\]]+|\[\d+\])*): (.*)", words)
    if match is None:
        return "\0", words
    place = match[1].replace("[", ".").replace("]", "").strip(".")
    missing = _MISSING.fullmatch(match[2])
    if missing:
        return ".".join(filter(None, (place, missing[1]))), "this is needed"
    return place, match[2]


def _every(form: Field) -> Iterator[Field]:
    yield form
    for child in (*form.fields, *form.more):
        yield from _every(child)
    for each in form.forms:
        if each.chosen:
            for child in each.fields:
                yield from _every(child)


# --- from an answer to a configuration -----------------------------------------------------------


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
        """What was sent for a property; ``_NOTHING``: it is left out."""
        schema = resolved(self._root, schema)
        kind = _kind(self._root, schema, depth)
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
            fixed = _kind(self._root, resolved(self._root, inner), depth + 1) == "fixed"
            # A constant says nothing by itself, but of a form that was chosen.
            if fixed and not (child in needed or child in known or inside_form):
                continue
            value = self.value(
                inner,
                f"{name}/{escaped(child)}",
                known.get(child, _NOTHING),
                depth=depth + 1,
                required=child in needed,
            )
            if value is not _NOTHING:
                found[child] = value
                said = said or not fixed
        return found if said or required or depth == 0 or known else _NOTHING

    def _forms(self, schema: Schema, name: str, before: Any, depth: int, required: bool) -> Any:
        forms = _alternatives(schema)
        chosen = self._first(f"{name}@")
        if not chosen:
            return _NOTHING
        if not chosen.isdigit() or int(chosen) >= len(forms):
            self.errors[name] = "choose one of the forms"
            return _NOTHING
        index = int(chosen)
        same = _taken(self._root, forms, before) == index
        return self.value(
            forms[index],
            f"{name}@{index}",
            before if same else _NOTHING,
            depth=depth + 1,
            required=True,
        )

    def _rows(self, schema: Schema, name: str, before: Any, depth: int) -> Any:
        known = before if isinstance(before, list) else []
        count = self._first(f"{name}#") or "0"
        found = []
        for index in range(min(int(count), _MOST_ROWS) if count.isdigit() else 0):
            if self._first(f"{name}#{index}!"):  # taken out
                continue
            row = self.value(
                schema.get("items"),
                f"{name}#{index}",
                known[index] if index < len(known) else _NOTHING,
                depth=depth + 1,
                required=False,
            )
            if row is not _NOTHING:
                found.append(row)
        if self._first("_add") == name:
            found.append({})
        return found if found or known else _NOTHING

    def _leaf(self, kind: str, schema: Schema, name: str, before: Any, required: bool) -> Any:
        if kind == "many":
            options = {str(each): each for each in resolved(self._root, schema["items"])["enum"]}
            chosen = [options[each] for each in self._sent.get(name, ()) if each in options]
            return chosen if chosen or required or before is not _NOTHING else _NOTHING
        if kind == "boolean":
            if self._first(name) is not None:
                return True
            plain = before is _NOTHING and not required and "default" not in schema
            return _NOTHING if plain else False
        text = self._first(name)
        if text is None or not text.strip():
            return _NOTHING
        try:
            return _read(kind, schema, self._root, text)
        except ValueError as error:
            self.errors[name] = str(error)
            return text


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
            inner = _type(resolved(root, schema.get("items")))
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


_NUMBERS = ("integer", "number")


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
