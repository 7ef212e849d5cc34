"""Named policies for personal data: made, changed, read and deleted, and held by who uses them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from atlas.errors import Conflict, NotFound, UsageError
from atlas.ledger import policies
from atlas.model.connection import Connection
from atlas.pii.policy import BUILT_IN, Policy, asked, entity_types, named, unknown


def put(conn: sa.Connection, name: str, document: Mapping[str, Any] | None, *, actor: str) -> str:
    """Create or update the policy called ``name``; returns ``created``, ``updated`` or
    ``unchanged`` (nothing is written then). It counts from the next run of each connection that
    goes by it.

    Args:
        document: ``{"entities": {TYPE: OPERATOR}, "columns": {COLUMN: OPERATOR}}``, each part
            optional: where it is other than the built-in policy.
        actor: who does it, such as ``api: nightly``.

    Raises:
        UsageError: the name, or something in the document, is wrong.
    """
    wanted = named(name, document)
    entities = {
        entity: wanted.entities[entity].value for entity in (document or {}).get("entities") or {}
    }
    columns = {column: operator.value for column, operator in wanted.columns.items()}
    return policies.put(conn, name, entities, columns, actor=actor)


def get(conn: sa.Connection, name: str) -> dict[str, Any]:
    """The policy called ``name``: where it is other than the built-in one, the operator of every
    entity type, and which connections go by it.

    Raises:
        NotFound: there is none.
    """
    stored = policies.get(conn, name)
    if stored is None and name != policies.DEFAULT:
        raise NotFound(str(unknown(name, _names(conn))))
    return _document(name, stored, policies.used_by(conn))


def listed(
    conn: sa.Connection, *, limit: int | None = None, after: str | None = None
) -> list[dict[str, Any]]:
    """The policies, by name; ``after``: those whose names come after it."""
    stored = {each["name"]: each for each in policies.stored(conn)}
    used = policies.used_by(conn)
    names = [name for name in sorted({policies.DEFAULT, *stored}) if name > (after or "")]
    return [_document(name, stored.get(name), used) for name in names[:limit]]


def delete(conn: sa.Connection, name: str, *, actor: str) -> None:
    """Delete the policy called ``name``.

    Raises:
        NotFound: there is none. Conflict: a connection goes by it, or it is the default one.
    """
    if name == policies.DEFAULT:
        raise Conflict(
            "policy default is there always: give it no entities and no columns to have it as it "
            "was built in"
        )
    users = policies.delete(conn, name, actor=actor)
    if users is None:
        raise NotFound(str(unknown(name, _names(conn))))
    if users:
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        raise Conflict(
            f"policy {name} is in use: connection {', '.join(users[:3])}{more} goes by it; give "
            "that another policy first"
        )


def hold(conn: sa.Connection, pii: Mapping[str, Any] | None) -> None:
    """See that there is the policy that a connection's ``pii`` block names, and that it stays
    until the transaction ends.

    Raises:
        UsageError: there is none; the message has the nearest name.
    """
    name = asked(pii)
    if not policies.hold(conn, name):
        raise unknown(name, _names(conn))


def there(conn: sa.Connection, wanted: Collection[Connection], declared: Collection[str]) -> None:
    """See that the policies of these connections are there, or ``declared`` beside them.

    Raises:
        UsageError: one is not; the message has the nearest name.
    """
    known = {*_names(conn), *declared}
    for connection in wanted:
        name = asked(connection.pii)
        if name not in known:
            raise UsageError(f"connection {connection.name}: {unknown(name, sorted(known))}")


def _names(conn: sa.Connection) -> list[str]:
    return sorted({policies.DEFAULT, *(each["name"] for each in policies.stored(conn))})


def _document(
    name: str, stored: Mapping[str, Any] | None, used: Mapping[str, list[str]]
) -> dict[str, Any]:
    said = {"entities": stored["entities"], "columns": stored["columns"]} if stored else {}
    whole: Policy = named(name, said, stored=True) if said else BUILT_IN
    return {
        "name": name,
        "entities": said.get("entities", {}),
        "columns": said.get("columns", {}),
        "operators": {entity: whole.of(entity).value for entity in entity_types()},
        "connections": used.get(name, []),
        "actor": stored["actor"] if stored else None,
        "created_at": stored["created_at"] if stored else None,
        "updated_at": stored["updated_at"] if stored else None,
    }
