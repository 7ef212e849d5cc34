"""Asking for a sync of a connection, or to have its masks made anew."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import msgspec
import sqlalchemy as sa
from flask import Response, g, request

from atlas.errors import NotFound
from atlas.ledger import idempotency
from atlas.web.answers import answer
from atlas.web.database import engine, single, transaction
from atlas.web.models import RemaskRequest, RunAccepted, SyncRequest
from atlas.web.operations import Operation, Returns
from atlas.web.problems import Problem

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_EXAMPLE = {"run_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "status": "queued"}


def start_sync(name: str, body: SyncRequest) -> Response:
    """A sync."""
    # Brings Celery, which the factory must not wait for; gunicorn's hook has imported it by now.
    from atlas.sync.request import record

    def recorded(conn: sa.Connection) -> str:
        return record(
            conn,
            name,
            trigger="api",
            streams=body.streams,
            full_refresh=body.full_refresh,
        )

    return _start(name, body, recorded, alone=body.streams is None)


def start_remask(name: str, body: RemaskRequest) -> Response:
    """A run that masks anew."""
    from atlas.sync.request import record_remask

    def recorded(conn: sa.Connection) -> str:
        return record_remask(conn, name, actor=f"api: {g.key.name}", streams=body.streams)

    return _start(name, body, recorded)


def _start(
    name: str,
    body: SyncRequest | RemaskRequest,
    recorded: Callable[[sa.Connection], str],
    *,
    alone: bool = False,
) -> Response:
    """Write run and answer in one transaction; then wake a worker.

    Args:
        alone: whether ``recorded`` is one statement.
    """
    from atlas.sync import dispatch

    if not _NAME.fullmatch(name):
        raise NotFound(f"there is no connection {name!r}: names are [a-z][a-z0-9_]{{0,39}}")
    reservation = _reservation()
    # Without a key to keep it is one statement, which needs no transaction around it.
    with single() if reservation is None and alone else transaction() as conn:
        if reservation is not None:
            earlier = idempotency.reserve(conn, reservation, _fingerprint(body))
            if earlier is not None:
                return _accepted(earlier, {"Idempotency-Replayed": "true"})
        run_id = recorded(conn)
        accepted = idempotency.Answer(202, {"run_id": run_id, "status": "queued"})
        if reservation is not None:
            idempotency.keep(conn, reservation, accepted)
    dispatch.start(engine(), [run_id])
    return _accepted(accepted, {})


def _reservation() -> idempotency.Reservation | None:
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(given):
        raise Problem(
            "malformed-request",
            "Idempotency-Key: must be 1 to 255 visible ASCII characters, such as a UUID",
        )
    return idempotency.Reservation(g.key.id, f"{request.method} {request.path}", given)


def _fingerprint(body: SyncRequest | RemaskRequest) -> bytes:
    # Of what was understood, so that spaces, order and defaults make no other request of it.
    return hashlib.sha256(msgspec.json.encode(body)).digest()


def _accepted(kept: idempotency.Answer, headers: dict[str, str]) -> Response:
    location = f"/api/v1/runs/{kept.document['run_id']}"
    return answer(kept.document, kept.status, {"Location": location, **headers})


_RETURNS = {
    202: Returns(
        RunAccepted,
        "The run waits for a worker.",
        headers={
            "Location": "The run.",
            "Idempotency-Replayed": "`true` when this is the answer to an earlier request "
            "with the same key.",
        },
        example=_EXAMPLE,
    )
}
_PROBLEMS = (
    "malformed-request",
    "not-found",
    "active-run",
    "too-large",
    "unsupported-media-type",
    "invalid-request",
    "idempotency-key-reused",
)
_HEADERS = {
    "Idempotency-Key": "Makes it safe to send the request again: for 24 hours the same "
    "key, path and body get the first answer and start nothing new. A refused request "
    "keeps nothing."
}

OPERATIONS = [
    Operation(
        method="POST",
        path="/api/v1/connections/<name>/syncs",
        role="operator",
        tag="Syncs",
        summary="Start a sync of a connection",
        about="Answers as soon as the run is written down; a worker takes it up. "
        "A connection has one active run at a time.",
        handler=start_sync,
        body=SyncRequest,
        body_example={"streams": ["users"], "full_refresh": False},
        returns=_RETURNS,
        problems=_PROBLEMS,
        headers=_HEADERS,
    ),
    Operation(
        method="POST",
        path="/api/v1/connections/<name>/remasks",
        role="privacy",
        tag="Syncs",
        summary="Mask a connection's data anew",
        about="Makes chart, its quarantine and navigate anew from explore, by the policy and the "
        "words that hold now. It is a run like a sync, but asks no source: no row comes or goes, "
        "no version opens or closes.",
        handler=start_remask,
        body=RemaskRequest,
        body_example={"streams": ["users"]},
        returns=_RETURNS,
        problems=_PROBLEMS,
        headers=_HEADERS,
    ),
]
