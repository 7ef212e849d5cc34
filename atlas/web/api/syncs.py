"""Asking for a sync of a connection, or to have its masks made anew."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Response, g

from atlas.roles import Role
from atlas.web.api import names
from atlas.web.models import RemaskRequest, SyncRequest
from atlas.web.operations import Operation
from atlas.web.starting import HEADERS, LINKS, PROBLEMS, RETURNS, start


def start_sync(name: str, body: SyncRequest) -> Response:
    """A sync."""
    # Brings Celery, which the factory must not wait for; gunicorn's hook has imported it by now.
    from atlas.sync.request import record

    def recorded(conn: sa.Connection) -> str:
        return record(
            conn,
            name,
            trigger="api",
            actor=g.key.actor,
            streams=body.streams,
            full_refresh=body.full_refresh,
        )

    names.connection(name)
    return start(body, recorded, alone=body.streams is None)


def start_remask(name: str, body: RemaskRequest) -> Response:
    """A run that masks anew."""
    from atlas.sync.request import record_remask

    def recorded(conn: sa.Connection) -> str:
        return record_remask(conn, name, actor=g.key.actor, streams=body.streams)

    names.connection(name)
    return start(body, recorded)


OPERATIONS = [
    Operation(
        method="POST",
        path="/api/v1/connections/<name>/syncs",
        role=Role.OPERATOR,
        tag="Syncs",
        summary="Start a sync of a connection",
        about="Answers as soon as the run is written down; a worker takes it up. "
        "A connection has one active run at a time.",
        handler=start_sync,
        body=SyncRequest,
        body_example={"streams": ["users"], "full_refresh": False},
        returns=RETURNS,
        problems=PROBLEMS,
        headers=HEADERS,
        links=LINKS,
    ),
    Operation(
        method="POST",
        path="/api/v1/connections/<name>/remasks",
        role=Role.PRIVACY,
        tag="Syncs",
        summary="Mask a connection's data anew",
        about="Makes chart, its quarantine and navigate anew from explore, by the policy and the "
        "words that hold now. It is a run like a sync, but asks no source: no row comes or goes, "
        "no version opens or closes.",
        handler=start_remask,
        body=RemaskRequest,
        body_example={"streams": ["users"]},
        returns=RETURNS,
        problems=PROBLEMS,
        headers=HEADERS,
        links=LINKS,
    ),
]
