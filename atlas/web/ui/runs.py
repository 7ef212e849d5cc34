"""Runs: the list of them, and one as it goes: stages over time, counts, errors, what to do."""

from __future__ import annotations

from typing import Any

from flask import Response, g, request

from atlas.errors import ActiveRun, Conflict, RunEnded
from atlas.ledger import comparison, connections, datasets, run_documents, run_log
from atlas.model.stage import Status
from atlas.roles import Role
from atlas.web.database import engine, settings, transaction
from atlas.web.ui import timeline
from atlas.web.ui.pages import Page, go, render
from atlas.web.ui.shown import between

_PER_PAGE = 50
_LINES = 200
"""Lines of the log on a page."""
ACTIVE = (Status.QUEUED.value, Status.RUNNING.value)
COUNTS = (
    ("explore", "Read"),
    ("promoted", "Promoted"),
    ("quarantined", "Set aside"),
    ("superseded", "Superseded"),
    ("deleted", "Deleted"),
)
"""The counts of rows that runs are compared by, with their titles."""


def runs() -> Response:
    """A page of runs, newest first, of a connection or in a state."""
    asked = {name: request.args.get(name, "") for name in ("connection", "status")}
    status = asked["status"] if asked["status"] in list(Status) else None
    cursor = request.args.get("cursor") or None
    with transaction() as conn:
        page = run_documents.page(
            conn,
            limit=_PER_PAGE,
            cursor=cursor,
            connection=asked["connection"] or None,
            status=status,
            brief=True,
        )
        names = [each["name"] for each in connections.names(conn, limit=500)]
    return render(
        "runs.html",
        items=page["items"],
        next_cursor=page["next_cursor"],
        first=cursor is None,
        asked=asked,
        connections=names,
        statuses=[each.value for each in Status],
        active=any(run["status"] in ACTIVE for run in page["items"]) and cursor is None,
    )


def run(run_id: str) -> Response:
    """One run."""
    with transaction() as conn:
        document = run_documents.document(conn, run_id)
        run_id = document["run_id"]
        compared = comparison.compare(conn, run_id)
        attempts = run_documents.attempts(conn, run_id)
        lines = run_log.page(conn, run_id, limit=_LINES, newest_first=True)
        tables = datasets.tables_of(conn, document["connection"])
        newest = run_documents.page(
            conn, limit=1, cursor=None, connection=document["connection"], brief=True
        )
    return render(
        "run.html",
        run=document,
        active=document["status"] in ACTIVE,
        totals=_totals(document),
        rate=_rate(document),
        rows=timeline.rows(document),
        seconds=timeline.length(document),
        streams=[
            {**stream, "dataset": tables.get((stream["stream"], stream["namespace"]))}
            for stream in document["streams"]
        ],
        errors=_errors(document),
        attempts=attempts,
        lines=lines["items"][::-1],
        earlier=lines["next_cursor"] is not None,
        counts=COUNTS,
        compared=compared if compared["previous"] else None,
        may_retry=run_id == newest["items"][0]["run_id"]
        and document["status"] in ("failed", "blocked", "cancelled"),
    )


def log(run_id: str) -> Response:
    """A run's log, page by page, and what was sought in it."""
    asked = {name: request.args.get(name, "")[:200] for name in ("q", "level")}
    level = asked["level"] if asked["level"] in run_log.LEVELS else None
    cursor = request.args.get("cursor") or None
    with transaction() as conn:
        document = run_documents.document(conn, run_id)
        page = run_log.page(
            conn, run_id, limit=_LINES, cursor=cursor, level=level, q=asked["q"] or None
        )
    return render(
        "run_log.html",
        run=document,
        lines=page["items"],
        next_cursor=page["next_cursor"],
        first=cursor is None,
        asked=asked,
        levels=run_log.LEVELS,
    )


def cancel(run_id: str) -> Response:
    """End it now."""
    from atlas.sync.cancel import cancel as end

    try:
        end(engine(), settings(), run_id, actor=g.key.actor)
    except RunEnded as ended:
        return go(f"/runs/{ended.run_id}", f"It has ended already: {ended.status}.", "warn")
    return go(f"/runs/{run_id}", "The run is cancelled. What it had committed stays.")


def retry(run_id: str) -> Response:
    """Have it go on at the first stage that did not succeed."""
    from atlas.sync.retry import retry as again

    try:
        again(engine(), settings(), run_id, actor=g.key.actor)
    except ActiveRun as active:
        return go(f"/runs/{active.run_id}", "Another run is active: this is that one.", "warn")
    except Conflict as error:
        return go(f"/runs/{run_id}", f"Not retried: {error}.", "warn")
    return go(f"/runs/{run_id}", "It goes on at the first stage that did not succeed.")


def _totals(document: dict[str, Any]) -> dict[str, int]:
    found = {
        name: sum(stream["rows"][name] for stream in document["streams"]) for name, _ in COUNTS
    }
    for name in ("opened", "closed"):
        found[name] = sum(stream["versions"][name] for stream in document["streams"])
    return found


def _rate(document: dict[str, Any]) -> float | None:
    """Rows a second that the source gave; None: it gave none."""
    read = sum(stream["rows"]["explore"] for stream in document["streams"])
    for stage in document["stages"]:
        took = between(stage["started_at"], stage["finished_at"])
        if stage["stage"] == "explore" and took and read:
            return float(read / took)
    return None


def _errors(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What went wrong, once each: of the run, of a stream, of a stage that was tried again."""
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for stage in document["stages"]:
        if stage["error"]:
            found.append({"where": stage["stage"], "status": stage["status"], **_of(stage)})
            seen.add(stage["error"])
    for stream in document["streams"]:
        for stage in stream["stages"]:
            if stage["error"]:
                where = f"{stream['stream']} · {stage['stage']}"
                found.append({"where": where, "status": stage["status"], **_of(stage)})
                seen.add(stage["error"])
        if stream["error"] and stream["error"] not in seen:
            where = stream["stream"]
            found.append({"where": where, "status": stream["status"], "error": stream["error"]})
            seen.add(stream["error"])
    own = document["error"]
    if own and not any(own in text or text in own for text in seen):
        found.insert(0, {"where": "run", "status": document["status"], "error": own})
    return found


def _of(stage: dict[str, Any]) -> dict[str, Any]:
    return {"error": stage["error"], "attempt": stage["attempt"]}


PAGES = [
    Page("/runs", Role.VIEWER, runs),
    Page("/runs/<run_id>", Role.VIEWER, run),
    Page("/runs/<run_id>/log", Role.VIEWER, log),
    Page("/runs/<run_id>/cancel", Role.OPERATOR, cancel, ("POST",)),
    Page("/runs/<run_id>/retry", Role.OPERATOR, retry, ("POST",)),
]
