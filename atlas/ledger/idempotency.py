"""Answers to requests that may be sent twice: a second one gets the first one's answer.

The row that reserves a key commits with what the request did, so that either both are there or
neither; a request that was refused did nothing and leaves none. Whoever comes second while the
first is at work waits for its commit, inside the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.errors import UsageError
from atlas.ledger.tables import idempotency as table

LIFETIME = timedelta(hours=24)
"""How long an answer is kept; after that its key is free again."""


class KeyReused(UsageError):
    """The idempotency key belongs to an earlier request with another body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request was answered: HTTP status and JSON document."""

    status: int
    document: Any


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request of one key or account: ``route`` is method and path, ``key`` its own word."""

    asked_by: str
    route: str
    key: str


def reserve(conn: sa.Connection, request: Reservation, body_hash: bytes) -> Answer | None:
    """Take the key for this request, or return what it was answered before.

    After None the caller does the work and calls :func:`keep` in the same transaction; a rollback
    frees the key. Waits while another transaction holds the key.

    Raises:
        KeyReused: the earlier request had another body.
    """
    now = sa.func.clock_timestamp()
    # Status 0 stands there until keep(); nobody else sees it, for the row is not committed.
    fresh = {"body_hash": body_hash, "status": 0, "response": {}, "created_at": now}
    reserved = conn.execute(
        insert(table)
        .values(asked_by=request.asked_by, route=request.route, key=request.key, **fresh)
        .on_conflict_do_update(
            index_elements=[table.c.asked_by, table.c.route, table.c.key],
            set_=fresh,
            where=table.c.created_at <= now - LIFETIME,
        )
        .returning(table.c.key)
    ).scalar()
    if reserved is not None:
        return None
    return _answer(conn.execute(sa.select(table).where(_is(request))).one(), body_hash)


def find(conn: sa.Connection, request: Reservation, body_hash: bytes) -> Answer | None:
    """What this request was answered before, if it was.

    Raises:
        KeyReused: the earlier request had another body.
    """
    held = table.c.created_at > sa.func.clock_timestamp() - LIFETIME
    row = conn.execute(sa.select(table).where(_is(request), held)).one_or_none()
    return None if row is None else _answer(row, body_hash)


def _answer(row: sa.Row[Any], body_hash: bytes) -> Answer:
    if bytes(row.body_hash) != body_hash:
        raise KeyReused(
            "Idempotency-Key: it was used for a request with another body; "
            "choose a new key for a new request"
        )
    return Answer(row.status, row.response)


def keep(conn: sa.Connection, request: Reservation, answer: Answer) -> None:
    """Write down what the request that holds the key is answered."""
    conn.execute(
        table.update().where(_is(request)).values(status=answer.status, response=answer.document)
    )


def forget_expired(conn: sa.Connection) -> int:
    """Delete the answers that are past their lifetime; returns how many."""
    return conn.execute(
        table.delete().where(table.c.created_at <= sa.func.clock_timestamp() - LIFETIME)
    ).rowcount


def _is(request: Reservation) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.asked_by == request.asked_by,
        table.c.route == request.route,
        table.c.key == request.key,
    )
