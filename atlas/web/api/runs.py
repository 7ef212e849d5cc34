"""Reading runs."""

from __future__ import annotations

from flask import Response

from atlas.ledger import run_documents
from atlas.web.answers import answer
from atlas.web.database import transaction
from atlas.web.models import Run, RunFilter, RunPage
from atlas.web.operations import Operation, Returns

_TIMES = {"started_at": "2025-03-01T09:00:01.5Z", "finished_at": "2025-03-01T09:00:04Z"}
_STAGE = {"status": "succeeded", "attempt": 1, **_TIMES, "rows": 1000, "error": None}
_RUN = {
    "run_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "connection": "shop",
    "trigger": "api",
    "status": "succeeded",
    "created_at": "2025-03-01T09:00:01Z",
    **_TIMES,
    "error": None,
    "repaired": 0,
    "ignored": 0,
    "stages": [{"stage": "explore", **_STAGE}],
    "streams": [
        {
            "stream": "users",
            "namespace": None,
            "sync_mode": "incremental",
            "status": "succeeded",
            "rows": {
                "explore": 1000,
                "carried": 0,
                "promoted": 998,
                "quarantined": 2,
                "superseded": 0,
                "tombstones": 0,
                "deleted": 0,
            },
            "versions": {"opened": 998, "closed": 0},
            "error": None,
            "stages": [{"stage": "pii", **_STAGE}],
        }
    ],
}


def list_runs(query: RunFilter) -> Response:
    """A page of runs."""
    with transaction() as conn:
        page = run_documents.page(
            conn,
            limit=query.limit,
            cursor=query.cursor,
            connection=query.connection,
            status=query.status.value if query.status else None,
        )
    return answer(page)


def get_run(run_id: str) -> Response:
    """One run."""
    with transaction() as conn:
        return answer(run_documents.document(conn, run_id))


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/runs",
        role="viewer",
        tag="Runs",
        summary="List runs, newest first",
        handler=list_runs,
        query=RunFilter,
        returns={200: Returns(RunPage, "A page.", example={"items": [_RUN], "next_cursor": "41"})},
    ),
    Operation(
        method="GET",
        path="/api/v1/runs/<run_id>",
        role="viewer",
        tag="Runs",
        summary="Get a run",
        about="With its streams and their stages: counts, timings and errors.",
        handler=get_run,
        returns={200: Returns(Run, "The run.", example=_RUN)},
        problems=("not-found",),
    ),
]
