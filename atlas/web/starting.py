"""Answering a request that starts a run: run and answer in one transaction, then a worker is woken.

With a header ``Idempotency-Key`` the same request may be sent again and starts nothing new.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

import msgspec
import sqlalchemy as sa
from flask import Response, g, request

from atlas.ledger import idempotency
from atlas.settings import secret_key
from atlas.web.answers import answer
from atlas.web.database import engine, settings, single, transaction
from atlas.web.models import RunAccepted
from atlas.web.operations import Link, Returns
from atlas.web.problems import Problem

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

RETURNS = {
    202: Returns(
        RunAccepted,
        "The run waits for a worker.",
        headers={
            "Location": "The run.",
            "Idempotency-Replayed": "`true` when this is the answer to an earlier request "
            "with the same key.",
        },
        example={"run_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "status": "queued"},
    )
}
PROBLEMS = (
    "malformed-request",
    "not-found",
    "active-run",
    "too-large",
    "unsupported-media-type",
    "invalid-request",
    "idempotency-key-reused",
)
LINKS = (Link("run_id", "/run_id", ("get_run", "cancel_run", "retry_run", "get_quality_run")),)
HEADERS = {
    "Idempotency-Key": "Makes it safe to send the request again: for 24 hours the same "
    "key, path and body get the first answer and start nothing new. A refused request "
    "keeps nothing."
}


def start(
    body: msgspec.Struct, recorded: Callable[[sa.Connection], str], *, alone: bool = False
) -> Response:
    """Have ``recorded`` write down a run and return its id, once for a key.

    Args:
        alone: whether ``recorded`` is one statement.
    """
    # Brings Celery, which the factory must not wait for; gunicorn's hook has imported it by now.
    from atlas.sync import dispatch

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
    if not _KEY.fullmatch(given):
        raise Problem(
            "malformed-request",
            "Idempotency-Key: must be 1 to 255 visible ASCII characters, such as a UUID",
        )
    return idempotency.Reservation(g.key.id, f"{request.method} {request.path}", given)


def _fingerprint(body: msgspec.Struct) -> bytes:
    # Of what was understood, so that spaces, order and defaults make no other request of it. Keyed,
    # for a body may hold a personal value, which a plain hash lets anybody try.
    return hmac.digest(secret_key(settings()), msgspec.json.encode(body), "sha256")


def _accepted(kept: idempotency.Answer, headers: dict[str, str]) -> Response:
    location = f"/api/v1/runs/{kept.document['run_id']}"
    return answer(kept.document, kept.status, {"Location": location, **headers})
