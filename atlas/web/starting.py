"""Answering a request that starts work: what it did and its answer commit together.

With a header ``Idempotency-Key`` the same request may be sent again and starts nothing new.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any

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


REPLAYED = {"Idempotency-Replayed": "true"}


class Replayed(Exception):
    """The request was answered before: ``answer`` is what it was told."""

    def __init__(self, answer: idempotency.Answer) -> None:
        super().__init__("it was answered before")
        self.answer = answer


class Once:
    """This request, which may be sent again if it has an ``Idempotency-Key``; else nothing is kept.

    Raises:
        Problem: 400, the key is none.
    """

    def __init__(self, body: msgspec.Struct) -> None:
        self.reservation = _reservation()
        self._print = _fingerprint(body) if self.reservation is not None else b""

    def look(self, conn: sa.Connection) -> None:
        """See whether it was answered before.

        Raises:
            Replayed: it was. KeyReused: the earlier request had another body.
        """
        if self.reservation is not None:
            _replay(idempotency.find(conn, self.reservation, self._print))

    def reserve(self, conn: sa.Connection) -> None:
        """Take the key until :meth:`keep`, in the transaction of both; errors as of ``look``."""
        if self.reservation is not None:
            _replay(idempotency.reserve(conn, self.reservation, self._print))

    def keep(self, conn: sa.Connection, document: dict[str, Any]) -> None:
        """Write down what whoever sends it again is told."""
        if self.reservation is not None:
            idempotency.keep(conn, self.reservation, idempotency.Answer(202, document))


def _replay(earlier: idempotency.Answer | None) -> None:
    if earlier is not None:
        raise Replayed(earlier)


def start(
    body: msgspec.Struct, recorded: Callable[[sa.Connection], str], *, alone: bool = False
) -> Response:
    """Have ``recorded`` write down a run and return its id, once for a key.

    Args:
        alone: whether ``recorded`` is one statement.
    """
    # Brings Celery, which the factory must not wait for; gunicorn's hook has imported it by now.
    from atlas.sync import dispatch

    once = Once(body)
    try:
        # Without a key to keep it is one statement, which needs no transaction around it.
        with single() if once.reservation is None and alone else transaction() as conn:
            once.reserve(conn)
            run_id = recorded(conn)
            once.keep(conn, _queued(run_id))
    except Replayed as earlier:
        return accepted(earlier.answer.document["run_id"], REPLAYED)
    dispatch.start(engine(), [run_id])
    return accepted(run_id)


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


def _queued(run_id: str) -> dict[str, Any]:
    return {"run_id": run_id, "status": "queued"}


def accepted(run_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that a run waits for a worker."""
    location = {"Location": f"/api/v1/runs/{run_id}"}
    return answer(_queued(run_id), 202, {**location, **(headers or {})})
