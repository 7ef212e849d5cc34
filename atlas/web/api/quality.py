"""How good datasets are, and the rows that were set aside."""

from __future__ import annotations

from typing import Any

from flask import Response

from atlas.ledger import paging
from atlas.roles import Role
from atlas.sync import quality
from atlas.web.answers import answer
from atlas.web.database import PATIENCE, transaction
from atlas.web.operations import Operation, Returns
from atlas.web.quality_models import (
    QualityDataset,
    QualityFilter,
    QualityHistory,
    QualityHistoryFilter,
    QualityRun,
    QualityRunFilter,
    QualitySuggestions,
    QuarantineFilter,
    QuarantinePage,
)

_RUN_ID = "0192f5a2-1111-7111-8111-123456789abc"
_SCORES = {"completeness": 1.0, "validity": 0.5, "overall": 0.75}
_DATASET: dict[str, Any] = {
    "dataset": "shop_users",
    "connection": "shop",
    "stream": "users",
    "namespace": None,
    "run_id": _RUN_ID,
    "checked_at": "2025-03-01T09:00:01Z",
    "status": "succeeded",
    "scores": _SCORES,
    "checks": [
        {
            "name": "validity.email",
            "dimension": "validity",
            "column": "email",
            "outcome": "fail",
            "score": 0.5,
            "failed_rows": 1,
            "definition": "  - invalid_count(email) = 0:\n      valid regex: '^[^@]+@[^@]+$'",
            "gate": "quarantine",
            "reason": None,
            "rows": [],
        }
    ],
    "quarantined": {"validity.email": 1},
    "in_quarantine": 1,
}


def get_quality_dataset(dataset: str, query: QualityFilter) -> Response:
    """Scores and checks of a dataset."""
    with transaction() as conn:
        return answer(quality.show(conn, dataset, query.run_id))


def list_quality_history(dataset: str, query: QualityHistoryFilter) -> Response:
    """Its scores over time."""
    after = paging.before(query.cursor)
    with transaction() as conn:
        items = quality.history(
            conn, dataset, limit=query.limit + 1, after=after, check=query.check
        )
    return answer(paging.page(items, query.limit))


def list_quality_suggestions(dataset: str) -> Response:
    """Checks that its rows suggest."""
    with transaction() as conn:
        return answer(quality.suggest(conn, dataset, seconds=PATIENCE))


def get_quality_run(run_id: str, query: QualityRunFilter) -> Response:
    """Scores and checks of the streams of a run."""
    after = paging.before(query.cursor)
    with transaction() as conn:
        found, end = quality.page_of_run(conn, run_id, limit=query.limit, after=after)
    cursor = None if end is None else str(end)
    return answer({"run_id": run_id, "datasets": found, "next_cursor": cursor})


def list_quarantine(dataset: str, query: QuarantineFilter) -> Response:
    """Rows that were set aside."""
    after = paging.before(query.cursor)
    with transaction() as conn:
        items = quality.set_aside(
            conn,
            dataset,
            limit=query.limit + 1,
            after=after,
            run_id=query.run_id,
            check=query.check,
        )
    return answer(paging.page(items, query.limit))


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/quality/datasets/<dataset>",
        role=Role.VIEWER,
        tag="Quality",
        summary="Get how good a dataset is",
        about="Its scores, and the checks that they are made of. A dataset is called as its table "
        "in chart and navigate. What failed comes first.",
        handler=get_quality_dataset,
        query=QualityFilter,
        returns={200: Returns(QualityDataset, "The dataset.", example=_DATASET)},
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/quality/datasets/<dataset>/history",
        role=Role.VIEWER,
        tag="Quality",
        summary="List how good a dataset was, run by run",
        about="A score below what is usual by up to twenty runs before is an anomaly: what is "
        "usual is told from five runs on.",
        handler=list_quality_history,
        order="newest first",
        query=QualityHistoryFilter,
        returns={
            200: Returns(
                QualityHistory,
                "A page.",
                example={
                    "items": [
                        {
                            "id": 7,
                            "run_id": _RUN_ID,
                            "checked_at": "2025-03-01T09:00:01Z",
                            "status": "succeeded",
                            "scores": _SCORES,
                            "anomalies": {"validity": 0.93},
                            "failed": ["validity.email"],
                            "check": None,
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
        path="/api/v1/quality/datasets/<dataset>/suggestions",
        role=Role.VIEWER,
        tag="Quality",
        summary="List checks that the rows of a dataset suggest",
        about="They hold for the rows in chart; a large table is looked at here and there. Nothing "
        "is suggested that is checked already, nor of the values of masked columns.",
        handler=list_quality_suggestions,
        returns={
            200: Returns(
                QualitySuggestions,
                "Suggestions.",
                example={
                    "dataset": "shop_users",
                    "connection": "shop",
                    "stream": "users",
                    "namespace": None,
                    "rows": 1000,
                    "left_out": [],
                    "suggestions": [
                        {
                            "check": '- missing_count("name") = 0',
                            "dimension": "completeness",
                            "column": "name",
                            "why": "none of 1000 rows is without a value",
                        }
                    ],
                    "sodacl": "checks for users:\n  # none of 1000 rows is without a value\n"
                    '  - missing_count("name") = 0\n',
                },
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/quality/runs/<run_id>",
        role=Role.VIEWER,
        tag="Quality",
        summary="Get how good what a run read is",
        handler=get_quality_run,
        order="as the run has its streams",
        query=QualityRunFilter,
        returns={
            200: Returns(
                QualityRun,
                "A page of the streams that it has checked so far, in their order.",
                example={"run_id": _RUN_ID, "datasets": [_DATASET], "next_cursor": None},
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/quarantine/<dataset>",
        role=Role.VIEWER,
        tag="Quality",
        summary="List rows of a dataset that were set aside",
        about="Masked as the policy says, with the names of all checks that they failed.",
        handler=list_quarantine,
        order="newest first",
        query=QuarantineFilter,
        returns={
            200: Returns(
                QuarantinePage,
                "A page.",
                example={
                    "items": [
                        {
                            "id": 1042,
                            "run_id": _RUN_ID,
                            "emitted_at": "2025-03-01T09:00:00Z",
                            "checks": ["validity.email"],
                            "reasons": {},
                            "row": {"id": "42", "email": "***"},
                        }
                    ],
                    "next_cursor": None,
                },
            )
        },
        problems=("not-found",),
    ),
]
