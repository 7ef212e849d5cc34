"""The catalog, and the questions to connectors, which take seconds: an operation to poll each."""

from __future__ import annotations

import difflib
from typing import Any

import msgspec
from flask import Response, g

from atlas.connectors import catalog
from atlas.ledger import operations, paging
from atlas.ledger.operations import Kind
from atlas.roles import Role
from atlas.settings import secret_key
from atlas.web.answers import answer
from atlas.web.database import engine, settings, transaction
from atlas.web.operations import Link, Operation, Returns
from atlas.web.problems import Problem
from atlas.web.source_models import (
    AsyncOperation,
    Connector,
    ConnectorConfig,
    ConnectorFilter,
    ConnectorPage,
    ConnectorSpec,
    InstallRequest,
    OperationAccepted,
    SpecFilter,
)

_CONNECTOR: dict[str, Any] = {
    "name": "source-faker",
    "title": "Sample Data (Faker)",
    "category": "development",
    "install": "package",
    "package": "airbyte-source-faker",
    "version": "7.2.1",
    "overrides": [],
    "image": None,
    "documentation": "https://docs.airbyte.com/integrations/sources/faker",
    "support": "community",
    "incremental": True,
    "note": None,
    "installed": "7.2.1",
}
_SPEC = {"type": "object", "properties": {"count": {"type": "integer"}}}
_ACCEPTED = {"operation_id": "3b241101-e2bb-4255-8caf-4136c566a962", "status": "queued"}
_OPERATION = {
    "operation_id": _ACCEPTED["operation_id"],
    "kind": "check",
    "connector": "source-faker",
    "status": "succeeded",
    "created_at": "2025-03-01T09:00:01Z",
    "started_at": "2025-03-01T09:00:01.5Z",
    "finished_at": "2025-03-01T09:00:04Z",
    "expires_at": "2025-03-02T09:00:04Z",
    "result": {"name": "source-faker", "version": "7.2.1"},
    "error": None,
}
_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")


def list_connectors(query: ConnectorFilter) -> Response:
    """A page of the catalog."""
    found = [
        entry
        for entry in catalog.entries(settings()).values()
        if (query.q or "").lower() in f"{entry.name} {entry.title}".lower()
        and query.category in (None, entry.category)
        and query.install in (None, entry.install)
        and entry.name > (query.cursor or "")
    ]
    items = []
    for entry in found:
        item = described(entry)
        if query.installed in (None, item.installed is not None):
            items.append(item)
        if len(items) > query.limit:
            break
    return answer(paging.page(msgspec.to_builtins(items), query.limit, "name"))


def get_connector(connector: str) -> Response:
    """One connector."""
    return answer(msgspec.to_builtins(described(entry_of(connector))))


def get_connector_spec(connector: str, query: SpecFilter) -> Response:
    """Its spec, if it was kept when the connector was installed; else an operation that asks."""
    from atlas.connectors import runner
    from atlas.connectors.install import present

    entry = entry_of(connector)
    found = present(entry.name, settings(), query.version)
    spec = None if found is None else runner.kept_spec(found, settings())
    if found is not None and spec is not None:
        return answer({"name": entry.name, "version": found.version, "spec": spec})
    if not g.key.may(Role.OPERATOR):
        raise Problem(
            "not-installed",
            f"connector {entry.name} is not installed, so its spec is not known here: a key of "
            "role operator may install it",
        )
    with transaction() as conn:
        asked = operations.unfinished(conn, Kind.SPEC, entry.name, query.version)
    if asked is not None:
        return _accepted(asked)
    return _ask(Kind.SPEC, entry, version=query.version)


def check_connector(connector: str, body: ConnectorConfig) -> Response:
    """Have a configuration tried."""
    return _ask(Kind.CHECK, entry_of(connector), version=body.version, config=body.config)


def discover_connector(connector: str, body: ConnectorConfig) -> Response:
    """Have a source asked for its streams."""
    return _ask(Kind.DISCOVER, entry_of(connector), version=body.version, config=body.config)


def install_connector(connector: str, body: InstallRequest) -> Response:
    """Have a connector installed."""
    entry = entry_of(connector)
    return _ask(Kind.INSTALL, entry, version=body.version)


def get_operation(operation_id: str) -> Response:
    """An operation, and its result once it has one."""
    with transaction() as conn:
        return answer(operations.document(conn, operation_id))


def entry_of(name: str) -> catalog.Entry:
    """The connector called ``name``.

    Raises:
        Problem: 404, there is none; names the nearest.
    """
    known = catalog.entries(settings())
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]}?" if near else "GET /api/v1/connectors lists those there are"
        )
        raise Problem("not-found", f"unknown connector {name[:100]!r}: {hint}")
    return known[name]


def described(entry: catalog.Entry) -> Connector:
    """The connector, with what of it is installed here."""
    from atlas.connectors.install import present

    found = present(entry.name, settings()) if entry.install != "docker" else None
    return Connector(
        **msgspec.structs.asdict(entry), installed=None if found is None else found.version
    )


def _ask(
    kind: Kind,
    entry: catalog.Entry,
    *,
    version: str | None = None,
    config: dict[str, Any] | None = None,
) -> Response:
    return _accepted(ask(kind, entry, version=version, config=config))


def ask(
    kind: Kind,
    entry: catalog.Entry,
    *,
    version: str | None = None,
    config: dict[str, Any] | None = None,
) -> str:
    """Write an operation down, then wake a worker; returns its id.

    Raises:
        UsageError: the configuration has what it may not. TooMany: too many have not ended.
    """
    from atlas.connectors.masking import literal, within_roots
    from atlas.sync import dispatch

    if config is not None:
        literal(config)
        within_roots(entry.name, config, settings())
    with transaction() as conn:
        operation_id, message = operations.create(
            conn,
            secret_key(settings()),
            kind,
            entry.name,
            asked_by=g.key.id,
            actor=g.key.actor,
            version=version,
            config=config,
        )
    dispatch.try_deliver(engine(), [message])
    return operation_id


def _accepted(operation_id: str) -> Response:
    location = f"/api/v1/operations/{operation_id}"
    return answer({"operation_id": operation_id, "status": "queued"}, 202, {"Location": location})


_RETURNS_OPERATION = Returns(
    OperationAccepted,
    "The operation waits for a worker.",
    headers={"Location": "The operation."},
    example=_ACCEPTED,
)

_TO_POLL = (Link("operation_id", "/operation_id", ("get_operation",)),)

OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/connectors",
        role=Role.VIEWER,
        tag="Connectors",
        summary="List the connectors of the catalog",
        order="by name",
        handler=list_connectors,
        query=ConnectorFilter,
        returns={
            200: Returns(
                ConnectorPage, "A page.", example={"items": [_CONNECTOR], "next_cursor": None}
            )
        },
    ),
    Operation(
        method="GET",
        path="/api/v1/connectors/<connector>",
        role=Role.VIEWER,
        tag="Connectors",
        summary="Get a connector of the catalog",
        handler=get_connector,
        returns={200: Returns(Connector, "The connector.", example=_CONNECTOR)},
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/connectors/<connector>/spec",
        role=Role.VIEWER,
        tag="Connectors",
        summary="Get a connector's spec",
        about="At once for a connector that is installed. For another one a key of role operator "
        "gets an operation that installs it and asks.",
        handler=get_connector_spec,
        query=SpecFilter,
        returns={
            200: Returns(
                ConnectorSpec,
                "The spec.",
                example={"name": "source-faker", "version": "7.2.1", "spec": _SPEC},
            ),
            202: _RETURNS_OPERATION,
        },
        problems=("not-found", "not-installed", "too-many-operations"),
    ),
    Operation(
        method="POST",
        path="/api/v1/connectors/<connector>/check",
        role=Role.OPERATOR,
        tag="Connectors",
        summary="Try a configuration",
        about="The operation succeeds if the source can be reached with it, and fails with the "
        "source's own words if not. Installs the connector if it is not.",
        handler=check_connector,
        links=_TO_POLL,
        body=ConnectorConfig,
        body_example={"config": {"count": 1000}},
        returns={202: _RETURNS_OPERATION},
        problems=(*_BODY, "not-found", "too-many-operations"),
    ),
    Operation(
        method="POST",
        path="/api/v1/connectors/<connector>/discover",
        role=Role.OPERATOR,
        tag="Connectors",
        summary="Ask a source for its streams",
        about="The operation's result has the streams with their schemas. Installs the connector "
        "if it is not.",
        handler=discover_connector,
        links=_TO_POLL,
        body=ConnectorConfig,
        body_example={"config": {"count": 1000}},
        returns={202: _RETURNS_OPERATION},
        problems=(*_BODY, "not-found", "too-many-operations"),
    ),
    Operation(
        method="POST",
        path="/api/v1/connectors/<connector>/install",
        role=Role.OPERATOR,
        tag="Connectors",
        summary="Install a connector",
        about="Into an environment of its own. One that is installed is left as it is.",
        handler=install_connector,
        links=_TO_POLL,
        body=InstallRequest,
        body_example={"version": None},
        returns={202: _RETURNS_OPERATION},
        problems=(*_BODY, "not-found", "too-many-operations"),
    ),
    Operation(
        method="GET",
        path="/api/v1/operations/<operation_id>",
        role=Role.VIEWER,
        tag="Connectors",
        summary="Get an operation",
        about="It can be read for 24 hours after its end. What was sent with the request is in "
        "no answer.",
        handler=get_operation,
        returns={200: Returns(AsyncOperation, "The operation.", example=_OPERATION)},
        problems=("not-found",),
    ),
]
