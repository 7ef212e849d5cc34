"""A connector's config: references resolved, the spec obeyed, secrets known and kept out of text.

``${env:NAME}`` and ``${file:PATH}`` are resolved here and nowhere else, where the connector runs;
what they stood for is never stored.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from atlas.errors import TerminalError, UsageError
from atlas.settings import PREFIX

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")
_HIDDEN = "***"
_WORD_BELOW = 4
"""Secrets shorter than this are hidden as whole words only, or every text would be stars."""
_LINE_FROM = 8
"""A line of a secret of several lines (a private key) is a secret too, from this length on."""


def resolve(config: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Resolved:
    """Put in what ``${env:NAME}`` and ``${file:PATH}`` stand for (a file's last newline is left
    out), in strings at any depth.

    Raises:
        TerminalError: a variable is not set, or a file cannot be read; the message names it.
    """
    found: list[str] = []

    def look_up(match: re.Match[str]) -> str:
        value = _look_up(match[1], match[2].strip(), environ)
        found.append(value)
        return value

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return REFERENCE.sub(look_up, value)
        if isinstance(value, Mapping):
            return {name: walk(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item) for item in value]
        return value

    return Resolved(walk(config), found)


def sent_back(
    config: Mapping[str, Any],
    sent: Any,
    spec: Mapping[str, Any],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """What to keep of a config that a connector sends in the place of ``config``, whose references
    stay where what they stand for is still the value.

    Raises:
        UsageError: it is none to go on with: no object, without what the spec requires, or with a
            reference of the connector's own, which would be looked up where it runs.
    """
    if not isinstance(sent, dict):
        raise UsageError("it is no object")
    missing = [name for name in spec.get("required") or () if name not in sent]
    if missing:
        raise UsageError(f"it lacks {missing[0]}, which the spec requires")

    def walk(old: Any, value: Any) -> Any:
        if isinstance(old, str) and REFERENCE.search(old) and _same(old, value, environ):
            return old
        if isinstance(value, str) and REFERENCE.search(value):
            raise UsageError("it holds a ${…} reference of the connector's own")
        if isinstance(value, dict):
            known = old if isinstance(old, Mapping) else {}
            return {name: walk(known.get(name), item) for name, item in value.items()}
        if isinstance(value, list):
            each = old if isinstance(old, list) and len(old) == len(value) else [None] * len(value)
            return [walk(*pair) for pair in zip(each, value, strict=True)]
        return value

    return {name: walk(config.get(name), item) for name, item in sent.items()}


def _same(reference: str, value: Any, environ: Mapping[str, str]) -> bool:
    try:
        found = resolve({"": reference}, environ).values[""]
    except TerminalError:
        return False
    return bool(found == value)


class Resolved:
    """A config ready for its connector.

    Attributes:
        values: the config with all references put in.
        secrets: what those references stood for, as strings.
    """

    __slots__ = ("secrets", "values")

    def __init__(self, values: dict[str, Any], found: list[str]) -> None:
        self.values = values
        self.secrets = found

    def __repr__(self) -> str:
        """Tells nothing of the values."""
        return f"Resolved({len(self.values)} properties)"


def _look_up(kind: str, name: str, environ: Mapping[str, str]) -> str:
    if kind == "env":
        if name.startswith(PREFIX):
            raise TerminalError(
                f"${{env:{name}}}: Atlas's settings are not for connectors; use another variable"
            )
        value = environ.get(name)
        if value is None:
            raise TerminalError(
                f"${{env:{name}}}: the variable is not set where the connector runs; set it there"
            )
        return value
    try:
        return Path(name).expanduser().read_text().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TerminalError(
            f"${{file:{name}}}: cannot be read where the connector runs: {reason}"
        ) from error


# --- spec ----------------------------------------------------------------------------------------


def secrets(spec: Mapping[str, Any] | None, config: Any) -> list[str]:
    """The values in ``config`` that ``spec`` marks with ``airbyte_secret``, as strings.

    A property is secret if any branch of the schema says so. Without a spec every string of the
    config counts as secret, for nobody knows better.
    """
    if spec is None:
        return list(dict.fromkeys(_leaves(config)))
    found = [_leaves(_at(config, path)) for path in secret_paths(spec, config)]
    return list(dict.fromkeys(leaf for leaves in found for leaf in leaves))


Place = tuple[str | int, ...]


def secret_paths(spec: Mapping[str, Any], config: Any) -> Iterator[Place]:
    """Where in ``config`` that stands which ``spec`` marks with ``airbyte_secret``: names of
    properties and positions in lists, outermost first. A path may come twice."""
    return _secret_paths(spec, spec, config, ())


def _at(value: Any, path: Place) -> Any:
    for part in path:
        value = value[part]
    return value


def _secret_paths(
    root: Mapping[str, Any], schema: Any, value: Any, path: Place, depth: int = 0
) -> Iterator[Place]:
    if not isinstance(schema, Mapping) or depth > 64:  # a $ref to itself ends here
        return
    if schema.get("airbyte_secret") is True:
        yield path
        return
    for branch in _branches(root, schema):
        yield from _secret_paths(root, branch, value, path, depth + 1)
    if isinstance(value, Mapping):
        properties = schema.get("properties")
        known = properties if isinstance(properties, Mapping) else {}
        for name, item in value.items():
            inner = known.get(name, schema.get("additionalProperties"))
            yield from _secret_paths(root, inner, item, (*path, name), depth + 1)
    elif isinstance(value, list):
        items = schema.get("items")
        for position, item in enumerate(value):
            inner = items
            if isinstance(items, list):
                inner = items[position] if position < len(items) else None
            yield from _secret_paths(root, inner, item, (*path, position), depth + 1)


def _branches(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Any]:
    for word in ("oneOf", "anyOf", "allOf"):
        branches = schema.get(word)
        if isinstance(branches, list):
            yield from branches
    for word in ("if", "then", "else"):
        if word in schema:
            yield schema[word]
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = root
        for part in reference[2:].split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        yield target


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield str(value)


def validate(name: str, spec: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check ``config`` of connection ``name`` against its connector's spec.

    A string with a ``${…}`` reference is taken as right: what it stands for is known only where
    the connector runs.

    Raises:
        UsageError: it does not fit; the message names the property, and no secret.
        TerminalError: the spec is no JSON schema.
    """
    # Imported here, for the command line imports this module and validates seldom.
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft7Validator.check_schema(spec)
    except SchemaError as error:
        raise TerminalError(
            f"connection {name}: the connector's spec is no valid JSON schema: {error.message}"
        ) from error
    problem = max(
        _problems(Draft7Validator(spec).iter_errors(config)),
        key=lambda error: (-len(error.absolute_path), error.validator not in _CHOICES),
        default=None,
    )
    if problem is None:
        return
    where = "config" + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem.absolute_path
    )
    what = problem.message
    nameless = ("required", "additionalProperties", "dependencies")
    whole = isinstance(problem.instance, dict | list) and problem.validator not in nameless
    if whole or problem.validator in _CHOICES:
        what = "does not fit the connector's spec"  # its message would print all that stands there
    hide = Redactor(secrets(spec, config))
    if isinstance(problem.instance, str) and "airbyte_secret" in json.dumps(problem.schema):
        hide.add([problem.instance])  # where an object with a secret in it was expected
    raise UsageError(f"connection {name}: {where}: {one_line(hide(what))}")


_CHOICES = ("oneOf", "anyOf")


def _problems(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """What is wrong, without what only a reference makes look wrong; of a choice of forms what is
    wrong with the one that was meant, where that can be told."""
    for error in errors:
        if isinstance(error.instance, str) and REFERENCE.search(error.instance):
            continue
        if error.validator not in _CHOICES or not error.context:
            yield error
            continue
        forms: dict[int | str, list[ValidationError]] = {}
        for inner in error.context:
            forms.setdefault(inner.relative_schema_path[0], []).append(inner)
        left = [list(_problems(form)) for form in forms.values()]
        if all(left):  # else a form fits, but for references
            yield from _of_the_form_meant(left) or [error]


def _of_the_form_meant(forms: list[list[ValidationError]]) -> list[ValidationError]:
    """The errors of that form whose type and whose constants (``auth_type``) are those given; or
    the constant or the property that all forms miss."""
    constants = [
        [e for e in form if e.validator in ("const", "enum") and len(e.relative_path) == 1]
        for form in forms
    ]
    meant = [
        form
        for form, wrong in zip(forms, constants, strict=True)
        if not wrong and not any(e.validator == "type" and not e.relative_path for e in form)
    ]
    if len(meant) == 1:
        return meant[0]
    if meant:
        said = {e.message for e in meant[0] if e.validator == "required"}.intersection(
            *({e.message for e in form} for form in meant[1:])
        )
        return [e for e in meant[0] if e.message in said]
    named = [wrong[0] for wrong in constants if wrong]
    if len(named) == len(forms) and len({e.relative_path[0] for e in named}) == 1:
        allowed: list[Any] = []
        for e in named:
            value: Any = e.validator_value
            allowed += [value] if e.validator == "const" else value
        named[0].message = f"{named[0].instance!r} is not one of {allowed}"
        return named[:1]
    return []


# --- text ----------------------------------------------------------------------------------------


_PERSONAL = re.compile(
    r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+|(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])"
)
"""E-mail addresses, and numbers as long as a card's: connectors quote the record they fail on."""


_NAMES = ("passw", "pwd", "secret", "token", "key", "signature", "bearer", "basic ", "://")
_CREDENTIAL = re.compile(
    r"""(?P<name>(?:passw(?:or)?d|pwd|secret|token|signature|(?:api|access|private|secret)[ _-]?key)
         ["']?\s*(?:=\s*["']?|:\s*["']|:\s+(?=[^\s"']*\d)))
         (?![*]{3}|true\b|false\b|null\b|none\b)[^\s"'&,;(){}\[\]]{4,}
    | (?P<scheme>\b(?:bearer|basic)\s+)(?=\S*\d)[\w.~+/=-]{8,}
    | (?P<url>\w://[^\s/@:]{0,256}:)[^\s/@]{1,256}(?=@)""",
    re.IGNORECASE | re.VERBOSE,
)
"""What is called a credential, whatever it is: connectors print tokens that they asked for
themselves, and passwords of elsewhere, which no config has."""


class Redactor:
    """Replaces secrets in text by ``***``, also as JSON, URL and Python's repr spell them.

    Call it with the whole text: a secret cut in half is not recognised.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Hide ``values`` too."""
        before = len(self._values)
        for value in values:
            self._values.update(_spellings(value))
        if len(self._values) == before:
            return
        patterns = [
            re.escape(value) if len(value) >= _WORD_BELOW else rf"(?<!\w){re.escape(value)}(?!\w)"
            for value in sorted(self._values, key=len, reverse=True)
        ]
        self._pattern = re.compile("|".join(patterns))

    def __call__(self, text: str) -> str:
        """``text`` without secrets, what is called one, and what is personal beyond doubt."""
        text = text if self._pattern is None else self._pattern.sub(_HIDDEN, text)
        low = text.lower()
        if any(name in low for name in _NAMES):
            text = _CREDENTIAL.sub(_hidden, text)
        return _PERSONAL.sub(_HIDDEN, text)


def _hidden(found: re.Match[str]) -> str:
    return (found["name"] or found["scheme"] or found["url"]) + _HIDDEN


def _spellings(value: str) -> Iterator[str]:
    parts = [value, value.strip()]
    lines = value.splitlines()
    if len(lines) > 1:
        parts += [line.strip() for line in lines if len(line.strip()) >= _LINE_FROM]
    for part in parts:
        if not part.strip():
            continue
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield quote(part, safe="")
        yield quote(part)
        yield quote_plus(part)
        yield repr(part)[1:-1]
        yield " ".join(part.split())


def one_line(text: str, limit: int = 400) -> str:
    """``text`` as one line of at most ``limit`` characters; redact before, never after."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
