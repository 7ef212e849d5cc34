"""Files that were sent here for a source to read. A script sends them as the API takes them
(:mod:`atlas.web.api.uploads`), piece by piece: of a form each would be held twice."""

from __future__ import annotations

from flask import Response, g

from atlas.connectors import uploads
from atlas.ledger import audit
from atlas.roles import Role
from atlas.web.database import settings, transaction
from atlas.web.ui.pages import Page, go, render

_MOST = 500


def files() -> Response:
    """Those that are there, with the path that a configuration says."""
    found = uploads.listed(settings())
    return render(
        "files.html",
        items=found[:_MOST],
        more=max(0, len(found) - _MOST),
        roots=settings().files_roots,
        limit=settings().max_upload_bytes,
    )


def remove(upload: str) -> Response:
    """Remove one."""
    uploads.remove(upload, settings())
    # Once it is done: files and database share no transaction.
    with transaction() as conn:
        audit.put(conn, g.key.actor, "upload.delete", upload)
    return go("/files", f"File {upload} is gone.")


PAGES = [
    Page("/files", Role.VIEWER, files),
    Page("/files/<upload>/delete", Role.OPERATOR, remove, ("POST",)),
]
