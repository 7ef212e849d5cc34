"""Where data come from and where they go, and what was told of a run."""

from __future__ import annotations

from typing import Any

from flask import Response

from atlas.ledger import deliveries, paging
from atlas.roles import Role
from atlas.sync import lineage
from atlas.web.answers import answer
from atlas.web.database import transaction
from atlas.web.lineage_models import (
    LineageFilter,
    LineageGraph,
    LineageRun,
    LineageRunFilter,
    LineageSinks,
)
from atlas.web.operations import Operation, Returns

_RUN_ID = "0192f5a2-1111-7111-8111-123456789abc"
_POSTGRES = "postgres://localhost:5432"


def _node(layer: str, name: str, masks: list[str], column: str | None) -> dict[str, Any]:
    field = "" if column is None else f":{column}"
    return {
        "id": f"dataset{'' if column is None else 'Field'}:{_POSTGRES}:atlas.{layer}.{name}{field}",
        "namespace": _POSTGRES,
        "name": f"atlas.{layer}.{name}",
        "dataset": f"{layer}.{name}",
        "layer": layer,
        "column": column,
        "masks": masks,
        "masked": bool(masks),
    }


def _example(column: str | None) -> dict[str, Any]:
    mask = "mask EMAIL_ADDRESS"
    raw = None if column is None else f"data.{column}"
    nodes = [
        _node("chart", "shop_users", [], column),
        _node("explore", "shop_users_raw", [mask] if column else [], raw),
    ]
    return {
        "nodes": nodes,
        "edges": [
            {
                "source": nodes[1]["id"],
                "target": nodes[0]["id"],
                "job": "shop.users.chart",
                "run_id": _RUN_ID,
                "at": "2025-03-01T09:00:02Z",
                "masking": True,
                "columns": [
                    {
                        "source": "data.email",
                        "target": "email",
                        "steps": [
                            {
                                "type": "DIRECT",
                                "subtype": "TRANSFORMATION",
                                "masking": True,
                                "description": mask,
                            }
                        ],
                    }
                ],
            }
        ],
        "cut": False,
    }


def get_lineage_dataset(node: str, query: LineageFilter) -> Response:
    """Where a dataset or a column comes from and where it goes."""
    with transaction() as conn:
        return answer(
            lineage.show(
                conn,
                node,
                column=query.column,
                depth=query.depth,
                direction=query.direction,
                run_id=query.run,
            )
        )


def get_lineage_run(run_id: str, query: LineageRunFilter) -> Response:
    """What a run moved, and its events."""
    after = paging.before(query.cursor) or 0
    with transaction() as conn:
        graph = lineage.of_run(conn, run_id)
        events = lineage.events(conn, run_id, limit=query.limit + 1, after=after)
    for delivery in (each for event in events for each in event["deliveries"]):
        del delivery["error"]  # it names a host, which is the operator's business
    return answer({"run_id": run_id, **graph, **paging.page(events, query.limit)})


def list_lineage_sinks() -> Response:
    """Where events go."""
    with transaction() as conn:
        return answer({"items": deliveries.listed(conn)})


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/lineage/datasets/<node>",
        role=Role.VIEWER,
        tag="Lineage",
        summary="Get where a dataset or a column comes from and where it goes",
        about="A dataset is called as its table in navigate (`shop_users`); `chart.shop_users`, "
        "`chart.shop_users_quarantine` and `explore.shop_users_raw` are its other tables, "
        "`source.shop_users` is what its source has. Masks are made between explore and chart; "
        "`masks` of a node carries them along the way.",
        handler=get_lineage_dataset,
        query=LineageFilter,
        returns={
            200: Returns(
                LineageGraph,
                "The graph.",
                example={
                    "dataset": "chart.shop_users",
                    "column": "email",
                    "direction": "upstream",
                    "depth": 1,
                    "run_id": None,
                    **_example("email"),
                },
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/lineage/runs/<run_id>",
        role=Role.VIEWER,
        tag="Lineage",
        summary="Get what a run moved, and its OpenLineage events",
        about="The graph is on every page; the events are paged, oldest first, and say what became "
        "of their delivery.",
        handler=get_lineage_run,
        order="oldest first",
        query=LineageRunFilter,
        returns={
            200: Returns(
                LineageRun,
                "The graph, and a page of events.",
                example={
                    "run_id": _RUN_ID,
                    **_example(None),
                    "items": [
                        {
                            "id": 17,
                            "delivered_at": "2025-03-01T09:00:04Z",
                            "deliveries": [
                                {
                                    "sink": "http",
                                    "delivered_at": "2025-03-01T09:00:04Z",
                                    "failed_attempts": 0,
                                }
                            ],
                            "event": {"eventType": "COMPLETE", "job": {"name": "shop.users.chart"}},
                        }
                    ],
                    "next_cursor": None,
                },
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/lineage/sinks",
        role=Role.OPERATOR,
        tag="Lineage",
        summary="List where OpenLineage events go",
        about="What each sink has yet to get, and what went wrong last. Those that the settings of "
        "the workers name.",
        handler=list_lineage_sinks,
        returns={
            200: Returns(
                LineageSinks,
                "All of them.",
                example={
                    "items": [
                        {
                            "name": "http",
                            "target": "http://marquez:5000",
                            "delivered_at": "2025-03-01T09:00:04Z",
                            "waiting": 12,
                            "waiting_since": "2025-03-01T09:00:05Z",
                            "refused": 0,
                            "failed_attempts": 3,
                            "next_attempt_at": "2025-03-01T09:02:00Z",
                            "error": "cannot reach lineage endpoint marquez:5000; delivered later",
                        }
                    ]
                },
            )
        },
    ),
]
