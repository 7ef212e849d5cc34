"""A browser of the tests: cookies, forms and their tokens, as a person's would send them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import sqlalchemy as sa
from flask import Flask

from atlas.ledger import logins, users
from atlas.ledger.logins import Browser as Origin

PASSWORD = "correct horse battery"
_FIELD = re.compile(r'name="csrf_token" value="([^"]+)"')


class Browser:
    """A client that keeps cookies and says where what it asks for comes from."""

    def __init__(self, app: Flask, *, https: bool = False) -> None:
        self.client = app.test_client()
        self._base = "https://localhost" if https else "http://localhost"

    def get(self, path: str, **options: Any) -> Any:
        return self._open("GET", path, **options)

    def post(self, path: str, form: dict[str, str] | None = None, **options: Any) -> Any:
        """Post a form as a page would, with the token of the page at ``page``."""
        page = options.pop("page", path)
        token = options.pop("token", ...)
        data = dict(form or {})
        if token is ...:
            token = self.token(page)
        if token is not None:
            data["csrf_token"] = token
        return self._open("POST", path, data=data, **options)

    def token(self, page: str) -> str:
        """The token in the forms of a page."""
        found = _FIELD.search(self.get(page).text)
        assert found, f"{page} has no form"
        return found[1]

    def log_in(self, name: str, password: str = PASSWORD, **more: str) -> Any:
        return self.post("/login", {"name": name, "password": password, **more})

    def cookie(self, name: str = "atlas") -> Any:
        return self.client.get_cookie(name)

    def _open(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        return self.client.open(
            path, method=method, headers=headers, base_url=self._base, buffered=True, **options
        )


def add_user(engine: sa.Engine, name: str, role: str, password: str = PASSWORD) -> str:
    """A user who may log in; returns the id."""
    with engine.begin() as conn:
        return str(users.create(conn, name, role, password, actor="cli: test")["id"])


def logged_in(app: Flask, engine: sa.Engine, name: str) -> Browser:
    """A browser in which the user is logged in, without the work of a password."""
    from datetime import timedelta

    browser = Browser(app)
    with engine.begin() as conn:
        found = users.get(conn, name)
        origin = Origin("127.0.0.1", "tests", timedelta(days=1))
        token = logins.enter(conn, str(found["id"]), "password", origin)
    browser.client.set_cookie("atlas", token, domain="localhost")
    return browser


class _Controls(HTMLParser):
    """What the fields of a page hold."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, list[str]] = {}
        self._select: str | None = None
        self._options: list[tuple[str | None, bool]] = []
        self._many = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name = found.get("name")
        if tag == "select":
            self._select, self._options, self._many = name, [], "multiple" in found
        elif tag == "option":
            self._options.append((found.get("value"), "selected" in found))
        elif tag == "input" and name and (found.get("type") != "checkbox" or "checked" in found):
            self.held.setdefault(name, []).append(found.get("value") or "")

    def handle_data(self, data: str) -> None:
        if self._select and self._options and self._options[-1][0] is None:
            self._options[-1] = (data, self._options[-1][1])

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select:
            chosen = [value or "" for value, selected in self._options if selected]
            first = [] if self._many else [value or "" for value, _ in self._options[:1]]
            self.held[self._select] = chosen or first
            self._select = None


def controls(page: str) -> dict[str, list[str]]:
    """What a browser would send of a page's fields, by name, if nobody touched them."""
    parser = _Controls()
    parser.feed(page)
    return parser.held
