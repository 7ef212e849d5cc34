"""Entity tags: no reading twice of what has not changed, no writing over what somebody else wrote.

A tag has two halves: of what people edit, and of the whole document. `If-None-Match` looks at both,
`If-Match` at the first: a run that ended meanwhile is no reason to refuse somebody's words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response, request
from werkzeug.datastructures import ETags

from atlas.web.answers import answer
from atlas.web.problems import Problem


def of(document: Mapping[str, Any], edited: Any = None) -> str:
    """The tag of ``document``, in which people edit ``edited`` (None: all of it)."""
    whole = _digest(document)
    return f'"{whole if edited is None else _digest(edited)}-{whole}"'


def shown(document: Mapping[str, Any], tag: str) -> Response:
    """``document`` with its tag; 304 if the client has it already."""
    headers = {"ETag": tag}
    unwanted = _given("If-None-Match")
    if unwanted is not None and unwanted.contains_weak(tag.strip('"')):
        return Response(status=304, headers=headers)
    return answer(document, headers=headers)


def asked() -> bool:
    """Whether this request is to be done under a condition only."""
    return _given("If-Match") is not None or _given("If-None-Match") is not None


def see(tag: str | None) -> None:
    """See that what is there is what the request wants to change.

    To be called in the transaction of the change, once nobody else can change it any more.

    Args:
        tag: of what is there; None: nothing is.

    Raises:
        Problem: 412, it is something else.
    """
    wanted, unwanted = _given("If-Match"), _given("If-None-Match")
    if wanted is not None:
        matches = tag is not None and (
            wanted.star_tag or _edited(tag) in {_edited(each) for each in wanted.as_set()}
        )
        if not matches:
            raise refusal(tag)
    if unwanted is not None and tag is not None and unwanted.contains_weak(tag.strip('"')):
        raise refusal(tag)


def refusal(tag: str | None) -> Problem:
    """The problem of a request whose condition does not hold."""
    if tag is None:
        return Problem("precondition-failed", "it is not there (any more)")
    return Problem(
        "precondition-failed",
        "it was changed since you read it; read it again, and change that",
        {"etag": tag},
        {"ETag": tag},
    )


def _given(header: str) -> ETags | None:
    """What the header names, or None without it.

    Raises:
        Problem: 400, it names nothing: whoever sent it meant something.
    """
    if header not in request.headers:
        return None
    tags = request.if_match if header == "If-Match" else request.if_none_match
    if not tags:
        raise Problem("malformed-request", f"{header}: must be entity tags in quotes, or *")
    return tags


def _edited(tag: str) -> str:
    return tag.strip('"').partition("-")[0]


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]
