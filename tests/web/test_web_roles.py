"""Every route declares who may take it, and is shut to all others: keys, people, strangers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.connectors import uploads
from atlas.roles import Role
from atlas.settings import Settings
from atlas.web import session
from atlas.web.app import operations
from atlas.web.ui.rooms import PAGES
from tests.web.browser import add_user, logged_in

# Files of pages: style sheets, scripts, fonts; and those of the interactive page of the API.
OPEN_FILES = {
    "/static/<path:filename>",
    "/static/swagger/swagger-ui.css",
    "/static/swagger/swagger-ui-bundle.js",
}


@pytest.fixture(autouse=True)
def no_uploads(settings: Settings) -> Iterator[None]:
    yield
    for each in uploads.listed(settings):
        uploads.remove(each.name, settings)


def _declared() -> dict[tuple[str, str], Role | None]:
    """Role by path and method."""
    found = {(each.path, each.method): each.role for each in operations()}
    for page in PAGES:
        for method in page.methods:
            assert (page.path, method) not in found
            found[page.path, method] = page.role
    return found


def _url(path: str) -> str:
    path = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", path)
    return re.sub(r"<(?:\w+:)?\w+>", "1", path)


def test_every_route_declares_its_role(app: Flask) -> None:
    routes = {
        (str(rule), method)
        for rule in app.url_map.iter_rules()
        if str(rule) not in OPEN_FILES
        for method in (rule.methods or set()) - {"HEAD"}
    }
    declared = _declared()
    assert routes == set(declared)
    assert {role for role in declared.values() if role is not None} <= set(Role)
    opened = {f"{method} {path}" for (path, method), role in declared.items() if role is None}
    assert opened == {
        "GET /healthz",
        "GET /readyz",
        "GET /api/docs",
        "GET /api/v1/openapi.json",
        "GET /login",
        "POST /login",
        "GET /login/oidc",
        "GET /login/oidc/callback",
        "POST /logout",
        "GET /setup",
        "POST /setup",
    }


def _ways(role: str | None) -> list[str]:
    return ["key", "session"] if role else ["key"]


@pytest.mark.parametrize("role", [None, *Role])
def test_a_route_is_shut_to_lower_roles(
    app: Flask, api: Any, engine: sa.Engine, role: Role | None
) -> None:
    if role:
        add_user(engine, role, role)
    for (path, method), needed in _declared().items():
        if needed is None:
            continue
        for way in _ways(role):
            answer = _ask(app, api, engine, role, way, method, _url(path))
            what = f"{method} {path} by {way} of {role}"
            if role is None:
                assert answer.status_code == 401, what
            elif role.rank < needed.rank:
                assert answer.status_code == 403, what
                assert answer.json["required_role"] == needed, what
            else:
                assert answer.status_code not in {401, 403}, f"{what}: {answer.text}"
            if answer.status_code in {401, 403}:
                assert answer.headers["WWW-Authenticate"].startswith("Bearer"), what
            if way == "key":
                assert "Set-Cookie" not in answer.headers or not path.startswith("/api/"), what


def _ask(
    app: Flask, api: Any, engine: sa.Engine, role: str | None, way: str, method: str, url: str
) -> Any:
    if way == "key":
        return api.call(method, url, role, buffered=True)
    # Each time another session: some of these end it.
    browser = logged_in(app, engine, str(role))
    headers = {"X-CSRF-Token": session._token_of(browser.cookie().value)}
    return browser.client.open(url, method=method, headers=headers, buffered=True)


def test_a_stranger_in_a_browser_is_led_to_the_login(app: Flask) -> None:
    client = app.test_client()
    html = {"Accept": "text/html"}
    for page in PAGES:
        if page.role is None or "GET" not in page.methods:
            continue
        answer = client.get(_url(page.path), headers=html)
        assert (answer.status_code, answer.location[:12]) == (303, "/login?next="), page.path
    # Not so a program, and not on the API's paths.
    assert client.get("/api/v1/runs", headers=html).status_code == 401
    assert client.get("/account").status_code == 401


def test_a_stranger_comes_to_where_they_wanted(app: Flask, engine: sa.Engine) -> None:
    answer = app.test_client().get("/account?x=1", headers={"Accept": "text/html"})
    assert answer.location == "/login?next=%2Faccount%3Fx%3D1"
