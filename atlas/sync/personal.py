"""What was found to be personal in a dataset, and what people say against it.

A dataset is called as its table in chart and navigate.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger import (
    audit,
    catalog,
    connections,
    datasets,
    overrides,
    results,
    verdict_changes,
)
from atlas.ledger.catalog import Place
from atlas.model.personal import Operator, Says

_LONGEST = 1000


def listed(
    conn: sa.Connection, *, limit: int, after: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """The datasets with what their last scan found, by name.

    Args:
        after: what stood at the end of the page before.

    Returns: ``{"dataset", "connection", "scanned": bool, "kinds": {entity type: [(operator,
        places)]}}`` each, and what stands at the end of this page; None: it is the last.
    """
    place = None if after is None else Place(0.0, after, "explore")
    found = catalog.listed(conn, limit=limit + 1, after=place, layer="explore")
    page = [table for table, _ in found[:limit]]
    facts = catalog.facts(conn, [table.id for table in page])
    scans = {table.id: facts.get(table.id, catalog.NOTHING).scanned for table in page}
    kinds = results.kinds_found(conn, [scan for scan in scans.values() if scan is not None])
    items = [
        {
            "dataset": table.dataset,
            "connection": table.connection,
            "scanned": (scan := scans[table.id]) is not None,
            "kinds": kinds.get(scan or 0, {}),
        }
        for table in page
    ]
    return items, page[-1].name if len(found) > limit else None


def show(conn: sa.Connection, name: str) -> dict[str, Any]:
    """The verdicts of the last scan of a dataset, and what people say of its columns.

    Raises:
        NotFound: there is no such dataset.
    """
    connection, stream = datasets.find(conn, name)
    scan = results.last_scan(conn, connection, stream, reprocessed=False)
    found = [] if scan is None else results.findings(conn, scan.run_stream_id)
    return {
        "dataset": name,
        "connection": connection,
        "stream": stream.name,
        "namespace": stream.namespace,
        "run_id": None if scan is None else scan.run_id,
        "scanned_at": None if scan is None else scan.at,
        "findings": [
            {
                "column": each.column + each.path[1:],
                "entity_type": each.entity_type,
                "score": each.score,
                "scope": each.scope.value,
                "operator": each.operator.value,
                "share": each.share,
                "examples": each.evidence.get("examples", []),
                "evidence": {k: v for k, v in each.evidence.items() if k != "examples"},
            }
            for each in found
        ],
        "overrides": [
            {
                "column": each.column + each.path[1:],
                "says": each.says.value,
                "entity_type": each.entity_type,
                "operator": None if each.operator is None else each.operator.value,
                "actor": each.actor,
                "why": each.why,
                "at": each.at,
            }
            for each in overrides.of_stream(conn, connection, stream)
        ],
    }


def say(
    conn: sa.Connection,
    name: str,
    column: str,
    says: Says,
    *,
    entity_type: str | None = None,
    operator: Operator | None = None,
    actor: str,
    why: str,
) -> dict[str, Any]:
    """Write down what somebody says of a column, ``column`` or ``column.leaf``; from the next run
    on it wins. Returns the entry.

    Raises:
        NotFound: there is no such dataset, connection or column.
        UsageError: it does not make sense; the message says why.
    """
    from atlas.pii.places import split
    from atlas.pii.policy import known_entity

    if says is Says.IS and entity_type is None:
        raise UsageError("say which entity type the column is")
    if entity_type is not None:
        if says not in (Says.IS, Says.IS_NOT):
            raise UsageError(f"an entity type says nothing beside {says.value}")
        known_entity(entity_type)
    if (says is Says.OPERATOR) != (operator is not None):
        raise UsageError("an operator goes with `operator`, and with nothing else")
    why = " ".join(why.split())
    if not why or len(why) > _LONGEST:
        raise UsageError(f"say why, in up to {_LONGEST} characters: others will read it")
    place, path = split(column)
    connection, stream = datasets.find(conn, name)
    connections.lock(conn, connection)
    entry = overrides.put(
        conn,
        connection,
        stream,
        place,
        path,
        says,
        entity_type=entity_type,
        operator=operator,
        actor=actor,
        why=why,
    )
    audit.put(conn, actor, "pii.override", name, {"column": column, "says": says.value})
    return entry


def said(
    conn: sa.Connection, name: str, *, limit: int, after: int | None = None
) -> list[dict[str, Any]]:
    """All that was ever said of a dataset's columns, newest first."""
    connection, stream = datasets.find(conn, name)
    return overrides.listed(conn, connection, stream, limit=limit, after=after)


def changes(
    conn: sa.Connection, name: str, *, limit: int, after: int | None = None
) -> list[dict[str, Any]]:
    """How the verdicts on a dataset changed from scan to scan, newest first."""
    connection, stream = datasets.find(conn, name)
    return verdict_changes.listed(conn, connection, stream, limit=limit, after=after)
