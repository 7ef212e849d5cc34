"""``atlas sync`` and ``atlas runs``: start a sync, follow it, end it, look back at it."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.cli.run_log import log

_POLL_SECONDS = 0.25
_STAGES = 6

wait_option = click.option(
    "--wait/--no-wait",
    default=None,
    help="Follow it until it ends (the default on a terminal).",
)


@click.command()
@click.argument("name")
@click.option("--stream", "streams", multiple=True, help="Only this stream; may be repeated.")
@click.option("--full-refresh", is_flag=True, help="Read from the start this once.")
@wait_option
@json_option
def sync(
    name: str,
    streams: tuple[str, ...],
    full_refresh: bool,
    wait: bool | None,
    as_json: bool,
) -> None:
    """Sync connection NAME now."""
    see(start(name, list(streams) or None, full_refresh), wait, as_json)


def see(run_id: str, wait: bool | None, as_json: bool) -> None:
    """Say that the run is queued, or follow it to its end; exit code 1 unless it succeeded."""
    if wait is None:
        wait = sys.stdout.isatty()
    if not wait:
        if as_json:
            emit({"run_id": run_id, "status": "queued"})
        else:
            click.echo(run_id)
        return
    document = follow(run_id, quiet=as_json)
    if as_json:
        emit(document)
    else:
        summary(document)
    if document["status"] != "succeeded":
        sys.exit(1)


def start(name: str, streams: list[str] | None, full_refresh: bool) -> str:
    """Request a sync; returns the run's id."""
    from atlas.cli.database import engine
    from atlas.cli.state import who
    from atlas.sync.request import request_sync

    return request_sync(
        engine(), name, trigger="cli", actor=who(), streams=streams, full_refresh=full_refresh
    )


def follow(run_id: str, *, quiet: bool) -> dict[str, Any]:
    """Wait until the run has ended, with progress on a terminal; returns its document."""
    if quiet or not sys.stderr.isatty():
        while True:
            document = fetch(run_id)
            if document["finished_at"] is not None:
                return document
            time.sleep(_POLL_SECONDS)
    return _follow_live(run_id)


def _follow_live(run_id: str) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        whole = progress.add_task(f"run {run_id[:8]}", total=None, doing="queued")
        tasks: dict[str, Any] = {}
        while True:
            document = fetch(run_id)
            explore = document["stages"][0]["status"] if document["stages"] else "queued"
            progress.update(whole, doing=f"explore {explore}")
            for stream in document["streams"]:
                label = stream["stream"]
                done = sum(stage["status"] == "succeeded" for stage in stream["stages"])
                running = [s["stage"] for s in stream["stages"] if s["status"] == "running"]
                if label not in tasks:
                    tasks[label] = progress.add_task(f"  {label}", total=_STAGES - 1, doing="")
                doing = running[0] if running else stream["status"]
                progress.update(
                    tasks[label],
                    completed=done,
                    doing=f"{doing}, {stream['rows']['explore']:,} rows{_share(stream)}",
                )
            if document["finished_at"] is not None:
                progress.update(whole, total=1, completed=1, doing=document["status"])
                return document
            time.sleep(_POLL_SECONDS)


def _share(stream: dict[str, Any]) -> str:
    """Per cent of what the source said to expect, while it is read."""
    if stream["estimated_rows"] is None or stream["percent"] in (None, 100):
        return ""
    return f" of {stream['estimated_rows']:,} ({stream['percent']} %)"


def fetch(run_id: str) -> dict[str, Any]:
    """The run's document."""
    from atlas.cli.database import begin
    from atlas.errors import TransientError
    from atlas.ledger import run_documents as ledger

    for patience in (1, 2, 4, 8, 0):
        try:
            with begin() as conn:
                return ledger.document(conn, run_id)
        except TransientError:
            # The run goes on without us; a moment's absence of the database is no end of it.
            if not patience:
                raise
            time.sleep(patience)
    raise AssertionError("unreachable")


def summary(document: dict[str, Any]) -> None:
    """Print a run for people: per stage and per stream."""
    click.echo(
        f"run {document['run_id']} of {document['connection']}: {document['status']}"
        + (f" ({document['error']})" if document["error"] else "")
    )
    table(
        [
            "stream",
            "mode",
            "status",
            "explore",
            "carried",
            "promoted",
            "quarantined",
            "superseded",
            "erased",
            "versions opened",
            "closed",
        ],
        [
            [
                stream["stream"],
                stream["sync_mode"],
                stream["status"],
                stream["rows"]["explore"],
                stream["rows"]["carried"],
                stream["rows"]["promoted"],
                stream["rows"]["quarantined"],
                stream["rows"]["superseded"],
                stream["rows"]["erased"],
                stream["versions"]["opened"],
                stream["versions"]["closed"],
            ]
            for stream in document["streams"]
        ],
        title="rows of this run",
    )
    _masked_anew([item for item in document["streams"] if item["remasked"] is not None])
    stages = [("(all)", stage) for stage in document["stages"]] + [
        (stream["stream"], stage) for stream in document["streams"] for stage in stream["stages"]
    ]
    table(
        ["stream", "stage", "status", "attempt", "rows", "seconds", "error"],
        [
            [
                name,
                stage["stage"],
                stage["status"],
                stage["attempt"],
                stage["rows"],
                _seconds(stage),
                stage["error"] or "",
            ]
            for name, stage in stages
        ],
        title="stages",
    )
    if document["changes"]:
        table(
            ["stream", "column", "change", "from", "to"],
            [
                [
                    item["stream"],
                    item["property"],
                    item["change"],
                    item["detail"].get("from"),
                    item["detail"].get("to"),
                ]
                for item in document["changes"]
            ],
            title="changes at the source",
        )


def _masked_anew(streams: list[dict[str, Any]]) -> None:
    """Print how many rows read otherwise after a run that masks anew."""
    if not streams:
        return
    layers = ["chart", "quarantine", "navigate"]
    table(
        ["stream", *layers, "without raw row"],
        [
            [
                item["stream"],
                *(item["remasked"].get(layer, 0) for layer in layers),
                sum(item["remasked"]["without_raw"].values()),
            ]
            for item in streams
        ],
        title="rows that are masked otherwise now",
    )


def _seconds(stage: dict[str, Any]) -> float | None:
    from datetime import datetime

    if not stage["started_at"] or not stage["finished_at"]:
        return None
    begin, end = (datetime.fromisoformat(stage[key]) for key in ("started_at", "finished_at"))
    return round((end - begin).total_seconds(), 2)


@click.group()
def runs() -> None:
    """Look at runs, cancel and retry them."""


runs.add_command(log)


@runs.command("list")
@click.option("--connection", help="Only runs of this connection.")
@click.option(
    "--status",
    type=click.Choice(["queued", "running", "succeeded", "failed", "blocked", "cancelled"]),
    help="Only runs in this state.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@click.option("--cursor", help="Where the page before ended (next_cursor).")
@json_option
def list_runs(
    connection: str | None, status: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    """List runs, newest first."""
    from atlas.cli.database import begin
    from atlas.ledger import run_documents as ledger

    with begin() as conn:
        page = ledger.page(conn, limit=limit, cursor=cursor, connection=connection, status=status)
    if as_json:
        emit(page)
        return
    table(
        ["run", "connection", "trigger", "status", "created", "finished", "error"],
        [
            [
                r["run_id"],
                r["connection"],
                r["trigger"],
                r["status"],
                r["created_at"],
                r["finished_at"],
                r["error"] or "",
            ]
            for r in page["items"]
        ],
    )
    if page["next_cursor"]:
        note(f"more: --cursor {page['next_cursor']}")


@runs.command()
@click.argument("run_id")
@click.option("--attempts", is_flag=True, help="Also every attempt of every stage.")
@json_option
def show(run_id: str, attempts: bool, as_json: bool) -> None:
    """Show a run: streams, stages, counts, timings, errors."""
    from atlas.cli.database import begin
    from atlas.ledger import run_documents as ledger

    with begin() as conn:
        document = ledger.document(conn, run_id)
        if attempts:
            document["attempts"] = ledger.attempts(conn, run_id)
    if as_json:
        emit(document)
        return
    summary(document)
    if attempts:
        table(
            ["stream", "stage", "holder", "outcome", "error"],
            [
                [a["stream"] or "(all)", a["stage"], a["holder"], a["outcome"], a["error"] or ""]
                for a in document["attempts"]
            ],
            title="attempts",
        )


@runs.command()
@click.argument("run_id")
@json_option
def cancel(run_id: str, as_json: bool) -> None:
    """End a run now; what it committed stays, and its connection is free for the next one."""
    from atlas.cli.database import engine
    from atlas.cli.state import who
    from atlas.settings import settings
    from atlas.sync.cancel import cancel as cancel_run

    cancel_run(engine(), settings(), run_id, actor=who())
    document = fetch(run_id)
    if as_json:
        emit(document)
    else:
        click.echo(f"run {document['run_id']} of {document['connection']}: {document['status']}")


@runs.command()
@click.argument("run_id")
@wait_option
@json_option
def retry(run_id: str, wait: bool | None, as_json: bool) -> None:
    """Have a run that failed, was blocked or cancelled go on where it stopped."""
    from atlas.cli.database import engine
    from atlas.cli.state import who
    from atlas.settings import settings
    from atlas.sync.retry import retry as retry_run

    retry_run(engine(), settings(), run_id, actor=who())
    see(fetch(run_id)["run_id"], wait, as_json)
