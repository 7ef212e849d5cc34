"""The overview: what the first page of the pages shows, for programs."""

from __future__ import annotations

from typing import Any

from flask import Response

from atlas.roles import Role
from atlas.web.answers import answer
from atlas.web.database import engine, settings
from atlas.web.operations import Operation, Returns
from atlas.web.overview_models import Overview

_RUN_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
_DAYS: dict[str, Any] = {"runs": [1], "explore": [1000], "promoted": [998], "quarantined": [2]}
_OVERVIEW: dict[str, Any] = {
    "at": "2025-03-01T09:00:05Z",
    "running": {
        "count": 1,
        "items": [
            {
                "run_id": _RUN_ID,
                "connection": "shop",
                "trigger": "schedule",
                "status": "running",
                "created_at": "2025-03-01T09:00:01Z",
                "started_at": "2025-03-01T09:00:01.5Z",
                "stages": ["explore"],
                "rows": {"explore": 400, "promoted": 0, "quarantined": 0},
                "percent": 40,
            }
        ],
    },
    "failed": [
        {
            "run_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "connection": "shop",
            "trigger": "schedule",
            "status": "failed",
            "finished_at": "2025-02-28T09:00:04Z",
            "error": "users: the source refused the password",
        }
    ],
    "connections": {
        "count": 1,
        "items": [
            {
                "name": "shop",
                "connector": "source-faker",
                "datasets": 3,
                "due_at": "2025-03-01T09:15:00Z",
                "last_run": {
                    "run_id": _RUN_ID,
                    "status": "running",
                    "created_at": "2025-03-01T09:00:01Z",
                    "finished_at": None,
                    "error": None,
                },
                "fresh_at": "2025-03-01T08:45:02Z",
                "score": 0.98,
                "lowest_score": 0.95,
                "scored_in": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            }
        ],
    },
    "rows": {
        "days": ["2025-03-01"],
        "total": _DAYS,
        "connections": [{"connection": "shop", **_DAYS}],
    },
    "queues": {
        "items": [{"queue": "extract", "depth": 2, "oldest_seconds": 1.5}],
        "reason": None,
    },
    "workers": [
        {
            "name": "extract@host",
            "queues": ["extract"],
            "beat_at": "2025-03-01T09:00:02Z",
            "alive": True,
        }
    ],
}


def get_overview() -> Response:
    """All of it, now."""
    # It asks the broker's client, which is slow to import.
    from atlas.ledger.database import classified
    from atlas.sync.overview import overview

    with classified():
        return answer(overview(engine(), settings()))


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/overview",
        role=Role.VIEWER,
        tag="Overview",
        summary="What runs, what failed, how fresh and how good the data are",
        about="Also rows by day and connection, what waits in the broker's queues and for how "
        "long, and which workers live.",
        handler=get_overview,
        returns={200: Returns(Overview, "As it is now.", example=_OVERVIEW)},
    ),
]
