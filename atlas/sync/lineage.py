"""Where data come from and where they go, by dataset or by column, as the lineage events tell it.

A dataset is called as its table in navigate, ``shop_users``; ``chart.shop_users``,
``chart.shop_users_quarantine`` and ``explore.shop_users_raw`` are the other tables of it, and
``source.shop_users`` is what its source calls it. A column follows after a dot.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.ledger import dataset_notes, datasets, deliveries, lineage, runs
from atlas.ledger.lineage import EVER, Edge, Node, Told

DEPTH = 10
DEEPEST = 20
"""How many edges one after the other are followed: unless said otherwise, and at most."""

MOST = 1000
"""Edges in each direction; a graph that has more is cut, and says so."""

_MOST_COLUMNS = 20_000

Direction = Literal["upstream", "downstream", "both"]

_LAYERS = ("source", "explore", "chart", "navigate")


class _Asked(NamedTuple):
    """What was asked for, and what it is called."""

    layer: str
    table: str
    column: str | None

    @property
    def dataset(self) -> str:
        return f"{self.layer}.{self.table}"


def show(
    conn: sa.Connection,
    name: str,
    *,
    column: str | None = None,
    depth: int = DEPTH,
    direction: Direction = "both",
    run_id: str | None = None,
) -> dict[str, Any]:
    """The graph around a dataset or a column.

    Args:
        name: the dataset; with its column, unless that is given apart.
        depth: edges one after the other, 1 to :data:`DEEPEST`.
        run_id: as it was when this run had ended; None: as it is.

    Returns: ``{"dataset", "column", "direction", "depth", "run_id", "nodes", "edges", "cut"}``. A
        node has ``masks``: what was done, on the way between it and the column that was asked for,
        to mask values; and ``masked``: whether there is no way around those. An edge between
        datasets has all ``columns`` in which one comes of the other; between columns, that one.

    Raises:
        NotFound: there is no such dataset, column or run, or not yet (as of that run).
    """
    asked = _parse(name, column)
    seq = EVER if run_id is None else int(runs.row_of(conn, run_id).seq)
    start = _start(conn, asked, seq, run_id)
    up: list[Edge] = []
    down: list[Edge] = []
    for upstream, found in ((True, up), (False, down)):
        if direction != ("downstream" if upstream else "upstream"):
            found += lineage.walk(
                conn, start, upstream=upstream, depth=depth, limit=MOST + 1, seq=seq
            )
    cut = max(len(up), len(down)) > MOST
    up, down = up[:MOST], down[:MOST]
    graph = _graph(conn, [start], [*up, *down], {start: asked.dataset})
    if asked.column is not None:
        masks, clear = _masks(start, up, down)
        for node in graph["nodes"]:
            node["masks"] = masks[node["id"]]
            node["masked"] = node["id"] not in clear
    return {
        "dataset": asked.dataset,
        "column": asked.column,
        "direction": direction,
        "depth": depth,
        "run_id": run_id,
        **graph,
        "cut": cut or graph["cut"],
    }


def of_run(conn: sa.Connection, run_id: str) -> dict[str, Any]:
    """What a run moved, from dataset to dataset: ``{"nodes", "edges", "cut"}`` as :func:`show`.

    Raises:
        NotFound: there is no such run.
    """
    runs.get(conn, run_id)
    edges = lineage.of_run(conn, run_id, limit=MOST + 1)
    graph = _graph(conn, [], edges[:MOST], {})
    return {**graph, "cut": graph["cut"] or len(edges) > MOST}


def events(
    conn: sa.Connection, run_id: str, *, limit: int | None = None, after: int = 0
) -> list[dict[str, Any]]:
    """The OpenLineage events of a run in their order, and which sinks have them: see
    :func:`atlas.ledger.deliveries.events`.

    Raises:
        NotFound: there is no such run.
    """
    runs.get(conn, run_id)
    return deliveries.events(conn, run_id, limit=limit, after=after)


# --- what is asked for ---------------------------------------------------------------------------


def _parse(name: str, column: str | None) -> _Asked:
    for text in (name, column or ""):
        if dataset_notes.storable(text) != text:
            raise NotFound(f"there is no dataset or column {text[:100]!r}")
    layer, _, rest = name.partition(".")
    if layer not in _LAYERS or not rest:
        layer, rest = "navigate", name
    table, dot, suffix = rest.partition(".")
    if column is None and dot:
        column = suffix
    elif dot:
        raise NotFound(f"there is no dataset {name[:100]!r}: the column stands there twice")
    return _Asked(layer, table, column)


def _start(conn: sa.Connection, asked: _Asked, seq: int, run_id: str | None) -> Node:
    layer, table = asked.layer, asked.table
    if layer == "source":
        row = datasets.named(conn, table, raw=False)
        layer, table = "explore", "" if row is None else row.raw_name
    elif layer == "chart":
        row = datasets.named(conn, table, raw=False) or datasets.quarantined(conn, table)
    else:
        row = datasets.named(conn, table, raw=layer == "explore")
    if row is None:
        raise NotFound(
            f"there is no dataset {asked.dataset[:100]!r}: `atlas datasets list` shows those "
            "there are"
        )
    as_of = "" if run_id is None else f" as of run {run_id}"
    told = lineage.last(conn, layer, table, seq=seq)
    of_source = asked.layer == "source"
    node = lineage.source(conn, told) if of_source and told else told and told.node
    if told is None or node is None:
        raise NotFound(
            f"dataset {asked.dataset} has no lineage{as_of or ' yet'}: no run had come to write it"
        )
    if asked.column is not None:
        _has(conn, told, asked, as_of, of_source=of_source)
    return node._replace(field=asked.column)


def _has(conn: sa.Connection, told: Told, asked: _Asked, as_of: str, *, of_source: bool) -> None:
    """See that a dataset has the column that is asked for."""
    there = lineage.fields(conn, told, of_source=of_source)
    column = asked.column or ""
    if column in there:
        return
    near = difflib.get_close_matches(column, there, n=1) or (
        [f"data.{column}"] if f"data.{column}" in there else []
    )
    hint = f": did you mean {near[0]}?" if near else ""
    raise NotFound(f"dataset {asked.dataset} has no column {column[:100]!r}{as_of}{hint}")


# --- the graph as a document ---------------------------------------------------------------------


def _graph(
    conn: sa.Connection, starts: list[Node], edges: list[Edge], called: dict[Node, str]
) -> dict[str, Any]:
    """Nodes and edges, each once.

    Args:
        called: what nodes are called here, as far as it is known.
    """
    once = {(edge.source, edge.target): edge for edge in edges}
    nodes = dict.fromkeys(
        [*starts, *(node for edge in edges for node in (edge.source, edge.target))]
    )
    names = {Node(n.namespace, n.name): name for n, name in called.items()}
    names |= _names(conn, once)
    columns, cut = _columns(conn, once.values())
    return {
        "nodes": [
            {
                "id": _id(node),
                "namespace": node.namespace,
                "name": node.name,
                "dataset": (name := names.get(Node(node.namespace, node.name))),
                "layer": None if name is None else name.partition(".")[0],
                "column": node.field,
                "masks": [],
                "masked": False,
            }
            for node in nodes
        ],
        "edges": [
            {
                "source": _id(edge.source),
                "target": _id(edge.target),
                "job": edge.job,
                "run_id": edge.run_id,
                "at": edge.at,
                "masking": any(step["masking"] for each in found for step in each["steps"]),
                "columns": found,
            }
            for pair, edge in once.items()
            for found in [columns[pair]]
        ],
        "cut": cut,
    }


def _names(conn: sa.Connection, edges: Iterable[tuple[Node, Node]]) -> dict[Node, str]:
    """What datasets are called here: their layer and table; a source, after the table that it
    becomes. One that is not ours is called nothing."""
    found: dict[Node, str] = {}
    pairs = [(Node(*source[:2]), Node(*target[:2])) for source, target in edges]
    for node in (each for pair in pairs for each in pair):
        parts = node.name.rsplit(".", 2)
        if node.namespace.startswith("postgres://") and len(parts) == 3 and parts[1] in _LAYERS:
            found[node] = f"{parts[1]}.{parts[2]}"
    for source, target in pairs:
        layer, _, table = found.get(target, "").partition(".")
        if source not in found and layer == "explore":
            row = datasets.named(conn, table, raw=True)
            if row is not None:
                found[source] = f"source.{row.table_name}"
    return found


def _columns(
    conn: sa.Connection, edges: Iterable[Edge]
) -> tuple[dict[tuple[Node, Node], list[dict[str, Any]]], bool]:
    """The columns by edge, and whether there are more than are told."""
    found: dict[tuple[Node, Node], list[dict[str, Any]]] = {}
    whole = []
    for edge in edges:
        found[edge.source, edge.target] = []
        if edge.target.field is None:
            whole.append(edge.digest)
        else:
            found[edge.source, edge.target].append(
                _column(edge.source.field, edge.target.field, edge.steps)
            )
    rows = lineage.of_columns(conn, whole, limit=_MOST_COLUMNS + 1) if whole else []
    for row in rows[:_MOST_COLUMNS]:
        pair = Node(row.source_namespace, row.source_name), Node(row.namespace, row.name)
        if pair in found:
            found[pair].append(_column(row.source_field, row.field, row.steps))
    return found, len(rows) > _MOST_COLUMNS


def _column(source: str | None, target: str | None, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "source": source,
        "target": target,
        "steps": [
            {
                "type": step.get("type"),
                "subtype": step.get("subtype"),
                "masking": bool(step.get("masking")),
                "description": step.get("description"),
            }
            for step in steps
        ],
    }


def _id(node: Node) -> str:
    if node.field is None:
        return f"dataset:{node.namespace}:{node.name}"
    return f"datasetField:{node.namespace}:{node.name}:{node.field}"


def _masks(start: Node, up: list[Edge], down: list[Edge]) -> tuple[dict[str, list[str]], set[str]]:
    """By node, all masks on the ways between it and the start; and the nodes to which a way leads
    that has none. The mask itself stands only where it is made, between explore and chart."""
    masks: dict[str, set[str]] = {_id(start): set()}
    clear = {_id(start)}
    for edges, upstream in ((up, True), (down, False)):
        steps = [
            (
                _id(edge.target if upstream else edge.source),
                _id(edge.source if upstream else edge.target),
                {str(step.get("description")) for step in edge.steps if step.get("masking")},
            )
            for edge in edges
        ]
        changed = True
        while changed:
            changed = False
            for near, far, made in steps:
                if near not in masks:
                    continue
                found = masks.get(far, set()) | masks[near] | made
                through = near in clear and not made and far not in clear
                if found != masks.get(far) or through:
                    masks[far] = found
                    clear |= {far} if through else set()
                    changed = True
    return {node: sorted(found) for node, found in masks.items()}, clear
