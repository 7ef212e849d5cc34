"""The OpenAPI 3.1 document, made from the operations."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from atlas import __version__
from atlas.roles import Role
from atlas.web.access_models import UserName
from atlas.web.dataset_models import Layer, TableName
from atlas.web.lineage_models import NodeName
from atlas.web.models import (
    ConnectionName,
    ConnectorName,
    DatasetName,
    ProblemDocument,
    RunId,
    StreamName,
    UploadName,
    schemas,
)
from atlas.web.operations import Operation, Returns
from atlas.web.pii_models import PolicyName
from atlas.web.problems import KINDS, MEDIA_TYPE, RETRY_AFTER, Kind
from atlas.web.webhook_models import WebhookName

PATH: dict[str, tuple[Any, str]] = {
    "name": (ConnectionName, "Name of the connection."),
    "run_id": (RunId, "Id of the run."),
    "stream": (StreamName, "Name of the stream, or `namespace.name`."),
    "connector": (ConnectorName, "Name of the connector."),
    "operation_id": (RunId, "Id of the operation."),
    "dataset": (DatasetName, "Name of the dataset."),
    "layer": (Layer, "The layer."),
    "table": (TableName, "Name of the dataset's table in the layer."),
    "node": (NodeName, "The dataset, or a table of it."),
    "policy": (PolicyName, "Name of the policy."),
    "key_id": (RunId, "Id of the key."),
    "user": (UserName, "Name of the user."),
    "webhook": (WebhookName, "Name of the webhook."),
    "upload": (UploadName, "Name of the file."),
}
"""Parameters of paths: type and meaning."""

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_REQUEST_ID = "Under which the log tells of this request."


def document(operations: list[Operation]) -> dict[str, Any]:
    """The OpenAPI document of ``operations``."""
    models: list[type[Any]] = [ProblemDocument]
    for operation in operations:
        models += [returns.model for returns in operation.returns.values() if returns.model]
        models += [model for model in (operation.body,) if model]
    _, components = schemas(list(dict.fromkeys(models)))
    paths: dict[str, Any] = {}
    for operation in operations:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Atlas",
            "version": __version__,
            "summary": "Syncs any Airbyte source into PostgreSQL and governs it on the way.",
            "description": "Errors are RFC 9457 problem documents. Lists are paged by cursor. "
            "Times are RFC 3339 in UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Its role must be the one that the operation "
                    f"names or a higher one: {', '.join(Role)}.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "atlas",
                    "description": "The session of somebody who is logged in (`__Host-atlas` by "
                    "https), for pages of Atlas. What changes something also takes "
                    "`X-CSRF-Token`.",
                },
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    result: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": []
        if operation.role is None
        else [{"key": [operation.role]}, {"session": [operation.role]}],
        "responses": _responses(operation),
    }
    about = [operation.about] if operation.about else []
    if operation.order:
        about.append(f"The order: {operation.order}.")
    if about:
        result["description"] = " ".join(about)
    parameters = [*_path(operation), *_query(operation), *_headers(operation)]
    if parameters:
        result["parameters"] = parameters
    if operation.body is not None:
        result["requestBody"] = {
            "required": False,
            "content": {
                "application/json": {
                    "schema": _reference(operation.body),
                    "example": operation.body_example,
                }
            },
        }
    if operation.receives is not None:
        result["requestBody"] = {
            "required": True,
            "content": {operation.receives: {"schema": {"type": "string", "format": "binary"}}},
        }
    return result


def _path(operation: Operation) -> list[dict[str, Any]]:
    found = []
    for name in _PARAMETER.findall(operation.path):
        of, about = PATH[name]
        schema = msgspec.json.schema(of)
        schema.pop("description", None)
        found.append(
            {"name": name, "in": "path", "required": True, "description": about, "schema": schema}
        )
    return found


def _query(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = msgspec.json.schema(operation.query)
    definitions = schema["$defs"]
    found = []
    for name, described in definitions[operation.query.__name__]["properties"].items():
        value = dict(described)
        about = value.pop("description", None)
        # A parameter that is left out is absent, not null.
        options = [option for option in value.pop("anyOf", ()) if option != {"type": "null"}]
        for option in options:
            value.update(option)
        if value.get("default", ...) is None:
            del value["default"]
        if "$ref" in value:
            value = dict(definitions[value["$ref"].rsplit("/", 1)[1]])
        value.pop("title", None)
        value.pop("description", None)
        found.append(
            {"name": name, "in": "query", "required": False, "description": about, "schema": value}
        )
    return found


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": about,
            # A browser that has had no event yet may say so by an empty one.
            "schema": {
                "type": "string",
                "minLength": 0 if name == "Last-Event-ID" else 1,
                "maxLength": 255,
            },
        }
        for name, about in {**operation.headers, **_conditions(operation)}.items()
    ]


def _conditions(operation: Operation) -> dict[str, str]:
    if not operation.edited:
        return {}
    if operation.method == "GET":
        return {"If-None-Match": "An `ETag`: 304 without a body if that is still what there is."}
    found = {"If-Match": "An `ETag`: 412 if somebody has changed what people edit since. `*`: any."}
    if operation.method == "PUT":
        found["If-None-Match"] = "`*`: 412 if there is one already."
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    result = _successes(operation)
    slugs = ["invalid-parameter", "internal-error", *operation.problems]
    if operation.body is not None:
        slugs.append("too-complex")
    if operation.role is not None:
        slugs += ["unauthorized", "forbidden", "cross-site", "unavailable"]
    if operation.edited:
        slugs.append("malformed-request")
    if operation.edited and operation.method != "GET":
        slugs.append("precondition-failed")
    if operation.counted:
        slugs.append("rate-limited")
    by_status: dict[int, list[Kind]] = {}
    for slug in dict.fromkeys(slugs):
        by_status.setdefault(KINDS[slug].status, []).append(KINDS[slug])
    for status, kinds in sorted(by_status.items()):
        result[str(status)] = _problem(status, kinds)
    if operation.counted:
        for response in result.values():
            response["headers"].update(_described(_RATE))
    return result


def _successes(operation: Operation) -> dict[str, Any]:
    result = {str(status): _answer(each) for status, each in operation.returns.items()}
    links = {
        to: {"operationId": to, "parameters": {link.parameter: f"$response.body#{link.pointer}"}}
        for link in operation.links
        for to in link.operations
    }
    for response in result.values():
        if links:
            response["links"] = links
        if operation.edited and operation.method != "DELETE":
            response["headers"].update(_described({"ETag": "For `If-Match`, `If-None-Match`."}))
    if operation.edited and operation.method == "GET":
        headers = _described({"X-Request-Id": _REQUEST_ID, "ETag": "The one that was sent."})
        result["304"] = {"description": "It has not changed.", "headers": headers, "content": {}}
    return result


_RATE = {
    "RateLimit-Policy": "How many requests (`q`) there may be in so many seconds (`w`).",
    "RateLimit": "How many are left (`r`), and in how many seconds they begin anew (`t`).",
}


def _described(headers: dict[str, str]) -> dict[str, Any]:
    return {
        name: {"description": about, "schema": {"type": "string"}}
        for name, about in headers.items()
    }


def _answer(returns: Returns) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"type": "string"}}
    if returns.model is not None:
        content = {"schema": _reference(returns.model)}
    elif returns.media_type == "application/json":
        content = {"schema": {"type": "object"}}
    if returns.example is not None:
        content["example"] = returns.example
    return {
        "description": returns.about,
        "headers": _described({**returns.headers, "X-Request-Id": _REQUEST_ID}),
        "content": {returns.media_type: content} if returns.media_type else {},
    }


def _problem(status: int, kinds: list[Kind]) -> dict[str, Any]:
    headers = {"X-Request-Id": _REQUEST_ID}
    if status in {401, 403}:
        headers["WWW-Authenticate"] = "How to authenticate."
    if status == HTTPStatus.PRECONDITION_FAILED:
        headers["ETag"] = "What it is now."
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        headers["Retry-After"] = f"Seconds to wait ({RETRY_AFTER})."
    return {
        "description": " Or: ".join(f"{kind.title}. {kind.about}" for kind in kinds),
        "headers": _described(headers),
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "allOf": [
                        _reference(ProblemDocument),
                        {"properties": {"type": {"enum": [kind.type for kind in kinds]}}},
                    ]
                }
            }
        },
    }


def _reference(model: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
