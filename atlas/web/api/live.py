"""What happens in runs, as it happens: their logs, and streams of events."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from atlas.ledger import run_log, runs
from atlas.roles import Role
from atlas.web.answers import answer
from atlas.web.database import single, transaction
from atlas.web.live import told
from atlas.web.live.stream import MEDIA_TYPE, EventStream
from atlas.web.live_models import LogFilter, LogPage, WatchFrom
from atlas.web.operations import Operation, Returns
from atlas.web.problems import Problem

_LATELY = 100
"""Lines of a log that are told to who watches a run and does not say from where."""

_LINE: dict[str, Any] = {
    "line": 7,
    "at": "2025-03-01T09:00:02Z",
    "level": "info",
    "origin": "connector",
    "stage": "explore",
    "stream": None,
    "namespace": None,
    "attempt": 1,
    "worker": "host:4711",
    "message": "Read 1000 records from users stream",
}
_RUN_EVENTS = (
    'event: log\nid: 7-0c1d2e3f\ndata: {"line": 7, "level": "info", "message": "…"}\n\n'
    'event: end\nid: 7-end\ndata: {"run_id": "…", "status": "succeeded"}\n\n'
)
_ALL_EVENTS = 'event: run\nid: 1740819602000000\ndata: {"run_id": "…", "status": "running"}\n\n'
_LAST = {"Last-Event-ID": "Id of the last event that was got: what follows it is told."}


def list_run_log(run_id: str, query: LogFilter) -> Response:
    """A page of a run's log."""
    with transaction() as conn:
        page = run_log.page(
            conn,
            run_id,
            limit=query.limit,
            cursor=query.cursor,
            level=query.level.value if query.level else None,
            q=query.q,
            beyond=query.after,
            newest_first=query.sort == "-line",
        )
    return answer(page)


def watch_run(run_id: str, query: WatchFrom) -> Response:
    """A stream of what happens in a run, until it has ended."""
    text = request.headers.get("Last-Event-ID")
    place = None
    if text:
        place = told.place(text)
        if place is None:
            raise _strange()
    with single() as conn:
        row = runs.row_of(conn, run_id)
    if place is None:
        last = max(row.log_lines - _LATELY, 0)
        place = told.Place(last if query.after is None else query.after)
    elif place.digest == told.END and row.finished_at is not None:
        # It knows. To an EventSource this is the word not to come back.
        return Response(status=204)
    return EventStream(row.id, place)


def watch_runs() -> Response:
    """A stream of runs whose status changes."""
    text = request.headers.get("Last-Event-ID")
    at = told.moment(text) if text else None
    if text and at is None:
        raise _strange()
    return EventStream(None, None, at)


def _strange() -> Problem:
    return Problem(
        "invalid-parameter",
        "Last-Event-ID: not the id of an event of this stream; leave it out to begin anew",
    )


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/runs/<run_id>/log",
        role=Role.VIEWER,
        tag="Runs",
        summary="Read the log of a run",
        about="What its connector said and what its stages did, line by line.",
        handler=list_run_log,
        order="oldest first",
        query=LogFilter,
        returns={200: Returns(LogPage, "A page.", example={"items": [_LINE], "next_cursor": None})},
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/runs/<run_id>/events",
        role=Role.VIEWER,
        tag="Runs",
        summary="Watch a run",
        about="Server-sent events: `progress` when something of it changes, `log` for each line of "
        "its log, `end` when it has ended. Then the stream ends; it may end before, and whoever "
        "comes back with `Last-Event-ID` misses nothing.",
        handler=watch_run,
        query=WatchFrom,
        returns={
            200: Returns(None, "The stream.", media_type=MEDIA_TYPE, example=_RUN_EVENTS),
            204: Returns(
                None,
                "The run has ended, and `Last-Event-ID` says that this is known.",
                media_type="",
            ),
        },
        problems=("not-found",),
        headers=_LAST,
    ),
    Operation(
        method="GET",
        path="/api/v1/events",
        role=Role.VIEWER,
        tag="Runs",
        summary="Watch the status of all runs",
        about="Server-sent events: `run` for each run that is active, and again whenever its "
        "status changes. An event may come twice.",
        handler=watch_runs,
        returns={200: Returns(None, "The stream.", media_type=MEDIA_TYPE, example=_ALL_EVENTS)},
        headers=_LAST,
    ),
]
