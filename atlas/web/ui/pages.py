"""What a page is, how it is rendered, and what a browser gets in the place of a problem document.

A module of pages lists its :class:`Page` objects as ``PAGES``. Reading works without JavaScript;
whatever changes something is a form that is posted and answered by a redirect (303) with a flash.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask, Response, current_app, g, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from atlas import __version__
from atlas.roles import Role
from atlas.web import auth, problems
from atlas.web.problems import Problem
from atlas.web.ui import charts, flash, icons, shown
from atlas.web.ui.navigation import groups

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
"""Content-Security-Policy of every page."""

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "atlas_theme"
_YEAR = 365 * 24 * 3600
# What programs ask; whatever a client accepts, it gets documents here.
_PROGRAMS = ("/api/", "/static/", "/healthz", "/readyz", "/metrics")


@dataclass(frozen=True, slots=True)
class Page:
    """A page, or what a form is posted to.

    Attributes:
        path: with ``<parameters>``.
        role: the least role that may have it; None: open to everybody.
        handler: gets the parameters, returns the answer (:func:`render`, :func:`go`).
    """

    path: str
    role: Role | None
    handler: Callable[..., Response]
    methods: tuple[str, ...] = ("GET",)

    @property
    def endpoint(self) -> str:
        """Name of the route: ``ui.<module>.<function>``."""
        module = self.handler.__module__.rpartition(".")[2]
        return f"ui.{module}.{self.handler.__name__}"

    def register(self, app: Flask) -> None:
        """Make it a route of ``app``."""
        app.add_url_rule(self.path, self.endpoint, self._view(), methods=list(self.methods))

    def _view(self) -> Callable[..., Response]:
        @functools.wraps(self.handler)
        def view(**arguments: Any) -> Response:
            try:
                auth.admit(self.role)
            except Problem as problem:
                if problem.kind == "unauthorized" and wants_page():
                    return _login()
                raise
            _see_text(arguments.values())
            return self.handler(**arguments)

        return view


def _see_text(parameters: Iterable[Any]) -> None:
    """See that PostgreSQL can hold what was sent.

    Raises:
        Problem: it has a NUL character.
    """
    if any("\0" in str(value) for value in parameters):
        raise Problem("not-found", "there is nothing whose name has a NUL character")
    sent = [*request.args.values(), *(v for _, v in request.form.items(multi=True))]
    if any("\0" in value for value in sent):
        raise Problem("invalid-request", "what was sent has a NUL character (U+0000): leave it out")


def install(app: Flask, pages: Iterable[Page]) -> None:
    """Make the pages routes of ``app``, and have a browser's errors be pages."""
    for page in pages:
        page.register(app)
    env = app.jinja_env
    env.trim_blocks = env.lstrip_blocks = True
    env.filters.update(shown.FILTERS)
    env.globals.update(
        icon=icons.icon,
        sparkline=charts.sparkline,
        bars=charts.bars,
        meter=charts.meter,
        has_page=has_page,
        version=__version__,
    )
    # Whoever keeps sessions puts the real one here.
    env.globals.setdefault("csrf_field", lambda: Markup(""))
    app.context_processor(_context)
    app.register_error_handler(Exception, _respond)


def render(template: str, status: int = 200, **context: Any) -> Response:
    """A page from ``template``; the flash that waited for a page is shown on it."""
    message = flash.waiting()
    response = Response(
        render_template(template, flash=message, **context),
        status,
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": POLICY},
    )
    if message is not None:
        flash.forget(response)
    return response


def go(path: str, message: str | None = None, kind: str = "ok") -> Response:
    """Send the browser on to a page of ours (303), where ``message`` is shown.

    Args:
        path: of this site; anything else leads to the overview.
        message: one sentence without personal data: it travels in a signed cookie.
        kind: ``ok``, ``warn`` or ``fail``.
    """
    response = Response(status=303, headers={"Location": local(path)})
    if message is not None:
        flash.keep(response, message, kind)
    return response


def local(path: str | None) -> str:
    """``path`` if it is one of this site, else ``/``: no crafted link sends anybody elsewhere."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")):
        return "/"
    if any(ord(char) < 0x20 for char in path):
        return "/"
    split = urlsplit(path)
    return "/" if split.scheme or split.netloc else path


def wants_page() -> bool:
    """Whether a person's browser asks: no program's path, and a client that names HTML."""
    accepted = request.headers.get("Accept", "")
    return not request.path.startswith(_PROGRAMS) and "text/html" in accepted


def has_page(path: str) -> bool:
    """Whether there is a page at exactly this path."""
    known: set[str] | None = current_app.config.get("ATLAS_PATHS")
    if known is None:
        known = {rule.rule for rule in current_app.url_map.iter_rules()}
        current_app.config["ATLAS_PATHS"] = known
    return path in known


def set_theme() -> Response:
    """Remember light, dark or what the system says, in a cookie that says nothing else."""
    theme = request.form.get("theme", "")
    response = go(request.form.get("next", "/"))
    if theme in THEMES:
        response.set_cookie(THEME_COOKIE, theme, max_age=_YEAR, samesite="Lax", path="/")
    return response


def _login() -> Response:
    target = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return Response(status=303, headers={"Location": "/login?next=" + quote(target, safe="")})


def _context() -> dict[str, Any]:
    theme = request.cookies.get(THEME_COOKIE, "auto")
    who = g.get("key")
    return {
        "who": who,
        "nav": [] if who is None else groups(who, request.path, has_page),
        "theme": theme if theme in THEMES else "auto",
        "here": request.full_path.rstrip("?"),
    }


def _respond(error: Exception) -> Response:
    response = problems.respond(error)
    if not wants_page():
        return response
    problem = response.get_json()
    if isinstance(error, NotFound):
        # Of a route, which the document speaks of as to a program.
        problem["detail"] = f"there is no page {request.path!r}"
    page = render("error.html", response.status_code, problem=problem)
    for name, value in response.headers:
        if name.lower() not in {"content-type", "content-length"}:
            page.headers[name] = value
    return page


PAGES = [Page("/theme", Role.VIEWER, set_theme, ("POST",))]
