"""The documentation of the interface: for programs, and as a page for people."""

from __future__ import annotations

from flask import Response, current_app, render_template

from atlas.web.answers import answer
from atlas.web.operations import Operation, Returns
from atlas.web.problems import KINDS

# The page's own style sheet and nothing else: no script, nothing of another host.
_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def get_openapi() -> Response:
    """The OpenAPI document."""
    return answer(current_app.config["ATLAS_OPENAPI"])


def get_docs() -> Response:
    """The operations and the problems as a page."""
    page = render_template(
        "docs.html", api=current_app.config["ATLAS_OPENAPI"], problems=KINDS.values()
    )
    return Response(
        page,
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": _POLICY},
    )


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/openapi.json",
        role=None,
        tag="Documentation",
        summary="Get this document",
        handler=get_openapi,
        returns={200: Returns(None, "An OpenAPI 3.1 document.")},
    ),
    Operation(
        method="GET",
        path="/api/docs",
        role=None,
        tag="Documentation",
        summary="Read this document as a page",
        handler=get_docs,
        returns={200: Returns(None, "A page.", media_type="text/html")},
    ),
]
