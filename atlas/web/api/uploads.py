"""Files that are sent here for source-files to read."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from flask import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from atlas.connectors import uploads
from atlas.web.answers import answer
from atlas.web.database import settings
from atlas.web.operations import Operation, Returns
from atlas.web.problems import Problem
from atlas.web.source_models import Upload, UploadFilter, UploadPage, UploadRemoved

_PIECE = 256 * 1024
_EXAMPLE = {
    "name": "orders.csv",
    "path": "/srv/atlas/uploads/orders.csv",
    "bytes": 52731,
    "modified_at": "2025-03-01T09:00:01Z",
}


def list_uploads(query: UploadFilter) -> Response:
    """A page of the files that are there."""
    found = [each for each in uploads.listed(settings()) if each.name > (query.cursor or "")]
    items = [_document(each) for each in found[: query.limit]]
    more = len(found) > query.limit
    return answer({"items": items, "next_cursor": items[-1]["name"] if more else None})


def put_upload(upload: str) -> Response:
    """Keep a file under a name, in the place of one that has it."""
    if request.content_encoding:
        raise Problem("unsupported-media-type", "send the file as it is, not encoded")
    if request.content_length is None and not _ends_itself():
        raise Problem("malformed-request", "the body's length is missing: send Content-Length")
    limit = settings().max_upload_bytes
    return answer(_document(uploads.save(upload, _body(limit), settings())))


def delete_upload(upload: str) -> Response:
    """Remove a file."""
    uploads.remove(upload, settings())
    return answer({"name": upload})


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
    while piece := stream.read(_PIECE):
        received += len(piece)
        if received > limit:
            raise RequestEntityTooLarge
        yield piece


def _document(upload: uploads.Upload) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(upload)
    return found


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/uploads",
        role="viewer",
        tag="Connectors",
        summary="List the files that were sent",
        handler=list_uploads,
        query=UploadFilter,
        returns={
            200: Returns(UploadPage, "A page.", example={"items": [_EXAMPLE], "next_cursor": None})
        },
    ),
    Operation(
        method="PUT",
        path="/api/v1/uploads/<upload>",
        role="operator",
        tag="Connectors",
        summary="Send a file for source-files to read",
        about="Its `path` is what a connection's configuration says. It takes the place of an "
        "earlier file of that name once all of it is here; a sync reads a file that changed again. "
        "At most `ATLAS_MAX_UPLOAD_BYTES`.",
        handler=put_upload,
        receives="application/octet-stream",
        returns={200: Returns(Upload, "The file.", example=_EXAMPLE)},
        problems=("malformed-request", "too-large", "unsupported-media-type", "invalid-request"),
    ),
    Operation(
        method="DELETE",
        path="/api/v1/uploads/<upload>",
        role="operator",
        tag="Connectors",
        summary="Remove a file that was sent",
        handler=delete_upload,
        returns={200: Returns(UploadRemoved, "It is gone.", example={"name": "orders.csv"})},
        problems=("not-found", "invalid-request"),
    ),
]
