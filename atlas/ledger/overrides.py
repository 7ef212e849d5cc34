"""What people say of columns.

What was said is never altered: a later word on the same place takes its place, and all of them stay
to be read.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger import datasets
from atlas.ledger.tables import pii_override
from atlas.model.personal import Operator, Override, Says
from atlas.model.stream import StreamKey


def put(
    conn: sa.Connection,
    connection: str,
    stream: StreamKey,
    column: str,
    path: str,
    says: Says,
    *,
    entity_type: str | None,
    operator: Operator | None,
    actor: str,
    why: str,
) -> dict[str, Any]:
    """Write down what somebody says of a column, or of the place at a JSON path in it. The
    connection must be locked, so that a run is made before it or after it.

    Returns: the entry, as :func:`listed` has it.

    Raises:
        NotFound: the stream has no such column.
        UsageError: nothing was said there that could be withdrawn.
    """
    datasets.has_column(conn, connection, stream, column)
    if says is Says.WITHDRAWN and not any(
        (item.column, item.path) == (column, path) for item in of_stream(conn, connection, stream)
    ):
        raise UsageError(
            f"column {(column + path[1:])[:100]}: nothing was said of it that could be withdrawn"
        )
    row = conn.execute(
        pii_override.insert()
        .values(
            connection=connection,
            namespace=stream.namespace or "",
            stream=stream.name,
            column_name=column,
            path=path,
            says=says.value,
            entity_type=entity_type,
            operator=None if operator is None else operator.value,
            actor=actor,
            why=why,
        )
        .returning(pii_override)
    ).one()
    return _document(row)


def of_stream(
    conn: sa.Connection, connection: str, stream: StreamKey, until: datetime | None = None
) -> list[Override]:
    """What holds of a stream's columns: the last word on each place, in their order.

    Args:
        until: only what had been said by then. A run goes by what was said before it was made, in
            all of its parts and attempts: what one of them searched, another relies on.
    """
    query = (
        sa.select(pii_override)
        .distinct(pii_override.c.column_name, pii_override.c.path)
        .where(*_is(pii_override, connection, stream))
        .order_by(pii_override.c.column_name, pii_override.c.path, pii_override.c.id.desc())
    )
    if until is not None:
        query = query.where(pii_override.c.at <= until)
    return [_override(row) for row in conn.execute(query) if row.says != Says.WITHDRAWN.value]


def of_connections(
    conn: sa.Connection, connections: Collection[str]
) -> dict[tuple[str, StreamKey], list[Override]]:
    """The same of all streams of these connections, by connection and stream."""
    place = (
        pii_override.c.connection,
        pii_override.c.namespace,
        pii_override.c.stream,
        pii_override.c.column_name,
        pii_override.c.path,
    )
    query = (
        sa.select(pii_override)
        .distinct(*place)
        .where(pii_override.c.connection.in_(connections))
        .order_by(*place, pii_override.c.id.desc())
    )
    found: dict[tuple[str, StreamKey], list[Override]] = {}
    for row in conn.execute(query):
        if row.says != Says.WITHDRAWN.value:
            of = (row.connection, StreamKey(row.stream, row.namespace or None))
            found.setdefault(of, []).append(_override(row))
    return found


def _override(row: sa.Row[Any]) -> Override:
    return Override(
        column=row.column_name,
        path=row.path,
        says=Says(row.says),
        entity_type=row.entity_type,
        operator=None if row.operator is None else Operator(row.operator),
        actor=row.actor,
        why=row.why,
        at=row.at,
    )


def listed(
    conn: sa.Connection,
    connection: str,
    stream: StreamKey,
    *,
    limit: int,
    after: int | None = None,
) -> list[dict[str, Any]]:
    """All that was said of a stream's columns, newest first; ``after``: with a smaller id."""
    query = sa.select(pii_override).where(*_is(pii_override, connection, stream))
    if after is not None:
        query = query.where(pii_override.c.id < after)
    rows = conn.execute(query.order_by(pii_override.c.id.desc()).limit(limit))
    return [_document(row) for row in rows]


def _document(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "column": row.column_name + row.path[1:],
        "says": row.says,
        "entity_type": row.entity_type,
        "operator": row.operator,
        "actor": row.actor,
        "why": row.why,
        "at": row.at,
    }


def _is(table: sa.Table, connection: str, stream: StreamKey) -> list[sa.ColumnElement[bool]]:
    return [
        table.c.connection == connection,
        table.c.namespace == (stream.namespace or ""),
        table.c.stream == stream.name,
    ]
