"""Reading runs, ending them before their time, and having them go on."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, g

from atlas.ledger import comparison, run_documents
from atlas.roles import Role
from atlas.web import starting
from atlas.web.answers import answer
from atlas.web.comparison_models import Comparison
from atlas.web.database import engine, settings, transaction
from atlas.web.models import NoOptions, Run, RunFilter, RunPage
from atlas.web.operations import Link, Operation, Returns

_TIMES = {"started_at": "2025-03-01T09:00:01.5Z", "finished_at": "2025-03-01T09:00:04Z"}
_STAGE = {"status": "succeeded", "attempt": 1, **_TIMES, "rows": 1000, "error": None}
_RUN: dict[str, Any] = {
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
                "erased": 0,
            },
            "estimated_rows": 1000,
            "percent": 100,
            "versions": {"opened": 998, "closed": 0},
            "remasked": None,
            "error": None,
            "stages": [{"stage": "pii", **_STAGE}],
        }
    ],
    "changes": [
        {
            "stream": "users",
            "namespace": None,
            "property": "phone",
            "change": "added",
            "detail": {},
        }
    ],
}

_CANCELLED = {
    **_RUN,
    "status": "cancelled",
    "stages": [{"stage": "explore", **_STAGE, "status": "cancelled", "rows": None}],
    "streams": [],
}
_COUNTS = {"now": 1000, "before": 990}
_COMPARED = dict.fromkeys(("explore", "promoted", "quarantined", "superseded", "deleted"), _COUNTS)
_SECONDS = {"explore": {"now": 2.5, "before": 2.25}}
_COMPARISON: dict[str, Any] = {
    "run_id": _RUN["run_id"],
    "previous": {
        "run_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "status": "succeeded",
        "created_at": "2025-02-28T09:00:01Z",
        "finished_at": "2025-02-28T09:00:04Z",
    },
    "seconds": {"now": 2.5, "before": 2.25},
    "rows": _COMPARED,
    "stages": _SECONDS,
    "streams": [
        {
            "stream": "users",
            "namespace": None,
            "status": {"now": "succeeded", "before": "succeeded"},
            "rows": _COMPARED,
            "stages": {"pii": {"now": 0.5, "before": 0.25}},
            "scores": {"overall": {"now": 0.98, "before": 0.99}},
            "findings": {
                "now": 3,
                "before": 2,
                "new": [
                    {
                        "column": "phone",
                        "path": "",
                        "entity_type": "PHONE_NUMBER",
                        "operator": "mask",
                    }
                ],
                "gone": [],
            },
            "schema_changes": [{"column": "phone", "change": "added", "detail": {}}],
        }
    ],
    "source_changes": _RUN["changes"],
}
_ANY_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")


def list_runs(query: RunFilter) -> Response:
    """A page of runs."""
    with transaction() as conn:
        page = run_documents.page(
            conn,
            limit=query.limit,
            cursor=query.cursor,
            connection=query.connection,
            status=query.status.value if query.status else None,
            newest_first=query.sort == "-created_at",
        )
    return answer(page)


def get_run(run_id: str) -> Response:
    """One run."""
    with transaction() as conn:
        return answer(run_documents.document(conn, run_id))


def compare_run(run_id: str) -> Response:
    """A run beside the one before it."""
    with transaction() as conn:
        return answer(comparison.compare(conn, run_id))


def cancel_run(run_id: str, body: NoOptions) -> Response:
    """End a run now; the answer is what has become of it."""
    # What brings Celery or the stages' rooms is imported when it is asked for.
    from atlas.sync.cancel import cancel

    cancel(engine(), settings(), run_id, actor=g.key.actor)
    return get_run(run_id)


def retry_run(run_id: str, body: NoOptions) -> Response:
    """Have a run go on at the first stage that did not succeed."""
    from atlas.sync.retry import retry

    once = starting.Once(body)

    def begun(conn: sa.Connection, found: str) -> None:
        # Before the run is looked at: by now it is active, or has failed once more.
        once.reserve(conn)
        once.keep(conn, {"run_id": found})

    try:
        found = retry(engine(), settings(), run_id, actor=g.key.actor, begun=begun)
    except starting.Replayed as earlier:
        return starting.accepted(earlier.answer.document["run_id"], starting.REPLAYED)
    return starting.accepted(found)


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/runs",
        role=Role.VIEWER,
        tag="Runs",
        summary="List runs",
        order="newest first",
        handler=list_runs,
        query=RunFilter,
        returns={
            200: Returns(
                RunPage, "A page.", example={"items": [_RUN], "next_cursor": "41.1b7c02d93e5f"}
            )
        },
    ),
    Operation(
        method="GET",
        path="/api/v1/runs/<run_id>",
        role=Role.VIEWER,
        tag="Runs",
        summary="Get a run",
        about="With its streams and their stages: counts, timings and errors.",
        handler=get_run,
        returns={200: Returns(Run, "The run.", example=_RUN)},
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/runs/<run_id>/comparison",
        role=Role.VIEWER,
        tag="Runs",
        summary="Compare a run with the one before it",
        about="With the run of the same connection before it that has ended; a sync is compared "
        "with the sync before it.",
        handler=compare_run,
        returns={200: Returns(Comparison, "Both, side by side.", example=_COMPARISON)},
        problems=("not-found",),
    ),
    Operation(
        method="POST",
        path="/api/v1/runs/<run_id>/cancel",
        role=Role.OPERATOR,
        tag="Runs",
        summary="Cancel a run",
        about="The run is `cancelled` when the answer comes, and its connection may be synced "
        "again. What was at work ends within seconds and can commit nothing any more. State and "
        "layers stay as of the last commit.",
        handler=cancel_run,
        links=(Link("run_id", "/run_id", ("get_run", "retry_run")),),
        body=NoOptions,
        body_example={},
        returns={200: Returns(Run, "The run, cancelled.", example=_CANCELLED)},
        problems=(*_ANY_BODY, "not-found", "run-ended"),
    ),
    Operation(
        method="POST",
        path="/api/v1/runs/<run_id>/retry",
        role=Role.OPERATOR,
        tag="Runs",
        summary="Retry a run",
        about="For the latest run of a connection, when it has ended `failed`, `blocked` or "
        "`cancelled`. It keeps its id and goes on at the first stage of each stream that did not "
        "succeed; the source is asked only for streams that were not read to their end.",
        handler=retry_run,
        links=(Link("run_id", "/run_id", ("get_run", "cancel_run")),),
        body=NoOptions,
        body_example={},
        returns=starting.RETURNS,
        problems=(*starting.PROBLEMS, "conflict"),
        headers=starting.HEADERS,
    ),
]
