"""Where data come from and where they go: as a picture, as of a run, and as told to others."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import urlencode

from flask import Response, g, request

from atlas.errors import NotFound, UsageError
from atlas.ledger import deliveries, paging
from atlas.roles import Role
from atlas.sync import datasets, lineage
from atlas.web.database import transaction
from atlas.web.ui import graph
from atlas.web.ui.heads import Head, head
from atlas.web.ui.pages import Page, render

_PAGE = 50
_EVENTS = 50
_EDGES = 60
_PAIRS = 180  # of columns, all together


def listed() -> Response:
    """The datasets whose lineage there may be."""
    words = request.args.get("q", "").strip()
    wrong = None
    with transaction() as conn:
        try:
            page = datasets.listed(
                conn,
                limit=_PAGE,
                after=request.args.get("cursor") or None,
                layer="explore",
                words=words or None,
            )
        except NotFound:
            raise
        except UsageError as error:
            wrong, page = str(error), {"items": [], "next_cursor": None}
    return render(
        "lineage.html",
        items=page["items"],
        next_cursor=page["next_cursor"],
        first="cursor" not in request.args,
        words=words,
        wrong=wrong,
        base="/lineage" + (f"?{urlencode({'q': words})}" if words else ""),
    )


def of_node(node: str) -> Response:
    """The graph around a dataset or a column."""
    column = request.args.get("column") or None
    run_id = request.args.get("run") or None
    direction = request.args.get("direction", "both")
    if direction not in get_args(lineage.Direction):
        direction = "both"
    with transaction() as conn:
        found = _head(conn, node)
        told: dict[str, Any] | None = None
        missing = None
        try:
            told = lineage.show(
                conn,
                node,
                column=column,
                run_id=run_id,
                direction=direction,  # type: ignore[arg-type]  # one of them, see above
            )
        except NotFound as error:
            # Of a dataset that is there, and of nothing else that was asked for.
            if found is None or column is not None or run_id is not None:
                raise
            missing = str(error)
    what = f"{told['dataset']}.{column}" if told and column else node
    return render(
        "dataset_lineage.html",
        head=found,
        node=node,
        column=column,
        run_id=run_id,
        direction=direction,
        told=told,
        missing=missing,
        picture=told and graph.draw(told, f"Lineage of {what}", run_id),
        **_table(told),
        path_of=graph.path_of,
    )


def of_run(run_id: str) -> Response:
    """What a run moved, and the events that it told."""
    after = paging.before(request.args.get("cursor") or None) or 0
    with transaction() as conn:
        told = lineage.of_run(conn, run_id)
        events = lineage.events(conn, run_id, limit=_EVENTS + 1, after=after)
    if not g.key.may(Role.OPERATOR):
        for delivery in (each for event in events for each in event["deliveries"]):
            del delivery["error"]  # it names a host, which is the operator's business
    return render(
        "lineage_run.html",
        run_id=run_id,
        told=told,
        picture=graph.draw(told, f"What run {run_id[:8]} moved", run_id),
        events=events[:_EVENTS],
        next_cursor=str(events[_EVENTS - 1]["id"]) if len(events) > _EVENTS else None,
        first=after == 0,
        **_table(told),
    )


def sinks() -> Response:
    """Where the events go, and what has yet to be delivered."""
    with transaction() as conn:
        items = deliveries.listed(conn)
    return render("lineage_sinks.html", items=items)


def _head(conn: Any, node: str) -> Head | None:
    """The dataset that a node is a table of, if it is one of ours."""
    layer, dot, table = node.partition(".")
    if not dot:
        layer, table = "navigate", node
    try:
        return head(conn, table, "explore" if layer == "explore" else "chart")
    except NotFound:
        return None


def _table(told: dict[str, Any] | None) -> dict[str, Any]:
    """The edges for a table: the same as in the picture, for those who do not see it."""
    if told is None:
        return {"edges": [], "edges_left": 0}
    each = max(2, _PAIRS // max(1, min(_EDGES, len(told["edges"]))))
    called = {node["id"]: node["dataset"] or node["name"] for node in told["nodes"]}
    edges = [
        {
            "source": called[edge["source"]],
            "target": called[edge["target"]],
            "job": edge["job"],
            "run_id": edge["run_id"],
            "at": edge["at"],
            "columns": edge["columns"][:each],
            "left": max(0, len(edge["columns"]) - each),
        }
        for edge in told["edges"][:_EDGES]
    ]
    return {"edges": edges, "edges_left": max(0, len(told["edges"]) - _EDGES)}


PAGES = [
    Page("/lineage", Role.VIEWER, listed),
    Page("/lineage/sinks", Role.OPERATOR, sinks),
    Page("/lineage/runs/<run_id>", Role.VIEWER, of_run),
    Page("/lineage/<node>", Role.VIEWER, of_node),
]
