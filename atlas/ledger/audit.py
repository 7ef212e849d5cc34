"""Who did what, and when: whatever changes Atlas, reads what is masked elsewhere, or lets somebody
in. Entries are only ever added: the database refuses to change or delete one, also to whoever owns
the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from atlas.ledger.tables import audit


def put(
    conn: sa.Connection,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write down that ``actor`` did ``action`` to ``subject``, in the transaction of the deed.

    Args:
        actor: who, such as ``api: nightly``.
        action: what, such as ``pii.decrypt``.
        subject: to what: the name of a dataset, column or policy; never a personal value.
        detail: counts, names and the like; no personal value either.

    Returns: the entry, as :func:`entries` has it.
    """
    row = conn.execute(
        audit.insert()
        .values(actor=actor, action=action, subject=subject, detail=dict(detail or {}))
        .returning(audit)
    ).one()
    return _document(row)


def entries(
    conn: sa.Connection,
    *,
    limit: int,
    after: int | None = None,
    action: str | None = None,
    subject: str | None = None,
    actor: str | None = None,
) -> list[dict[str, Any]]:
    """The entries, newest first.

    Args:
        limit: at most so many.
        after: only those with a smaller id.
        action: only those of this action, or of those below it: ``pii`` is also ``pii.erase``.
        subject: only those on this subject.
        actor: only those of this actor.
    """
    query = sa.select(audit)
    if after is not None:
        query = query.where(audit.c.id < after)
    if action is not None:
        below = audit.c.action.startswith(f"{action}.", autoescape=True)
        query = query.where(sa.or_(audit.c.action == action, below))
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    return [_document(row) for row in conn.execute(query.order_by(audit.c.id.desc()).limit(limit))]


def _document(row: sa.Row[Any]) -> dict[str, Any]:
    # SQLAlchemy's names are no plain texts, which is all that a JSON writer takes.
    return {str(name): value for name, value in row._mapping.items()}
