"""The documentation of the interface: for programs, and as a page for people."""

from __future__ import annotations

from importlib.resources import files

from flask import Flask, Response, current_app, render_template, send_from_directory

from atlas.web.answers import answer
from atlas.web.operations import Operation, Returns
from atlas.web.problems import KINDS

# Files of ours and of Swagger UI, and answers of ours to what is tried: no script and no style that
# stands in the page, nothing of another host. Swagger UI's pictures stand in its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The package is there for these files alone; none of its code is run.
_SWAGGER = {"swagger-ui.css": "css", "swagger-ui-bundle.js": "js"}


def install(app: Flask) -> None:
    """Have ``app`` serve the files of Swagger UI."""
    at = files("flask_openapi3_swagger").joinpath("templates", "swagger")

    def get_swagger(name: str) -> Response:
        return send_from_directory(str(at.joinpath(_SWAGGER[name])), name, max_age=86400)

    for name in _SWAGGER:
        path = f"/static/swagger/{name}"
        app.add_url_rule(
            path, f"swagger.{name}", get_swagger, defaults={"name": name}, methods=["GET"]
        )


def get_openapi() -> Response:
    """The OpenAPI document."""
    return answer(current_app.config["ATLAS_OPENAPI"]())


def get_docs() -> Response:
    """The operations and the problems as a page."""
    page = render_template(
        "docs.html", api=current_app.config["ATLAS_OPENAPI"](), problems=KINDS.values()
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
