"""A form from a connector's spec: what it asks for, and what is wrong with an answer."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

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

_LINK = re.compile(
    r"""<a\b[^>]*?href\s*=\s*["']?(https?://[^"'\s>]+)["']?[^>]*>(.*?)</a\s*>"""
    r"""|\[([^\]]+)\]\((https?://[^)\s]+)\)""",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<[^>]+>")


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
        if value is NOTHING and self._fresh and "default" in schema:
            value = schema["default"]
        made = Field(
            kind_of(self._root, schema, depth),
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
                known.get(name, NOTHING),
                (*made.place, name),
                depth=depth + 1,
                inner=made.inner,
                required=name in needed,
            )
            plain = child.required or child.kind == "fixed" or name in known
            shown = plain or resolved(self._root, inner).get("always_show") is True
            (made.fields if shown or len(properties) <= 4 else made.more).append(child)

    def _forms(self, made: Field, schema: Schema, value: Any, depth: int) -> None:
        forms = alternatives(schema)
        taken = taken_form(self._root, forms, value)
        if taken is None and (made.required or value is not NOTHING):
            taken = 0
        for index, form in enumerate(forms):
            form = resolved(self._root, form)
            mine = f"{made.name}@{index}"
            given = value if taken == index else NOTHING
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
            rows = [NOTHING]
        for index, row in enumerate(rows[:MOST_ROWS]):
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


def _fill(made: Field, schema: Schema, value: Any) -> None:
    """What the input of a single value shows."""
    known = None if value is NOTHING else value
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
    if type_of(schema) == "number":
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


def _constant_of(root: Schema, form: Schema) -> str:
    for inner in (form.get("properties") or {}).values():
        inner = resolved(root, inner)
        if "const" in inner:
            return str(inner["const"])
    return ""


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
