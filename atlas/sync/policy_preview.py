"""What a policy would do, before it is saved: held against the verdicts of the last scans.

No row is read. What is shown of values are the verdicts' own examples, which are masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from atlas.ledger import catalog, overrides, policies, results
from atlas.ledger.catalog import Table
from atlas.model.personal import Operator, Override, Scope, Verdict
from atlas.pii.overrides import asked_for
from atlas.pii.policy import MERGING, Policy, named, over

MOST_DATASETS = 50
MOST_VERDICTS = 2000

NAMED = "the policy names it"
"""The reason of a verdict on a column that the policy names: see ``atlas.pii.study``."""


class _Stream(NamedTuple):
    """A stream as its last scan saw it: the columns that it has, and those of its key."""

    table: Table
    verdicts: list[Verdict]
    columns: frozenset[str]
    keys: frozenset[str]


def preview(
    conn: sa.Connection, name: str, document: Mapping[str, Any], connection: str | None = None
) -> dict[str, Any]:
    """What would become of what the last scans found, if the policy ``name`` were ``document``.

    Args:
        connection: as if this one went by the policy; None: those that do.

    Returns: ``{"connections": [str], "datasets": int, "cut": bool, "items": [{"dataset", "column",
        "entity_type", "example", "now", "then", "refused"}]}``: what would change first. ``now``
        and ``then`` are None where nothing is done; ``refused``: the column is of the key, and its
        operator would make keys equal, so that a run would fail. (A key that the policy does not
        name is tokenized instead.)

    Raises:
        UsageError: something in the document is wrong.
    """
    draft = named(name, document)
    names = [connection] if connection else policies.used_by(conn).get(name, [])
    blocks = policies.blocks(conn, names)
    there = catalog.of_connections(conn, sorted(blocks), limit=MOST_DATASETS + 1)
    streams, cut = _streams(conn, there[:MOST_DATASETS])
    said = overrides.of_connections(conn, sorted(blocks))
    items = []
    for stream in streams:
        of = (stream.table.connection, stream.table.key)
        policy = over(draft, _own(blocks[stream.table.connection]), stored=True)
        items += _items(stream, policy, said.get(of, []))
    items.sort(key=lambda item: item["now"] == item["then"])
    return {
        "connections": sorted(blocks),
        "datasets": len(streams),
        "cut": cut or len(there) > MOST_DATASETS,
        "items": items,
    }


def _own(block: Mapping[str, Any]) -> dict[str, Any]:
    return {part: block[part] for part in ("entities", "columns") if block.get(part)}


def _streams(conn: sa.Connection, tables: list[Table]) -> tuple[list[_Stream], bool]:
    facts = catalog.facts(conn, [table.id for table in tables])
    scanned = [
        (table, fact.scanned)
        for table in tables
        if (fact := facts.get(table.id)) is not None and fact.scanned is not None
    ]
    scans = [scan for _, scan in scanned]
    found = results.findings_of(conn, scans, limit=MOST_VERDICTS)
    columns = catalog.columns_of(conn, [table.id for table, _ in scanned])
    keys = catalog.keys_of(conn, scans)
    streams = []
    for table, scan in scanned:
        by_property = columns.get(table.id, {})
        key = frozenset(by_property.get(name, name) for name in keys.get(scan, ()))
        streams.append(_Stream(table, found[scan], frozenset(by_property.values()), key))
    return streams, sum(map(len, found.values())) >= MOST_VERDICTS


def _items(stream: _Stream, policy: Policy, said: list[Override]) -> list[dict[str, Any]]:
    whole = asked_for(policy, said)
    items = []
    for verdict in stream.verdicts:
        explicit = whole.explicit(verdict.column, verdict.path)
        then: Operator | None = explicit or whole.of(verdict.entity_type)
        named_only = verdict.evidence.get("reason") == NAMED and verdict.entity_type == "PERSONAL"
        if named_only and explicit is None:
            then = None  # nothing was found in it
        items.append(_item(stream, verdict, then, explicit=explicit is not None))
    found = {verdict.column for verdict in stream.verdicts}
    # A column that is named gets its operator whatever was found in it.
    for column in sorted(whole.columns.keys() & (stream.columns - found)):
        if (operator := whole.columns[column]) is not Operator.KEEP:
            nothing = Verdict(column, "", "PERSONAL", 1.0, Scope.VALUE, Operator.KEEP, 0.0)
            items.append(_item(stream, nothing, operator, explicit=True) | {"now": None})
    return items


def _item(
    stream: _Stream, verdict: Verdict, then: Operator | None, *, explicit: bool
) -> dict[str, Any]:
    merges = verdict.column in stream.keys and then in MERGING
    examples = verdict.evidence.get("examples") or [None]
    return {
        "dataset": stream.table.dataset,
        "column": verdict.column + verdict.path[1:],
        "entity_type": verdict.entity_type,
        "example": examples[0],
        "now": verdict.operator.value,
        "then": (Operator.TOKENIZE if merges and not explicit else then) or None,
        "refused": merges and explicit,
    }
