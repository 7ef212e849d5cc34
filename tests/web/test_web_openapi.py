"""The OpenAPI document is right, complete, and what the answers are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from jsonschema import Draft202012Validator

from atlas.ledger import runs
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
# Files of pages, and pages.
NOT_OPERATIONS = {
    "/static/<path:filename>",
    "/static/swagger/swagger-ui.css",
    "/static/swagger/swagger-ui-bundle.js",
}


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/api/v1/openapi.json")
    assert answer.content_type == "application/json"
    found: dict[str, Any] = answer.get_json()
    return found


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield path, method, operation


def test_every_route_is_in_it_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(rule)), method.lower())
        for rule in app.url_map.iter_rules()
        if str(rule) not in NOT_OPERATIONS and not rule.endpoint.startswith("ui.")
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert routes == {(path, method) for path, method, _ in _operations(document)}


def _roles(operation: dict[str, Any]) -> list[str]:
    """The role that an operation needs, which is the same of a key and of a session."""
    by_key = [need["key"] for need in operation["security"] if "key" in need]
    by_session = [need["session"] for need in operation["security"] if "session" in need]
    assert by_key == by_session
    return [role for roles in by_key for role in roles]


def test_every_operation_but_the_open_ones_needs_a_role(document: dict[str, Any]) -> None:
    roles = {
        f"{method} {path}": _roles(operation) for path, method, operation in _operations(document)
    }
    assert roles == {
        "get /api/v1/overview": ["viewer"],
        "get /api/v1/connectors": ["viewer"],
        "get /api/v1/connectors/{connector}": ["viewer"],
        "get /api/v1/connectors/{connector}/spec": ["viewer"],
        "post /api/v1/connectors/{connector}/check": ["operator"],
        "post /api/v1/connectors/{connector}/discover": ["operator"],
        "post /api/v1/connectors/{connector}/install": ["operator"],
        "get /api/v1/operations/{operation_id}": ["viewer"],
        "get /api/v1/uploads": ["viewer"],
        "put /api/v1/uploads/{upload}": ["operator"],
        "delete /api/v1/uploads/{upload}": ["operator"],
        "get /api/v1/connections": ["viewer"],
        "post /api/v1/connections": ["operator"],
        "get /api/v1/connections/{name}": ["viewer"],
        "patch /api/v1/connections/{name}": ["operator"],
        "delete /api/v1/connections/{name}": ["operator"],
        "get /api/v1/connections/{name}/changes": ["viewer"],
        "post /api/v1/connections/{name}/accept": ["operator"],
        "get /api/v1/connections/{name}/state": ["viewer"],
        "put /api/v1/connections/{name}/state": ["operator"],
        "delete /api/v1/connections/{name}/state": ["operator"],
        "get /api/v1/connections/{name}/state/history": ["viewer"],
        "post /api/v1/connections/{name}/state/restore": ["operator"],
        "get /api/v1/connections/{name}/state/{stream}": ["viewer"],
        "put /api/v1/connections/{name}/state/{stream}": ["operator"],
        "delete /api/v1/connections/{name}/state/{stream}": ["operator"],
        "post /api/v1/connections/{name}/syncs": ["operator"],
        "post /api/v1/connections/{name}/remasks": ["privacy"],
        "get /api/v1/schedules": ["viewer"],
        "post /api/v1/schedules": ["operator"],
        "get /api/v1/schedules/{name}": ["viewer"],
        "patch /api/v1/schedules/{name}": ["operator"],
        "delete /api/v1/schedules/{name}": ["operator"],
        "get /api/v1/runs": ["viewer"],
        "get /api/v1/runs/{run_id}": ["viewer"],
        "get /api/v1/runs/{run_id}/comparison": ["viewer"],
        "get /api/v1/runs/{run_id}/log": ["viewer"],
        "get /api/v1/runs/{run_id}/events": ["viewer"],
        "get /api/v1/events": ["viewer"],
        "post /api/v1/runs/{run_id}/cancel": ["operator"],
        "post /api/v1/runs/{run_id}/retry": ["operator"],
        "get /api/v1/datasets": ["viewer"],
        "get /api/v1/datasets/{layer}/{table}": ["viewer"],
        "get /api/v1/datasets/{layer}/{table}/sample": ["viewer"],
        "patch /api/v1/datasets/{layer}/{table}": ["operator"],
        "get /api/v1/pii/datasets/{dataset}": ["viewer"],
        "get /api/v1/pii/datasets/{dataset}/overrides": ["viewer"],
        "get /api/v1/pii/datasets/{dataset}/changes": ["viewer"],
        "post /api/v1/pii/overrides": ["privacy"],
        "post /api/v1/pii/find": ["privacy"],
        "post /api/v1/pii/export": ["privacy"],
        "post /api/v1/pii/erasures": ["privacy"],
        "get /api/v1/audit": ["privacy"],
        "get /api/v1/pii/policies": ["viewer"],
        "get /api/v1/pii/policies/{policy}": ["viewer"],
        "put /api/v1/pii/policies/{policy}": ["privacy"],
        "delete /api/v1/pii/policies/{policy}": ["privacy"],
        "post /api/v1/pii/decrypt": ["privacy"],
        "get /api/v1/quality/datasets/{dataset}": ["viewer"],
        "get /api/v1/quality/datasets/{dataset}/history": ["viewer"],
        "get /api/v1/quality/datasets/{dataset}/suggestions": ["viewer"],
        "get /api/v1/quality/runs/{run_id}": ["viewer"],
        "get /api/v1/quarantine/{dataset}": ["viewer"],
        "post /api/v1/quarantine/{dataset}/reprocess": ["operator"],
        "post /api/v1/quarantine/{dataset}/discard": ["operator"],
        "get /api/v1/lineage/datasets/{node}": ["viewer"],
        "get /api/v1/lineage/runs/{run_id}": ["viewer"],
        "get /api/v1/lineage/sinks": ["operator"],
        "get /api/v1/keys": ["admin"],
        "post /api/v1/keys": ["admin"],
        "delete /api/v1/keys/{key_id}": ["admin"],
        "get /api/v1/users": ["admin"],
        "post /api/v1/users": ["admin"],
        "get /api/v1/users/{user}": ["admin"],
        "patch /api/v1/users/{user}": ["admin"],
        "post /api/v1/users/{user}/link": ["admin"],
        "get /api/v1/webhooks": ["admin"],
        "post /api/v1/webhooks": ["admin"],
        "get /api/v1/webhooks/{webhook}": ["admin"],
        "patch /api/v1/webhooks/{webhook}": ["admin"],
        "delete /api/v1/webhooks/{webhook}": ["admin"],
        "post /api/v1/webhooks/{webhook}/test": ["admin"],
        "get /api/v1/webhooks/{webhook}/deliveries": ["admin"],
        "get /healthz": [],
        "get /readyz": [],
        "get /metrics": ["viewer"],
        "get /api/v1/openapi.json": [],
        "get /api/docs": [],
    }


def test_a_role_is_asked_for_where_the_document_says_so(
    app: Flask, document: dict[str, Any]
) -> None:
    for path, method, operation in _operations(document):
        url = re.sub(r"{\w+}", "1", path)
        status = app.test_client().open(url, method=method.upper()).status_code
        assert (status == 401) == bool(operation["security"]), path


def test_structure(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    ids = []
    for path, _, operation in _operations(document):
        assert path.startswith("/")
        ids.append(operation["operationId"])
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
        names = [(each["in"], each["name"]) for each in operation.get("parameters", ())]
        assert len(names) == len(set(names))
        assert {name for where, name in names if where == "path"} == set(
            re.findall(r"{(\w+)}", path)
        )
        for each in operation.get("parameters", ()):
            assert each["description"]
            assert each["required"] == (each["in"] == "path")
        assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}
        for need in operation["security"]:
            assert set(need) <= set(document["components"]["securitySchemes"])
    assert len(ids) == len(set(ids))


def test_schemas_are_schemas_and_references_lead_somewhere(document: dict[str, Any]) -> None:
    for schema in _schemas(document):
        Draft202012Validator.check_schema(schema)
    references = set(_references(document))
    assert references
    for reference in references:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    count = 0
    for _, _, operation in _operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for holder in (*operation["responses"].values(), *bodies):
            for content in holder["content"].values():
                if "example" in content:
                    _validate(document, content["schema"], content["example"])
                    count += 1
    assert count >= 6


def test_answers_are_as_documented(
    api: Any, shop: str, engine: sa.Engine, document: dict[str, Any]
) -> None:
    syncs = "/api/v1/connections/{name}/syncs"
    accepted = api.post(syncs.format(name=shop))
    run_id = accepted.json["run_id"]
    with engine.begin() as conn:
        users = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)
        runs.add_streams(conn, run_id, [(users, True)], list(ORDER))
    state = "/api/v1/connections/{name}/state"
    at, one = state.format(name=shop), state + "/{stream}"
    message = {
        "type": "STREAM",
        "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"at": 1}},
    }
    cancel, retry = "/api/v1/runs/{run_id}/cancel", "/api/v1/runs/{run_id}/retry"
    for path, method, answer in [
        (syncs, "post", accepted),
        (syncs, "post", api.post(syncs.format(name=shop))),
        (syncs, "post", api.post(syncs.format(name="none"))),
        (syncs, "post", api.post(syncs.format(name=shop), "viewer")),
        (syncs, "post", api.post(syncs.format(name=shop), None)),
        (syncs, "post", api.post(syncs.format(name=shop), json={"x": 1})),
        (syncs, "post", api.post(syncs.format(name=shop), data="x")),
        ("/api/v1/runs", "get", api.get("/api/v1/runs")),
        ("/api/v1/runs", "get", api.get("/api/v1/runs?x=1")),
        ("/api/v1/runs/{run_id}", "get", api.get(f"/api/v1/runs/{run_id}")),
        ("/api/v1/runs/{run_id}", "get", api.get("/api/v1/runs/1")),
        (retry, "post", api.post(retry.format(run_id=run_id))),
        (cancel, "post", api.post(cancel.format(run_id=run_id))),
        (cancel, "post", api.post(cancel.format(run_id=run_id))),
        (cancel, "post", api.post(cancel.format(run_id="1"))),
        (cancel, "post", api.post(cancel.format(run_id=run_id), json={"x": 1})),
        (retry, "post", api.post(retry.format(run_id=run_id))),
        (state, "put", api.call("PUT", at, json={"state": [message]})),
        (state, "put", api.call("PUT", at, json={})),
        (state, "get", api.get(at)),
        (one, "get", api.get(f"{at}/users")),
        (one, "put", api.call("PUT", f"{at}/users", json={"state": {"at": 2}})),
        (one, "delete", api.call("DELETE", f"{at}/users")),
        (one, "delete", api.call("DELETE", f"{at}/users")),
        (f"{state}/history", "get", api.get(f"{at}/history")),
        (f"{state}/restore", "post", api.post(f"{at}/restore", json={"id": 1})),
        (state, "delete", api.call("DELETE", at)),
        ("/healthz", "get", api.get("/healthz", None)),
        ("/readyz", "get", api.get("/readyz", None)),
    ]:
        response = document["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"][answer.content_type]["schema"]
        _validate(document, schema, answer.json)
        for header in set(response["headers"]) - {"Idempotency-Replayed", "Retry-After"}:
            assert header in answer.headers, (path, header)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.add(value or "")
            if name in {"href", "src"} and not (value or "").startswith("data:"):
                self.links.append(value or "")
            assert not name.startswith("on")
            assert name != "style"


def test_the_page_lists_operations_and_problems(app: Flask, document: dict[str, Any]) -> None:
    client = app.test_client()
    answer = client.get("/api/docs")
    assert answer.content_type == "text/html; charset=utf-8"
    page = _Page()
    page.feed(answer.get_data(as_text=True))
    assert {operation["operationId"] for _, _, operation in _operations(document)} <= page.ids
    assert not page.tags & {"style", "img", "iframe"}
    assert "<script>" not in answer.text  # each is a file
    for link in page.links:
        assert link.startswith("/")
        followed = client.get(link)
        assert followed.status_code == 200, link
        followed.close()
    # The type of a problem leads to its explanation.
    for kind in _types(document):
        assert kind.removeprefix("/api/docs#") in page.ids


def _types(document: dict[str, Any]) -> set[str]:
    return {
        kind
        for _, _, operation in _operations(document)
        for response in operation["responses"].values()
        for content in response["content"].values()
        for part in content["schema"].get("allOf", ())
        for kind in part.get("properties", {}).get("type", {}).get("enum", ())
    }


def _validate(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    # Strict: a member that no model documents is a mistake. Problems may have more.
    schemas = {
        name: found if name == "ProblemDocument" else {**found, "additionalProperties": False}
        for name, found in document["components"]["schemas"].items()
    }
    root = {**schema, "components": {"schemas": schemas}}
    Draft202012Validator(root, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def _schemas(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["components"]["schemas"].values()
    for _, _, operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            yield parameter["schema"]
        for response in operation["responses"].values():
            for content in response["content"].values():
                yield content["schema"]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
