"""The first page: what runs now, what failed, and what to do first."""

from __future__ import annotations

from flask import Response

from atlas.ledger import connections, run_documents
from atlas.web.database import transaction
from atlas.web.ui.pages import Page, render


def overview() -> Response:
    """The overview."""
    with transaction() as conn:
        runs = run_documents.page(conn, limit=10, cursor=None)["items"]
        known = connections.names(conn, after="", limit=200)
    return render("overview.html", runs=runs, connections=known)


PAGES = [Page("/", "viewer", overview)]
