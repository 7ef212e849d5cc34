"""Errors as RFC 9457 problem documents: which there are, and which error becomes which.

A problem's ``type`` is stable and leads to its explanation on the documentation page. Every
document carries the request's id, under which the log tells what an answer must not.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import psycopg2
from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from atlas.errors import (
    ActiveRun,
    AtlasError,
    Conflict,
    NotAllowed,
    NotFound,
    NotInstalled,
    RunEnded,
    TransientError,
    UsageError,
    WrongSecretKey,
)
from atlas.ledger.database import classify
from atlas.ledger.idempotency import KeyReused
from atlas.ledger.operations import TooMany
from atlas.web.answers import answer

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="atlas"'
"""What every 401 and 403 says of how to authenticate."""
RETRY_AFTER = 5
"""Seconds after which a client may ask again when something that Atlas needs is away."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. ``about`` says to a client's author what it means and what helps."""

    slug: str
    status: int
    title: str
    about: str

    @property
    def type(self) -> str:
        """The URI reference that names this kind."""
        return f"/api/docs#{self.slug}"


_KINDS = (
    Kind("malformed-request", 400, "The request cannot be read", "Syntax of the body or a header."),
    Kind(
        "invalid-parameter",
        400,
        "A query parameter is wrong",
        "Unknown, given twice, or with a value that it does not take; `detail` names it.",
    ),
    Kind(
        "unauthorized",
        401,
        "An API key or a session is required",
        "Send `Authorization: Bearer <key>` with a key that is neither expired nor revoked; or log "
        "in.",
    ),
    Kind(
        "forbidden",
        403,
        "The role does not allow this",
        "`required_role` is the least role that may do it.",
    ),
    Kind(
        "cross-site",
        403,
        "No page of Atlas asked for this",
        "With a session, what changes something takes `X-CSRF-Token`, the token that the page has. "
        "Programs send a key.",
    ),
    Kind(
        "precondition-failed",
        412,
        "Somebody else has changed it",
        "It is not what `If-Match` or `If-None-Match` says; `ETag` is what it is now: read it "
        "again.",
    ),
    Kind("not-found", 404, "There is no such thing", "A route or a thing that does not exist."),
    Kind(
        "method-not-allowed", 405, "The method is not allowed here", "`Allow` lists those that are."
    ),
    Kind(
        "active-run",
        409,
        "The connection is being synced already",
        "`run_id` is the active run; wait for its end.",
    ),
    Kind(
        "run-ended",
        409,
        "The run has ended",
        "`run_status` says how; there is nothing left to cancel.",
    ),
    Kind(
        "not-installed",
        409,
        "The connector is not installed",
        "`POST /api/v1/connectors/{connector}/install` installs it; then ask again.",
    ),
    Kind("conflict", 409, "It cannot be done now", "`detail` says what stands in the way."),
    Kind(
        "too-large",
        413,
        "The body is too large",
        "The limit is 1 MiB, of an upload `ATLAS_MAX_UPLOAD_BYTES`.",
    ),
    Kind(
        "unsupported-media-type",
        415,
        "The body is of another kind",
        "Send `application/json`, or the file as it is; neither encoded.",
    ),
    Kind(
        "invalid-request",
        422,
        "The request asks for something that cannot be",
        "An unknown property or a wrong value; `detail` names it.",
    ),
    Kind(
        "idempotency-key-reused",
        422,
        "The idempotency key belongs to another request",
        "Within 24 hours a key stands for one body; a new request takes a new key.",
    ),
    Kind(
        "too-complex",
        422,
        "The body is nested too deeply or has too many values",
        "At most 64 levels of objects and lists, and 100,000 values in them.",
    ),
    Kind(
        "rate-limited",
        429,
        "Too many requests",
        "`RateLimit-Policy` says how many there may be; ask again after `Retry-After` seconds.",
    ),
    Kind(
        "too-many-operations",
        429,
        "Too many operations have not ended",
        "Wait for those that this key has asked for; ask again after `Retry-After` seconds.",
    ),
    Kind(
        "too-many-uploads",
        429,
        "Too many files are being received",
        "Send it again after `Retry-After` seconds.",
    ),
    Kind("internal-error", 500, "Atlas failed", "The log tells why, under the `request_id`."),
    Kind(
        "unavailable",
        503,
        "Something Atlas needs is away",
        "Ask again after `Retry-After` seconds.",
    ),
    Kind("not-ready", 503, "Atlas is not ready", "`checks` says what is missing."),
)
KINDS = {kind.slug: kind for kind in _KINDS}

_PLAIN: tuple[tuple[type[Exception], str], ...] = (
    (KeyReused, "idempotency-key-reused"),
    (NotFound, "not-found"),
    (NotInstalled, "not-installed"),
    (Conflict, "conflict"),  # after those that are one, too
)

_BY_STATUS = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}


@dataclass(slots=True, eq=False)
class Problem(Exception):
    """A request that is refused; becomes the answer when raised.

    Attributes:
        kind: slug of one of :data:`KINDS`.
        detail: one line that names the thing and the remedy.
        more: further members of the document.
    """

    kind: str
    detail: str
    more: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def install(app: Flask) -> None:
    """Have every error of ``app`` answered by a problem document."""
    app.register_error_handler(Exception, respond)


def respond(error: Exception) -> Response:
    """The answer to a request that ended in ``error``."""
    if isinstance(error, SQLAlchemyError | psycopg2.Error):
        error = classify(error)
    if isinstance(error, HTTPException):
        return _http(error)
    problem = error if isinstance(error, Problem) else _problem(error)
    kind = KINDS[problem.kind]
    headers = problem.headers
    if kind.status in {401, 403}:
        headers = {"WWW-Authenticate": CHALLENGE, **headers}
    return document(kind.status, kind.type, kind.title, problem.detail, problem.more, headers)


def document(
    status: int,
    kind: str,
    title: str,
    detail: str,
    more: dict[str, Any],
    headers: dict[str, str],
) -> Response:
    """A problem document as an answer."""
    body = {
        "type": kind,
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": g.request_id,
        **more,
    }
    return answer(body, status, headers, media_type=MEDIA_TYPE)


def _problem(error: Exception) -> Problem:
    match error:
        case ActiveRun():
            return Problem("active-run", str(error), {"run_id": error.run_id})
        case RunEnded():
            more = {"run_id": error.run_id, "run_status": error.status}
            return Problem("run-ended", str(error), more)
        case TooMany():
            return Problem(
                "too-many-operations", str(error), headers={"Retry-After": str(RETRY_AFTER)}
            )
        case KeyReused() | NotFound() | NotInstalled() | Conflict():
            return Problem(next(s for kind, s in _PLAIN if isinstance(error, kind)), str(error))
        case UsageError():
            reading = request.method in {"GET", "HEAD"}
            return Problem("invalid-parameter" if reading else "invalid-request", str(error))
        case NotAllowed():
            return Problem("forbidden", str(error), {"required_role": error.role})
        case WrongSecretKey():
            log.error("%s", error)  # the operator's business, and no waiting mends it
        case TransientError():
            log.warning("%s", error)
            return Problem(
                "unavailable",
                # The error names the host, which is the operator's business.
                "PostgreSQL does not answer or is too busy; the log tells more. Ask again soon",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        case AtlasError():
            log.error("%s", error)
        case _:
            # Without its message, which may hold a value of a row.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("unexpected %s\n%s", type(error).__name__, frames)
    return Problem("internal-error", "the log of the web process tells why, under this request_id")


def _http(error: HTTPException) -> Response:
    code = error.code or 500
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in {"content-type", "content-length"}
    }
    slug = _BY_STATUS.get(code)
    if slug is None:
        title = HTTPStatus(code).phrase
        return document(code, "about:blank", title, title.lower(), {}, headers)
    kind = KINDS[slug]
    return document(code, kind.type, kind.title, _detail(code), {}, headers)


def _detail(code: int) -> str:
    match code:
        case 404:
            return f"there is no route {request.path!r}: /api/docs lists those there are"
        case 405:
            return f"{request.method} is not allowed on {request.path!r}"
        case 413:
            return f"the body is larger than {request.max_content_length} bytes"
        case _:
            return KINDS[_BY_STATUS[code]].about
