"""Files that are sent here for source-files to read."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import IO

import msgspec
from flask import Response, g, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from atlas.connectors import uploads
from atlas.ledger import audit, paging
from atlas.roles import Role
from atlas.web.answers import answer
from atlas.web.database import settings, transaction
from atlas.web.operations import Link, Operation, Returns
from atlas.web.problems import RETRY_AFTER, Problem
from atlas.web.source_models import Upload, UploadFilter, UploadPage, UploadRemoved

_PIECE = 256 * 1024
_SILENCE = 30.0
"""Seconds without a byte after which a body has broken off."""
_AT_ONCE = 2
"""Uploads that a process receives at a time: each holds a thread; the others answer the rest."""
_places = threading.BoundedSemaphore(_AT_ONCE)
log = logging.getLogger(__name__)

_EXAMPLE = {
    "name": "orders.csv",
    "path": "/srv/atlas/uploads/files/orders.csv",
    "bytes": 52731,
    "modified_at": "2025-03-01T09:00:01Z",
}


def list_uploads(query: UploadFilter) -> Response:
    """A page of the files that are there."""
    found = [each for each in uploads.listed(settings()) if each.name > (query.cursor or "")]
    items = [_document(each) for each in found[: query.limit + 1]]
    return answer(paging.page(items, query.limit, "name"))


def put_upload(upload: str) -> Response:
    """Keep a file under a name, in the place of one that has it."""
    if request.content_encoding:
        raise Problem("unsupported-media-type", "send the file as it is, not encoded")
    if request.content_length is None and not _ends_itself():
        raise Problem("malformed-request", "the body's length is missing: send Content-Length")
    if not _places.acquire(blocking=False):
        raise Problem(
            "too-many-uploads",
            f"{_AT_ONCE} files are being received here; wait for one of them to end",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    try:
        kept = uploads.save(upload, _body(settings().max_upload_bytes), settings())
    except OSError as error:
        log.error("an upload cannot be kept: %s", error)
        raise Problem(
            "internal-error", f"the file cannot be kept: {error.strerror}; the log tells where"
        ) from error
    finally:
        _places.release()
    _tell("upload.put", upload)
    return answer(_document(kept))


def delete_upload(upload: str) -> Response:
    """Remove a file."""
    uploads.remove(upload, settings())
    _tell("upload.delete", upload)
    return answer({"name": upload})


def _tell(what: str, upload: str) -> None:
    """Write it down once it is done: files and database share no transaction."""
    with transaction() as conn:
        audit.put(conn, g.key.actor, what, upload)


def _ends_itself() -> bool:
    return bool(request.environ.get("wsgi.input_terminated"))


def _body(limit: int) -> Iterator[bytes]:
    """The body piece by piece, never more than ``limit`` bytes of it."""
    request.max_content_length = limit
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge
    # Of a body that announces no length werkzeug reads up to the limit and stops in silence.
    unannounced = request.content_length is None
    stream = request.environ["wsgi.input"] if unannounced else request.stream
    received = 0
    with _patience():
        while piece := _read(stream):
            received += len(piece)
            if received > limit:
                raise RequestEntityTooLarge
            yield piece
    # The server gives what came of a body whose client went away, and no error.
    if not unannounced and received != request.content_length:
        raise _BROKEN


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_PIECE)
    except (OSError, ClientDisconnected) as error:
        raise _BROKEN from error


_BROKEN = Problem("malformed-request", "the body broke off; nothing was kept, send it again")


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """While this lasts, a client that is silent for long has gone."""
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(_SILENCE)
    try:
        yield
    finally:
        connection.settimeout(before)


def _document(upload: uploads.Upload) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(upload)
    return found


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/uploads",
        role=Role.VIEWER,
        tag="Connectors",
        summary="List the files that were sent",
        order="by name",
        handler=list_uploads,
        query=UploadFilter,
        returns={
            200: Returns(UploadPage, "A page.", example={"items": [_EXAMPLE], "next_cursor": None})
        },
    ),
    Operation(
        method="PUT",
        path="/api/v1/uploads/<upload>",
        role=Role.OPERATOR,
        tag="Connectors",
        summary="Send a file for source-files to read",
        about="Its `path` is what a connection's configuration says. It takes the place of an "
        "earlier file of that name once all of it is here; a sync reads a file that changed again. "
        "At most `ATLAS_MAX_UPLOAD_BYTES`.",
        handler=put_upload,
        links=(Link("upload", "/name", ("delete_upload",)),),
        receives="application/octet-stream",
        returns={200: Returns(Upload, "The file.", example=_EXAMPLE)},
        problems=(
            "malformed-request",
            "too-large",
            "too-many-uploads",
            "unsupported-media-type",
            "invalid-request",
        ),
    ),
    Operation(
        method="DELETE",
        path="/api/v1/uploads/<upload>",
        role=Role.OPERATOR,
        tag="Connectors",
        summary="Remove a file that was sent",
        handler=delete_upload,
        returns={200: Returns(UploadRemoved, "It is gone.", example={"name": "orders.csv"})},
        problems=("not-found", "invalid-request"),
    ),
]
