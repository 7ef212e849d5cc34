"""Asking for a sync of a connection."""

from __future__ import annotations

import hashlib
import re

import msgspec
from flask import Response, g, request

from atlas.errors import NotFound
from atlas.ledger import idempotency
from atlas.web.answers import answer
from atlas.web.database import engine, single, transaction
from atlas.web.models import RunAccepted, SyncRequest
from atlas.web.operations import Operation, Returns
from atlas.web.problems import Problem

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_EXAMPLE = {"run_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "status": "queued"}


def start_sync(name: str, body: SyncRequest) -> Response:
    """Write run and answer in one transaction; then wake a worker."""
    # Brings Celery, which the factory must not wait for; gunicorn's hook has imported it by now.
    from atlas.sync import dispatch
    from atlas.sync.request import record

    if not _NAME.fullmatch(name):
        raise NotFound(f"there is no connection {name!r}: names are [a-z][a-z0-9_]{{0,39}}")
    reservation = _reservation()
    # Without a key to keep it is one statement, which needs no transaction around it.
    with single() if reservation is None and body.streams is None else transaction() as conn:
        if reservation is not None:
            earlier = idempotency.reserve(conn, reservation, _fingerprint(body))
            if earlier is not None:
                return _accepted(earlier, {"Idempotency-Replayed": "true"})
        run_id = record(
            conn,
            name,
            trigger="api",
            streams=body.streams,
            full_refresh=body.full_refresh,
        )
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


def _fingerprint(body: SyncRequest) -> bytes:
    # Of what was understood, so that spaces, order and defaults make no other request of it.
    return hashlib.sha256(msgspec.json.encode(body)).digest()


def _accepted(kept: idempotency.Answer, headers: dict[str, str]) -> Response:
    location = f"/api/v1/runs/{kept.document['run_id']}"
    return answer(kept.document, kept.status, {"Location": location, **headers})


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
        returns={
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
        },
        problems=(
            "malformed-request",
            "not-found",
            "active-run",
            "too-large",
            "unsupported-media-type",
            "invalid-request",
            "idempotency-key-reused",
        ),
        headers={
            "Idempotency-Key": "Makes it safe to send the request again: for 24 hours the same "
            "key, path and body get the first answer and start nothing new. A refused request "
            "keeps nothing."
        },
    )
]
