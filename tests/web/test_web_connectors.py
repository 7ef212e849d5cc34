"""The catalog over HTTP, and the operations that ask a connector."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from atlas.connectors import catalog
from atlas.ledger import operations
from atlas.ledger.operations import Kind
from atlas.ledger.tables import operation, outbox
from atlas.settings import Settings
from tests.web.conftest import SECRET
from tests.web.test_web_openapi import _validate

BASE = "/api/v1/connectors"
FAKER = f"{BASE}/source-faker"
CHECK = f"{FAKER}/check"
CONFIG = {"count": 10, "seed": 4711}


@pytest.fixture
def as_documented(api: Any) -> Any:
    """Sees that an answer is as the OpenAPI document says; returns it."""
    document = api.get("/api/v1/openapi.json", None).json

    def check(answer: Any, path: str, method: str = "get") -> Any:
        response = document["paths"][path][method]["responses"][str(answer.status_code)]
        _validate(document, response["content"][answer.content_type]["schema"], answer.json)
        return answer.json

    return check


@pytest.fixture
def kept(settings: Settings) -> Any:
    """Source-faker as if it were installed, with its kept spec."""
    root = settings.home / "connectors"
    directory = root / "source-faker" / "1-a"
    directory.mkdir(parents=True)
    program = directory / "program"
    program.write_text("")
    (directory / "spec.json").write_text('{"type": "object"}')
    marker = root / "source-faker.json"
    marker.write_text(
        json.dumps({"name": "source-faker", "version": "1", "command": [str(program)]})
    )
    yield
    marker.unlink()
    for path in (program, directory / "spec.json"):
        path.unlink()
    directory.rmdir()


def _rows(engine: sa.Engine) -> list[Any]:
    with engine.connect() as conn:
        return list(conn.execute(sa.select(operation).order_by(operation.c.created_at)))


def test_the_catalog_in_pages(api: Any, as_documented: Any) -> None:
    names, cursor = [], ""
    while True:
        page = as_documented(api.get(f"{BASE}?limit=60{cursor}"), BASE)
        names += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert names == list(catalog.entries())


def test_the_catalog_filtered(api: Any, kept: Any) -> None:
    def named(query: str) -> list[str]:
        return [item["name"] for item in api.get(f"{BASE}?{query}").json["items"]]

    assert named("q=FAKER") == ["source-faker"]
    assert named("q=sample%20data") == ["source-faker"]
    # Atlas's own need no installing.
    assert named("installed=true") == ["source-faker", "source-files", "source-postgres"]
    assert "source-faker" not in named("installed=false")
    assert "source-faker" in named("category=development")
    assert named("category=none") == []
    assert "source-faker" in named("install=package")
    assert named("install=other") == []
    assert api.get(f"{BASE}?installed=perhaps").status_code == 400


def test_a_connector(api: Any, as_documented: Any) -> None:
    found = as_documented(api.get(FAKER), BASE + "/{connector}")
    assert (found["name"], found["installed"]) == ("source-faker", None)
    missing = api.get(f"{BASE}/source-fakir")
    assert missing.status_code == 404
    assert "source-faker" in missing.json["detail"]


def test_the_spec_of_an_installed_connector_at_once(
    api: Any, kept: Any, as_documented: Any
) -> None:
    found = as_documented(api.get(f"{FAKER}/spec"), BASE + "/{connector}/spec")
    assert found == {"name": "source-faker", "version": "1", "spec": {"type": "object"}}


def test_the_spec_of_another_is_an_operation_for_an_operator(
    api: Any, engine: sa.Engine, queue: redis.Redis, as_documented: Any
) -> None:
    refused = api.get(f"{FAKER}/spec", "viewer")
    assert (refused.status_code, refused.json["type"]) == (409, "/api/docs#not-installed")
    first = api.get(f"{FAKER}/spec", "operator")
    assert first.status_code == 202
    as_documented(first, BASE + "/{connector}/spec")
    # Whoever asks again and again asks for one.
    assert api.get(f"{FAKER}/spec", "operator").json == first.json
    assert [row.kind for row in _rows(engine)] == ["spec"]
    assert queue.llen("extract") == 1


@pytest.mark.parametrize("kind", ["check", "discover"])
def test_a_question_is_written_down_and_sent(
    api: Any, engine: sa.Engine, queue: redis.Redis, as_documented: Any, kind: str
) -> None:
    asked = api.post(f"{FAKER}/{kind}", json={"config": {**CONFIG, "token": "pl4nted-marker"}})
    assert asked.status_code == 202
    as_documented(asked, f"{BASE}/{{connector}}/{kind}", "post")
    assert asked.headers["Location"] == f"/api/v1/operations/{asked.json['operation_id']}"
    assert queue.llen("extract") == 1
    assert b"pl4nted-marker" not in (queue.lindex("extract", 0) or b"")
    found = api.get(asked.headers["Location"])
    document = as_documented(found, "/api/v1/operations/{operation_id}")
    assert (document["kind"], document["status"]) == (kind, "queued")
    (row,) = _rows(engine)
    assert b"pl4nted-marker" not in bytes(row.config)
    with engine.connect() as conn:
        assert conn.execute(sa.select(outbox.c.id)).all() == []
        text = conn.execute(sa.text("SELECT CAST(o AS text) FROM pipeline.operation o")).scalar()
    assert "pl4nted-marker" not in str(text) + found.get_data(as_text=True)


def test_without_redis_a_question_is_accepted_and_waits(
    api: Any, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atlas.sync.broker import app

    def refuse(*args: object, **options: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(app(), "send_task", refuse)
    asked = api.post(CHECK, json={"config": CONFIG})
    assert asked.status_code == 202
    with engine.connect() as conn:
        (message,) = conn.execute(sa.select(outbox.c.kind, outbox.c.ref))
    assert tuple(message) == ("operation", asked.json["operation_id"])


def test_the_version_is_passed_on(api: Any, engine: sa.Engine) -> None:
    api.post(f"{FAKER}/install", json={"version": "6.0.0"})
    api.post(CHECK, json={"config": CONFIG, "version": "6.0.0"})
    first = api.get(f"{FAKER}/spec?version=6.0.0", "operator").json
    assert api.get(f"{FAKER}/spec?version=6.0.0", "operator").json == first
    assert api.get(f"{FAKER}/spec", "operator").json != first
    assert [row.version for row in _rows(engine)] == ["6.0.0", "6.0.0", "6.0.0", None]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"config": {"a": {"b": ["${env:HOME}"]}}}, "config.a.b[0]"),
        ({"config": {"a": "x${file:/etc/passwd}"}}, "command line only"),
        ({"config": {"a": "********"}}, "config.a"),
        ({"config": []}, "config"),
        ({}, "config"),
        ({"config": {}, "executable": "/bin/true"}, "executable"),
        ({"config": {}, "manifest": {}}, "manifest"),
    ],
    ids=["env", "file", "mask", "a list", "nothing", "executable", "manifest"],
)
def test_what_is_not_accepted(api: Any, engine: sa.Engine, body: Any, says: str) -> None:
    answer = api.post(CHECK, json=body)
    assert answer.status_code == 422
    assert says in answer.json["detail"]
    assert _rows(engine) == []


def test_depth_is_bounded(api: Any, engine: sa.Engine) -> None:
    config: dict[str, Any] = {}
    for _ in range(500):
        config = {"a": config}
    answer = api.post(CHECK, json={"config": config})
    assert answer.status_code == 422
    assert _rows(engine) == []


def test_unknown_names(api: Any) -> None:
    assert api.post(f"{BASE}/source-nothing/check", json={"config": {}}).status_code == 404
    assert api.get("/api/v1/operations/1").status_code == 404
    assert api.get("/api/v1/operations/3b241101-e2bb-4255-8caf-4136c566a962").status_code == 404


def test_a_key_may_have_so_many(api: Any, engine: sa.Engine, settings: Settings) -> None:
    for _ in range(operations.MOST_OF_A_KEY):
        last = api.post(f"{FAKER}/install")
        assert last.status_code == 202
    refused = api.post(CHECK, json={"config": CONFIG})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"]
    assert api.post(CHECK, "admin", json={"config": CONFIG}).status_code == 202
    claimed = operations.claim(
        engine, SECRET.encode(), last.json["operation_id"], holder="x", lease=60
    )
    assert claimed is not None
    assert claimed.kind is Kind.INSTALL
    with engine.begin() as conn:
        operations.finish(conn, claimed, result={})
    assert api.post(CHECK, json={"config": CONFIG}).status_code == 202
