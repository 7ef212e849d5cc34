"""Every refusal is a problem document that names the thing and tells nothing it should not."""

from __future__ import annotations

import io
import logging
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.ledger import keys
from atlas.ledger.tables import run
from atlas.web.answers import RequestId

SYNCS = "/api/v1/connections/shop/syncs"


def _is_problem(answer: Any, status: int, slug: str) -> str:
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    document = answer.json
    assert document["status"] == status
    assert document["type"] == f"/api/docs#{slug}"
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["X-Request-Id"]
    assert uuid.UUID(document["request_id"])
    detail: str = document["detail"]
    return detail


# --- keys and roles -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [None, "Basic YTpi", "Bearer", "Bearer ", "Bearer wrong", "bearer atlas_wrong", "Bearer \xe4"],
)
def test_without_a_valid_key(app: Flask, header: str | None) -> None:
    headers = {"Authorization": header} if header is not None else {}
    answer = app.test_client().get("/api/v1/runs", headers=headers)
    _is_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="atlas"')


def test_the_scheme_has_no_case(api: Any) -> None:
    headers = {"Authorization": f"bEARER {api.texts['viewer']}"}
    assert api.client.get("/api/v1/runs", headers=headers).status_code == 200


def test_a_key_in_the_query_is_no_key(api: Any) -> None:
    _is_problem(api.get(f"/api/v1/runs?key={api.texts['viewer']}", None), 401, "unauthorized")


def test_revoked_and_expired_keys(api: Any, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        keys.revoke(conn, api.ids["viewer"], actor="test")
        old = keys.create(conn, "old", "admin", timedelta(seconds=-1), actor="test")
    _is_problem(api.get("/api/v1/runs"), 401, "unauthorized")
    api.texts["old"] = old["key"]
    _is_problem(api.get("/api/v1/runs", "old"), 401, "unauthorized")


def test_a_viewer_reads_and_starts_nothing(api: Any, shop: str, engine: sa.Engine) -> None:
    answer = api.post(SYNCS, "viewer")
    assert "operator" in _is_problem(answer, 403, "forbidden")
    assert answer.json["required_role"] == "operator"
    with engine.connect() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(run)).scalar() == 0
    assert api.get("/api/v1/runs", "viewer").status_code == 200


@pytest.mark.parametrize("role", ["operator", "privacy", "admin"])
def test_higher_roles_start_and_read(api: Any, shop: str, role: str) -> None:
    assert api.post(SYNCS, role).status_code == 202
    assert api.get("/api/v1/runs", role).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/docs", "/api/v1/openapi.json"])
def test_open_without_a_key(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 200


# --- what is wrong with a request -----------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v1/runs/", "//api/v1/runs", "/x%0Ay"]
)
def test_no_such_route(api: Any, path: str) -> None:
    _is_problem(api.get(path, None), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/runs", {"GET", "HEAD"}),
        ("OPTIONS", "/api/v1/runs", {"GET", "HEAD"}),
        ("GET", SYNCS, {"POST"}),
        ("TRACE", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_is_not_there(api: Any, method: str, path: str, allowed: set[str]) -> None:
    answer = api.call(method, path, None)
    _is_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "body", [b"{", b"{'a': 1}", b"\xff", b'{"streams": ["\\ud800"]}', b"NaN", b"{} {}"]
)
def test_malformed_json(api: Any, shop: str, body: bytes) -> None:
    answer = api.post(SYNCS, data=body, content_type="application/json")
    _is_problem(answer, 400, "malformed-request")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"stream": ["users"]}', "did you mean streams"),
        ('{"colour": 1}', "colour"),
        ('{"streams": "users"}', "streams"),
        ('{"streams": []}', "streams"),
        ('{"streams": [1]}', "streams"),
        ('{"streams": [""]}', "streams"),
        ('{"streams": ["a\\u0000b"]}', "streams"),
        ('{"full_refresh": "yes"}', "full_refresh"),
        ('{"full_refresh": null}', "full_refresh"),
        ("[]", "the body"),
        ("null", "the body"),
        ('"x"', "the body"),
    ],
)
def test_a_body_that_does_not_fit(api: Any, shop: str, body: str, named: str) -> None:
    answer = api.post(SYNCS, data=body, content_type="application/json")
    assert named in _is_problem(answer, 422, "invalid-request")


def test_unknown_parameters_are_refused_everywhere(api: Any, shop: str) -> None:
    for path in ("/healthz", "/readyz", "/api/v1/openapi.json", "/api/docs"):
        assert "wait" in _is_problem(api.get(f"{path}?wait=1", None), 400, "invalid-parameter")
    _is_problem(api.post(f"{SYNCS}?full_refresh=1"), 400, "invalid-parameter")
    _is_problem(api.get(f"/api/v1/runs/{uuid.uuid4()}?a=1"), 400, "invalid-parameter")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_a_body_that_is_not_json(api: Any, shop: str, headers: dict[str, str]) -> None:
    answer = api.post(SYNCS, data=b"{}", headers=headers)
    _is_problem(answer, 415, "unsupported-media-type")


def test_no_body_needs_no_type(api: Any, shop: str) -> None:
    assert api.post(SYNCS, content_type="application/x-www-form-urlencoded").status_code == 202


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 50_000_000])
def test_too_large(api: Any, shop: str, size: int) -> None:
    answer = api.post(SYNCS, data=io.BytesIO(b" " * size), content_type="application/json")
    assert "1048576" in _is_problem(answer, 413, "too-large")


# --- what goes wrong inside -----------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the web process logs, as gunicorn is told to write it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RequestId())
    handler.setFormatter(logging.Formatter("%(levelname)s %(request_id)s %(message)s"))
    logger = logging.getLogger("atlas.web")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_failure_of_ours_tells_nothing_but_where_to_look(
    api: Any, shop: str, engine: sa.Engine, lines: io.StringIO
) -> None:
    api.post(SYNCS)
    with engine.begin() as conn:
        # What no migration would do: the statement fails in the midst of a request.
        conn.execute(sa.text("ALTER TABLE pipeline.run RENAME COLUMN error TO secret_marker"))
    try:
        answer = api.get("/api/v1/runs")
    finally:
        with engine.begin() as conn:
            conn.execute(sa.text("ALTER TABLE pipeline.run RENAME COLUMN secret_marker TO error"))
    _is_problem(answer, 500, "internal-error")
    text = answer.get_data(as_text=True)
    assert not re.search(r"SELECT|pipeline|psycopg|UndefinedColumn|marker|Traceback", text)
    assert f"ERROR {answer.json['request_id']} PostgreSQL refused" in lines.getvalue()


def test_an_unexpected_error_is_logged_without_its_message(app: Flask, lines: io.StringIO) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("@".join(["jane", "example.com"]))

    answer = app.test_client().get("/broken")
    _is_problem(answer, 500, "internal-error")
    assert answer.json is not None
    logged = lines.getvalue()
    assert "jane@example.com" not in answer.get_data(as_text=True) + logged
    assert f"ERROR {answer.json['request_id']} unexpected RuntimeError" in logged
    assert "in broken" in logged


def test_a_request_leaves_a_line_without_what_it_held(
    api: Any, shop: str, lines: io.StringIO
) -> None:
    answer = api.get("/api/v1/runs?connection=secretish")
    api.get("/a%0Ab%00c")
    logged = lines.getvalue()
    request_id = answer.headers["X-Request-Id"]
    assert re.search(
        rf"INFO {request_id} GET /api/v1/runs 200 [\d.]+ ms key={api.ids['viewer']}\n", logged
    )
    assert "secretish" not in logged
    assert api.texts["viewer"] not in logged
    assert "GET /a%0Ab%00c 404" in logged


def test_headers_of_every_answer(api: Any, shop: str) -> None:
    answers = [
        api.get("/api/v1/runs"),
        api.get("/nothing"),
        api.get("/api/docs"),
        api.post(SYNCS),
        api.call("DELETE", "/healthz"),
    ]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "'unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
        assert "Set-Cookie" not in answer.headers
