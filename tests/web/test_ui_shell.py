"""What every page has: its policy, its way to the login, its errors, the flash, the theme."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from atlas.web.ui import pages, shown
from atlas.web.ui.navigation import NAVIGATION

from .conftest import Api

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_page_loads_nothing_of_others_and_runs_no_script_of_its_text(api: Api) -> None:
    page = api.get("/", headers=HTML)
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == pages.POLICY
    assert page.content_type == "text/html; charset=utf-8"
    for wrong in (
        r"<script(?![^>]*\bsrc=)",
        r"\bstyle=",
        r"<style",
        r"\bon\w+=",
        r"(src|href)=\"http",
    ):
        assert not re.search(wrong, page.text), wrong


def test_what_a_page_loads_is_there(api: Api) -> None:
    text = api.get("/", headers=HTML).text
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
        with api.client.get(path) as answer:
            assert answer.status_code == 200, path


def test_a_browser_without_a_session_is_sent_to_the_login_and_back(api: Api) -> None:
    answer = api.get("/?a=1&b=2", role=None, headers=HTML)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=%2F%3Fa%3D1%26b%3D2"


def test_a_program_without_a_key_gets_a_problem(api: Api) -> None:
    answer = api.get("/", role=None)
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


def test_a_browser_gets_errors_as_pages_and_the_api_never_does(api: Api) -> None:
    page = api.get("/nowhere", headers=HTML)
    assert page.status_code == 404
    assert "text/html" in page.content_type
    assert page.headers["Content-Security-Policy"] == pages.POLICY
    document = api.get("/api/v1/nowhere", headers=HTML)
    assert document.content_type == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb", "x"]
)
def test_a_form_leads_to_no_other_site(path: str) -> None:
    assert pages.local(path) == "/"


def test_the_theme_is_remembered(api: Api) -> None:
    answer = api.post("/theme", data={"theme": "dark", "next": "/?x=1"}, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?x=1")
    assert 'data-theme="dark"' in api.get("/", headers=HTML).text
    api.post("/theme", data={"theme": "pink"}, headers=HTML)
    assert 'data-theme="dark"' in api.get("/", headers=HTML).text


def test_a_flash_is_shown_once_and_only_if_it_is_ours(app: Flask, api: Api) -> None:
    with app.test_request_context("/"):
        sent = pages.go("/", "It was <done>.", "warn").headers["Set-Cookie"]
    assert "HttpOnly" in sent
    assert "SameSite=Lax" in sent
    value = re.match(r"atlas_flash=([^;]+)", sent)
    assert value is not None
    api.client.set_cookie("atlas_flash", value[1])
    assert "It was &lt;done&gt;." in api.get("/", headers=HTML).text
    assert "It was" not in api.get("/", headers=HTML).text
    api.client.set_cookie("atlas_flash", value[1][:-2] + "xx")
    assert "It was" not in api.get("/", headers=HTML).text


def test_the_sidebar_shows_what_there_is_and_marks_where_one_is(api: Api) -> None:
    text = api.get("/", headers=HTML).text
    assert re.search(r'<a href="/" aria-current="page">', text)
    paths = {item.path for _, items in NAVIGATION for item in items}
    assert set(re.findall(r'<li><a href="([^"]+)"', api.get("/", "admin", headers=HTML).text)) == (
        paths
    )
    shown = set(re.findall(r'<li><a href="([^"]+)"', text))
    # Whatever this role may have, and no other.
    for path in paths:
        status = api.get(path, headers=HTML).status_code
        assert status == (200 if path in shown else 403), path


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "\u2013"), (0.25, "250 ms"), (4.21, "4.2 s"), (65, "1 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations_have_units(seconds: float | None, text: str) -> None:
    assert shown.duration(seconds) == text


def test_no_share_is_rounded_to_what_it_is_not() -> None:
    assert [shown.percent(x) for x in (1, 0.9999, 0, 0.0001, 0.5)] == [
        "100 %",
        "99.9 %",
        "0 %",
        "0.1 %",
        "50 %",
    ]
    assert shown.score(0.999) == "0.99"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/17.1 Safari/605.1.15",
            "Safari on macOS",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0 Safari/537.36 Edg/120.0",
            "Edge on Windows",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        (None, "unknown"),
    ],
)
def test_a_browser_is_called_by_its_name(text: str | None, words: str) -> None:
    assert shown.agent(text) == words
