"""Connections: made, read, changed and deleted. No secret ever comes back."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import sqlalchemy as sa
from flask import Response, g

from atlas.connectors.masking import MASK
from atlas.ledger import connections as ledger
from atlas.ledger import paging, source_changes
from atlas.roles import Role
from atlas.web import etags
from atlas.web.answers import answer
from atlas.web.api import names
from atlas.web.database import engine, settings, transaction
from atlas.web.models import NoOptions
from atlas.web.operations import Link, Operation, Returns
from atlas.web.source_models import (
    ChangesAccepted,
    Connection,
    ConnectionChange,
    ConnectionChangeOptions,
    ConnectionFilter,
    ConnectionPage,
    ConnectionRemoval,
    ConnectionRemoved,
    ConnectionRequest,
    SourceChangeFilter,
    SourceChangePage,
)

_SUMMARY = {
    "name": "shop",
    "connector": "source-github",
    "executable": None,
    "version": None,
    "schema_changes": "evolve",
    "streams": {"commits": {"sync_mode": "incremental"}},
    "schedule": {"cron": "*/15 * * * *", "timezone": "Europe/Copenhagen"},
    "pii": {"policy": "default"},
    "quality": {"on_failure": "quarantine", "checks": None},
    "source_code": {
        "url": "https://github.com/acme/data/blob/5f0c8e1b7a2d4c6e9f3a1b8d7c5e2f4a6b9d0c3e/shop.yml",
        "repository": "https://github.com/acme/data",
        "path": "shop.yml",
        "version": "5f0c8e1b7a2d4c6e9f3a1b8d7c5e2f4a6b9d0c3e",
    },
    "created_at": "2025-03-01T09:00:01Z",
    "updated_at": "2025-03-01T09:00:01Z",
}
_CHANGE = {
    "id": 7,
    "stream": "users",
    "namespace": None,
    "property": "age",
    "change": "type",
    "detail": {"from": "bigint", "to": "numeric"},
    "run_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "at": "2025-03-01T09:00:01Z",
}
_CONNECTION = {
    **_SUMMARY,
    "config": {"repositories": ["an/example"], "credentials": {"personal_access_token": MASK}},
}
_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")


def list_connections(query: ConnectionFilter) -> Response:
    """A page of connections."""
    with transaction() as conn:
        items = ledger.names(
            conn, after=query.cursor, limit=query.limit + 1, down=query.sort == "-name"
        )
    return answer(paging.page(items, query.limit, "name"))


def create_connection(body: ConnectionRequest) -> Response:
    """Make a connection."""
    from atlas.sync import edit

    with transaction() as conn:
        edit.create(
            conn,
            settings(),
            msgspec.to_builtins(body),
            actor=g.key.actor,
            may_unmask=g.key.may(Role.PRIVACY),
            may_query=g.key.may(Role.ADMIN),
        )
        made = edit.describe(conn, settings(), body.name)
    location = f"/api/v1/connections/{body.name}"
    return answer(made, 201, {"Location": location, "ETag": etags.of(made)})


def get_connection(name: str) -> Response:
    """One connection."""
    from atlas.sync import edit

    with transaction() as conn:
        found = edit.describe(conn, settings(), names.connection(name))
    return etags.shown(found, etags.of(found))


def change_connection(
    name: str, query: ConnectionChangeOptions, body: ConnectionChange
) -> Response:
    """Change a connection."""
    from atlas.sync import edit

    with transaction() as conn:
        edit.change(
            conn,
            settings(),
            names.connection(name),
            msgspec.to_builtins(body),
            actor=g.key.actor,
            may_unmask=g.key.may(Role.PRIVACY),
            may_query=g.key.may(Role.ADMIN),
            reset_state=query.reset_state,
            seen=_seen(name),
        )
        made = edit.describe(conn, settings(), name)
    return answer(made, headers={"ETag": etags.of(made)})


def delete_connection(name: str, query: ConnectionRemoval) -> Response:
    """Delete a connection."""
    from atlas.sync import edit

    dropped = edit.delete(
        engine(),
        names.connection(name),
        actor=g.key.actor,
        drop_data=query.drop_data,
        seen=_seen(name),
    )
    return answer({"name": name, "dropped_tables": dropped})


def list_changes(name: str, query: SourceChangeFilter) -> Response:
    """What changed at a connection's source."""
    after = paging.before(query.cursor)
    with transaction() as conn:
        ledger.selects(conn, names.connection(name))
        items = source_changes.listed(conn, name, limit=query.limit + 1, after=after)
    return answer(paging.page(items, query.limit))


def accept_changes(name: str, body: NoOptions) -> Response:
    """Have the next run take the source as it is."""
    with transaction() as conn:
        source_changes.accept(conn, ledger.lock(conn, names.connection(name)), actor=g.key.actor)
    return answer({"name": name, "accepted": True})


def _seen(name: str) -> Callable[[sa.Connection], None] | None:
    from atlas.sync import edit

    if not etags.asked():
        return None
    return lambda conn: etags.see(etags.of(edit.describe(conn, settings(), name)))


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/connections",
        role=Role.VIEWER,
        tag="Connections",
        summary="List connections",
        order="by name",
        handler=list_connections,
        query=ConnectionFilter,
        returns={
            200: Returns(
                ConnectionPage, "A page.", example={"items": [_SUMMARY], "next_cursor": None}
            )
        },
    ),
    Operation(
        method="POST",
        path="/api/v1/connections",
        role=Role.OPERATOR,
        tag="Connections",
        summary="Create a connection",
        about="Its connector has to be installed, so that the configuration can be checked against "
        "its spec. Whether the source can be reached with it, a check says.",
        handler=create_connection,
        links=(
            Link(
                "name",
                "/name",
                (
                    "get_connection",
                    "change_connection",
                    "start_sync",
                    "get_state",
                    "delete_connection",
                ),
            ),
        ),
        body=ConnectionRequest,
        body_example={
            "name": "shop",
            "connector": "source-faker",
            "config": {"count": 1000, "seed": 42},
            "streams": {"users": {"sync_mode": "incremental"}},
            "schedule": {"every": "10m"},
        },
        returns={
            201: Returns(
                Connection,
                "The connection.",
                headers={"Location": "The connection."},
                example=_CONNECTION,
            )
        },
        problems=(*_BODY, "not-installed", "conflict"),
    ),
    Operation(
        method="GET",
        path="/api/v1/connections/<name>",
        role=Role.VIEWER,
        tag="Connections",
        summary="Get a connection",
        handler=get_connection,
        edited=True,
        returns={200: Returns(Connection, "The connection.", example=_CONNECTION)},
        problems=("not-found",),
    ),
    Operation(
        method="PATCH",
        path="/api/v1/connections/<name>",
        role=Role.OPERATOR,
        tag="Connections",
        summary="Change a connection",
        about=f"What is left out stays. A configuration may be sent back as it was read: `{MASK}` "
        "keeps the secret that is stored there. A run that is active goes on with "
        "what it began; the connector cannot be changed meanwhile.",
        handler=change_connection,
        edited=True,
        query=ConnectionChangeOptions,
        body=ConnectionChange,
        body_example={"schedule": {"every": "1h"}},
        returns={200: Returns(Connection, "The connection, changed.", example=_CONNECTION)},
        problems=(*_BODY, "not-found", "not-installed", "active-run"),
    ),
    Operation(
        method="GET",
        path="/api/v1/connections/<name>/changes",
        role=Role.VIEWER,
        tag="Connections",
        summary="List what changed at a connection's source",
        order="newest first",
        handler=list_changes,
        query=SourceChangeFilter,
        returns={
            200: Returns(
                SourceChangePage, "A page.", example={"items": [_CHANGE], "next_cursor": None}
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="POST",
        path="/api/v1/connections/<name>/accept",
        role=Role.OPERATOR,
        tag="Connections",
        summary="Accept what changed at a connection's source",
        about="The next sync takes its source as it is, once, whatever `schema_changes` says.",
        handler=accept_changes,
        body=NoOptions,
        body_example={},
        returns={
            200: Returns(ChangesAccepted, "So be it.", example={"name": "shop", "accepted": True})
        },
        problems=(*_BODY, "not-found"),
    ),
    Operation(
        method="DELETE",
        path="/api/v1/connections/<name>",
        role=Role.OPERATOR,
        tag="Connections",
        summary="Delete a connection",
        about="With its schedule and states. Tables and runs stay unless `drop_data` is true.",
        handler=delete_connection,
        edited=True,
        query=ConnectionRemoval,
        returns={
            200: Returns(
                ConnectionRemoved,
                "It is gone.",
                example={"name": "shop", "dropped_tables": ["explore.shop_commits_raw"]},
            )
        },
        problems=("not-found", "active-run", "conflict"),
    ),
]
