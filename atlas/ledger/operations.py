"""Operations: a spec, check, discover or install that somebody asked for and polls.

Claimed, renewed and fenced as stages are. The configuration that came with the request is
encrypted, and gone with the statement that ends the operation, however it ends.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from atlas.errors import Conflict, LostClaim, NotFound
from atlas.ledger import audit, measures, outbox
from atlas.ledger.secrets import encrypt, reader
from atlas.ledger.tables import operation as table
from atlas.ledger.tables import outbox as messages

LIFETIME = timedelta(hours=24)
"""How long an operation can be read after its end."""
PATIENCE = timedelta(hours=1)
"""How long one may wait for a worker."""
MOST_OF_A_KEY = 20
"""Unfinished operations that one API key may have."""
MOST_ATTEMPTS = 3
"""Workers that may die over one operation."""


class Kind(StrEnum):
    """What is asked of a connector."""

    SPEC = "spec"
    CHECK = "check"
    DISCOVER = "discover"
    INSTALL = "install"


class TooMany(Conflict):
    """The key has as many unfinished operations as it may."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The right to work on an operation, as long as ``fence`` is the newest."""

    id: str
    kind: Kind
    connector: str
    version: str | None
    fence: int
    attempt: int
    config: dict[str, Any] | None = field(repr=False)


def create(
    conn: sa.Connection,
    secret: bytes,
    kind: Kind,
    connector: str,
    *,
    asked_by: str,
    actor: str,
    version: str | None = None,
    config: dict[str, Any] | None = None,
) -> tuple[str, int]:
    """Write an operation and its message down; returns its id and the message's.

    Args:
        asked_by: id of the key or account that asks. actor: what the audit log calls it.

    Raises:
        TooMany: the key has too many that have not ended.
    """
    # Two requests of one key at once: the second sees what the first one wrote.
    conn.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 7))"), {"key": asked_by}
    )
    open_ones = sa.select(sa.func.count()).where(
        table.c.asked_by == asked_by, table.c.finished_at.is_(None)
    )
    if conn.execute(open_ones).scalar_one() >= MOST_OF_A_KEY:
        raise TooMany(
            f"this key has {MOST_OF_A_KEY} operations that have not ended: wait for one of them"
        )
    operation_id = str(uuid.uuid4())
    conn.execute(
        table.insert().values(
            id=operation_id,
            kind=kind.value,
            connector=connector,
            version=version,
            config=None if config is None else encrypt(conn, secret, config),
            asked_by=asked_by,
        )
    )
    told = {"version": version, "operation_id": operation_id}
    audit.put(conn, actor, f"connector.{kind.value}", connector, told)
    return operation_id, outbox.put(conn, "operation", operation_id)


def unfinished(conn: sa.Connection, kind: Kind, connector: str, version: str | None) -> str | None:
    """The oldest operation of this kind that has not ended and needs no configuration."""
    return conn.execute(
        sa.select(table.c.id)
        .where(
            table.c.kind == kind.value,
            table.c.connector == connector,
            table.c.version.is_not_distinct_from(version),
            table.c.config.is_(None),
            table.c.finished_at.is_(None),
        )
        .order_by(table.c.created_at)
        .limit(1)
    ).scalar()


def claim(
    engine: sa.Engine, secret: bytes, operation_id: str, *, holder: str, lease: float
) -> Claimed | None:
    """Claim an operation that waits, or whose holder's lease is dead; None: there is nothing to do.

    Raises:
        WrongSecretKey, TerminalError: its configuration cannot be decrypted; it stays as it is.
    """
    now = sa.func.clock_timestamp()
    with engine.begin() as conn:
        decrypt = reader(conn, secret)
        row = conn.execute(
            table.update()
            .where(
                table.c.id == operation_id,
                sa.or_(
                    table.c.status == "queued",
                    sa.and_(
                        table.c.status == "running",
                        table.c.lease_until < now,
                        table.c.attempt < MOST_ATTEMPTS,
                    ),
                ),
            )
            .values(
                status="running",
                fence=table.c.fence + 1,
                attempt=table.c.attempt + 1,
                holder=holder,
                lease_until=now + timedelta(seconds=lease),
                started_at=sa.func.coalesce(table.c.started_at, now),
            )
            .returning(table)
        ).one_or_none()
        if row is None:
            return None
        return Claimed(
            id=row.id,
            kind=Kind(row.kind),
            connector=row.connector,
            version=row.version,
            fence=row.fence,
            attempt=row.attempt,
            config=None if row.config is None else decrypt(bytes(row.config)),
        )


def renew(engine: sa.Engine, claimed: Claimed, lease: float) -> bool:
    """Keep the claim for another ``lease`` seconds; False when it is lost."""
    until = sa.func.clock_timestamp() + timedelta(seconds=lease)
    with engine.begin() as conn:
        return bool(
            conn.execute(table.update().where(_is_held(claimed)).values(lease_until=until)).rowcount
        )


def held(engine: sa.Engine, claimed: Claimed) -> bool:
    """Whether the claim still holds."""
    with engine.connect() as conn:
        return conn.execute(sa.select(table.c.id).where(_is_held(claimed))).scalar() is not None


def finish(
    conn: sa.Connection,
    claimed: Claimed,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """End the operation: ``succeeded`` with its result, or ``failed`` with one line.

    Raises:
        LostClaim: the claim does not hold; nothing was written.
    """
    _update(conn, claimed, **_ended(error), result=result)
    took = sa.select(sa.extract("epoch", table.c.finished_at - table.c.started_at)).where(
        table.c.id == claimed.id
    )
    measures.put(
        conn,
        measures.OPERATION_SECONDS,
        float(conn.execute(took).scalar_one()),
        kind=claimed.kind.value,
        outcome="succeeded" if error is None else "failed",
    )


def hand_back(conn: sa.Connection, claimed: Claimed) -> int:
    """Give the operation back because its worker is to stop; counts as nobody's failure. Returns
    the id of the message for whoever takes it up.

    Raises:
        LostClaim: the claim does not hold; nothing was written.
    """
    _update(
        conn,
        claimed,
        status="queued",
        holder=None,
        lease_until=None,
        attempt=table.c.attempt - 1,
    )
    return outbox.put(conn, "operation", claimed.id)


def recover(conn: sa.Connection, patience: float, *, idle: bool) -> int:
    """Free dead leases, have messages sent again that were lost, end what nobody can end, and
    forget what is past its lifetime; returns how many operations were taken up again.

    Args:
        patience: seconds that an operation may stay unclaimed after its message was sent.
        idle: whether no message waits in the broker for those who work on operations; otherwise
            they may only be busy.
    """
    now = sa.func.clock_timestamp()
    conn.execute(table.delete().where(table.c.finished_at < now - LIFETIME))
    dead = sa.and_(table.c.status == "running", table.c.lease_until < now)
    _end_all(
        conn,
        sa.and_(dead, table.c.attempt >= MOST_ATTEMPTS),
        f"its worker died in each of {MOST_ATTEMPTS} attempts",
    )
    _end_all(
        conn,
        sa.and_(table.c.status == "queued", table.c.created_at < now - PATIENCE),
        "no worker on queue extract took it up within an hour: is one running?",
    )
    freed = conn.execute(
        table.update()
        .where(table.c.id.in_(sa.select(table.c.id).where(dead).with_for_update(skip_locked=True)))
        .values(status="queued", fence=table.c.fence + 1, holder=None, lease_until=None)
        .returning(table.c.id)
    ).scalars()
    waits = sa.exists().where(
        messages.c.kind == "operation", messages.c.ref == sa.cast(table.c.id, sa.Text)
    )
    factor = 1 if idle else 10
    lost = conn.execute(
        sa.select(table.c.id)
        .where(
            table.c.status == "queued",
            ~waits,
            sa.func.coalesce(table.c.dispatched_at, table.c.created_at)
            < now - timedelta(seconds=patience * factor),
        )
        .with_for_update(skip_locked=True)
    ).scalars()
    found = {*freed, *lost}
    for operation_id in found:
        outbox.put(conn, "operation", operation_id)
    return len(found)


def _end_all(conn: sa.Connection, which: sa.ColumnElement[bool], error: str) -> None:
    chosen = sa.select(table.c.id).where(which).with_for_update(skip_locked=True)
    conn.execute(
        table.update()
        .where(table.c.id.in_(chosen))
        .values(**_ended(error), fence=table.c.fence + 1)
    )


def document(conn: sa.Connection, operation_id: str) -> dict[str, Any]:
    """The operation as a document.

    Raises:
        NotFound: there is none, or none any more.
    """
    row = None
    if _is_id(operation_id):
        row = conn.execute(
            sa.select(table).where(
                table.c.id == operation_id,
                sa.or_(
                    table.c.finished_at.is_(None),
                    table.c.finished_at >= sa.func.clock_timestamp() - LIFETIME,
                ),
            )
        ).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no operation {operation_id!r}: one can be read for 24 hours after its end"
        )
    return {
        "operation_id": row.id,
        "kind": row.kind,
        "connector": row.connector,
        "status": row.status,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "expires_at": None if row.finished_at is None else row.finished_at + LIFETIME,
        "result": row.result,
        "error": row.error,
    }


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _is_held(claimed: Claimed) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.id == claimed.id, table.c.fence == claimed.fence, table.c.status == "running"
    )


def _ended(error: str | None) -> dict[str, Any]:
    return {
        "status": "succeeded" if error is None else "failed",
        "error": error,
        "config": None,
        "holder": None,
        "lease_until": None,
        "finished_at": sa.func.clock_timestamp(),
    }


def _update(conn: sa.Connection, claimed: Claimed, **values: Any) -> None:
    if not conn.execute(table.update().where(_is_held(claimed)).values(**values)).rowcount:
        raise LostClaim(f"operation {claimed.id} is no longer this worker's")
