"""Operations: a function with what the documentation, the checks and the router know of it.

One declaration says path, role, query, body and answers; the route, the checks of the input and
the OpenAPI document are all made from it, so that they cannot disagree.
"""

from __future__ import annotations

import difflib
import enum
import functools
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from atlas.roles import Role
from atlas.web import auth, cursors
from atlas.web.database import settings
from atlas.web.problems import Problem

_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


@dataclass(frozen=True, slots=True)
class Returns:
    """One kind of answer: its model (None: no JSON), what it means, its headers, an example; of
    one without a body, ``media_type`` is empty."""

    model: type[msgspec.Struct] | None
    about: str
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    example: Any = None


@dataclass(frozen=True, slots=True)
class Link:
    """What may be done next with the thing of an answer.

    Attributes:
        parameter: of the path of each of these ``operations`` (by id).
        pointer: where the answer's body has its value (RFC 6901).
    """

    parameter: str
    pointer: str
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the HTTP interface.

    Attributes:
        path: with ``<parameters>``, each of which is explained in :data:`atlas.web.openapi.PATH`.
        role: the least role that may do it; None: open to everybody.
        opened_by: name of the setting that opens it to everybody all the same.
        returns: status to answer, for those of success.
        receives: media type of a body that is no JSON, which the handler reads itself.
        edited: whether its thing has an entity tag, which the handler sees to (:mod:`.etags`).
        problems: slugs of the problems that only this kind of operation has.
        headers: request headers that it honours, with their meaning.
        links: what may be done next, after an answer of success.
        order: of a list, how it is sorted if nothing else is asked for.
    """

    method: str
    path: str
    role: Role | None
    tag: str
    summary: str
    handler: Callable[..., Response]
    returns: dict[int, Returns]
    about: str = ""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    body_example: Any = None
    receives: str | None = None
    edited: bool = False
    problems: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    opened_by: str | None = None
    links: tuple[Link, ...] = ()
    order: str = ""

    @property
    def id(self) -> str:
        """Name of the operation, unique among all."""
        return self.handler.__name__

    @property
    def counted(self) -> bool:
        """Whether its requests are limited. Probes come as often as somebody needs them."""
        return self.tag != "Health"

    def register(self, app: Flask) -> None:
        """Make it a route of ``app``."""
        app.add_url_rule(self.path, self.id, self._view(), methods=[self.method])

    def _view(self) -> Callable[..., Response]:
        @functools.wraps(self.handler)
        def view(**arguments: Any) -> Response:
            opened = self.opened_by is not None and getattr(settings(), self.opened_by)
            auth.admit(None if opened else self.role, counted=self.counted)
            if any("\0" in str(value) for value in arguments.values()):
                raise Problem("not-found", "there is nothing whose name has a NUL character")
            query = _query(self.query)
            if self.query is not None:
                arguments["query"] = query
            if self.body is not None:
                arguments["body"] = _body(self.body)
            return self.handler(**arguments)

        return view


def _query(model: type[msgspec.Struct] | None) -> msgspec.Struct | None:
    known = model.__struct_fields__ if model else ()
    for name in request.args:
        if name not in known:
            raise Problem("invalid-parameter", _unknown("query parameter", name, known))
        if "\0" in request.args[name]:
            raise Problem("invalid-parameter", f"{name}: a NUL character stands in no value")
        if len(request.args.getlist(name)) > 1:
            raise Problem("invalid-parameter", f"query parameter {name}: give it only once")
    if model is None:
        return None
    given = request.args.to_dict()
    found = _convert(given, model, "invalid-parameter", strict=False)
    for name, text in given.items():
        value = getattr(found, name)
        if value is None:  # msgspec takes "null" for it
            raise Problem("invalid-parameter", f"{name}: null is no value; leave it out instead")
        if isinstance(value, bool) and text not in {"true", "false"}:
            raise Problem("invalid-parameter", f"{name}: must be true or false")
    cursors.take(found)
    return found


def _body(model: type[msgspec.Struct]) -> msgspec.Struct:
    data = _data()
    if not data:
        return _convert({}, model, "invalid-request", strict=True)
    if request.mimetype != "application/json" or request.content_encoding:
        raise Problem(
            "unsupported-media-type",
            "the body must be JSON: send it with `Content-Type: application/json`, not encoded",
            headers={"Accept": "application/json"},
        )
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg:
            raise _too_deep() from error
        raise Problem(
            "malformed-request",
            f"the body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})",
        ) from error
    if isinstance(document, dict | list):
        _see_its_shape(document)
    if isinstance(document, dict):
        for name in document:
            if name not in model.__struct_fields__:
                detail = _unknown("property", name, model.__struct_fields__)
                raise Problem("invalid-request", detail)
    try:
        # Not of the document: a part that is wanted raw is what was sent, to the last digit.
        body = msgspec.json.decode(data, type=model)
    except msgspec.ValidationError as error:
        raise Problem("invalid-request", _explain(str(error), model)) from error
    if b"\\u0000" in data and "\0" in "".join(_texts(document)):
        raise Problem("invalid-request", "the body has a NUL character (U+0000): leave it out")
    return body


DEEPEST = 64
"""Levels of objects and lists that a body may have: what reads it calls itself for each."""
MOST_VALUES = 100_000
"""Values that may stand in a body's objects and lists."""


def _see_its_shape(document: Any) -> None:
    level = [document]
    depth = count = 0
    while level:
        inside: list[Any] = []
        for each in level:
            inside.extend(each.values() if isinstance(each, dict) else each)
        level = [each for each in inside if isinstance(each, dict | list)]
        depth += 1
        count += len(inside)
        if level and depth >= DEEPEST:
            raise _too_deep()
        if count > MOST_VALUES:
            raise Problem("too-complex", f"the body has more than {MOST_VALUES:,} values")


def _texts(value: Any) -> Iterator[str]:
    """All keys and texts of a document that is not too deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _too_deep() -> Problem:
    return Problem("too-complex", f"the body is nested more than {DEEPEST} levels deep")


def _data() -> bytes:
    data = request.get_data(cache=False)
    # Of a body that announces no length werkzeug reads up to the limit and stops in silence.
    unannounced = request.content_length is None and "wsgi.input_terminated" in request.environ
    if unannounced and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return data


def _convert(value: Any, model: type[msgspec.Struct], kind: str, *, strict: bool) -> msgspec.Struct:
    try:
        return msgspec.convert(value, model, strict=strict)
    except msgspec.ValidationError as error:
        raise Problem(kind, _explain(str(error), model)) from error


def _explain(message: str, model: type[msgspec.Struct]) -> str:
    """msgspec's message with the place in front and the words that an enumeration takes."""
    found = _AT.search(message)
    if found is None or not found["path"]:
        return f"the body: {_AT.sub('', message).lower()}"
    what = message[: found.start()]
    if what.startswith("Invalid enum value"):
        name = re.split(r"[.\[]", found["path"], maxsplit=1)[0]
        words = list(_words(typing.get_type_hints(model).get(name)))
        what = "must be one of " + ", ".join(words) if words else what
    return f"{found['path']}: {what[0].lower()}{what[1:]}"


def _words(hint: Any) -> Iterator[str]:
    """The words that the enumerations in a type take."""
    if isinstance(hint, str):  # of a Literal
        yield hint
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield from (str(member.value) for member in hint)
    for option in typing.get_args(hint):
        yield from _words(option)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif known:
        hint = "there are " + ", ".join(known)
    else:
        hint = "there is none here"
    return f"unknown {what} {name[:80]!r}: {hint}"
