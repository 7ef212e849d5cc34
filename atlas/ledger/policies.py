"""Named policies for personal data as the ledger keeps them: where each is other than the built-in
one. What is in them is checked by whoever writes them; that they change is written down in audit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.ledger import audit
from atlas.ledger.tables import connection, pii_policy

DEFAULT = "default"
"""The policy that is always there, stored or not, and that counts where none is named."""


def put(
    conn: sa.Connection,
    name: str,
    entities: Mapping[str, str],
    columns: Mapping[str, str],
    *,
    actor: str,
) -> str:
    """Create or update; returns ``created``, ``updated`` or ``unchanged`` (no write then)."""
    wanted = {"entities": dict(entities), "columns": dict(columns)}
    before = get(conn, name)
    if before is None:
        made = conn.execute(
            insert(pii_policy)
            .values(name=name, actor=actor, **wanted)
            .on_conflict_do_nothing(index_elements=[pii_policy.c.name])
            .returning(pii_policy.c.id)
        ).scalar()
        if made is not None:
            _told(conn, actor, "created", name, None, wanted)
            return "created"
    elif _content(before) == wanted:
        return "unchanged"
    # As nobody else changes it from here on.
    row = conn.execute(
        sa.select(pii_policy).where(pii_policy.c.name == name).with_for_update()
    ).one_or_none()
    if row is None:  # deleted in between
        return put(conn, name, entities, columns, actor=actor)
    before = dict(row._mapping)
    if _content(before) == wanted:
        return "unchanged"
    conn.execute(
        pii_policy.update()
        .where(pii_policy.c.id == row.id)
        .values(actor=actor, updated_at=sa.func.clock_timestamp(), **wanted)
    )
    _told(conn, actor, "updated", name, _content(before), wanted)
    return "updated"


def get(conn: sa.Connection, name: str) -> dict[str, Any] | None:
    """The policy of that name as it is stored, or None."""
    row = conn.execute(sa.select(pii_policy).where(pii_policy.c.name == name)).one_or_none()
    return None if row is None else dict(row._mapping)


def stored(conn: sa.Connection) -> list[dict[str, Any]]:
    """All that are stored, by name."""
    rows = conn.execute(sa.select(pii_policy).order_by(pii_policy.c.name.collate("C")))
    return [dict(row._mapping) for row in rows]


def hold(conn: sa.Connection, name: str) -> bool:
    """Keep the policy from being deleted until the transaction ends. Returns whether it is
    there."""
    query = sa.select(pii_policy.c.id).where(pii_policy.c.name == name)
    return name == DEFAULT or conn.execute(query.with_for_update(read=True)).scalar() is not None


def lock(conn: sa.Connection, name: str) -> bool:
    """Keep the stored policy as it is until the transaction ends. Returns whether it is there."""
    query = sa.select(pii_policy.c.id).where(pii_policy.c.name == name).with_for_update()
    return conn.execute(query).scalar() is not None


def used_by(conn: sa.Connection) -> dict[str, list[str]]:
    """Names of the connections that go by each policy, by the policy's name."""
    rows = conn.execute(
        sa.select(
            sa.func.coalesce(connection.c.document[("pii", "policy")].astext, DEFAULT),
            connection.c.name,
        ).order_by(connection.c.name.collate("C"))
    )
    found: dict[str, list[str]] = {}
    for policy, name in rows:
        found.setdefault(policy, []).append(name)
    return found


def blocks(conn: sa.Connection, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """The block ``pii`` of each of these connections that there are."""
    rows = conn.execute(
        sa.select(connection.c.name, connection.c.document["pii"]).where(
            connection.c.name.in_(names)
        )
    )
    return {name: block or {} for name, block in rows}


def delete(conn: sa.Connection, name: str, *, actor: str) -> list[str] | None:
    """Delete the policy, if no connection goes by it. Returns the connections that do (it stays
    then), or None if there is no such policy."""
    row = conn.execute(
        sa.select(pii_policy).where(pii_policy.c.name == name).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    users = used_by(conn).get(name, [])
    if not users:
        conn.execute(pii_policy.delete().where(pii_policy.c.id == row.id))
        _told(conn, actor, "deleted", name, _content(dict(row._mapping)), None)
    return users


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"entities": row["entities"], "columns": row["columns"]}


def _told(
    conn: sa.Connection,
    actor: str,
    what: str,
    name: str,
    before: dict[str, Any] | None,
    now: dict[str, Any] | None,
) -> None:
    audit.put(conn, actor, f"pii.policy.{what}", name, {"from": before, "to": now})
