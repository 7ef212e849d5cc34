"""``atlas demo``: `atlas up`, `apply` and `sync` in one, on a source that needs no account."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from atlas.cli.output import emit, json_option, note, table

CONNECTION = "demo"
FILE = Path(__file__).with_name("demo.yml")


@click.command()
@json_option
def demo(as_json: bool) -> None:
    """Sync the real connector source-faker through every stage, and print what came of it."""
    from atlas.cli.database import engine
    from atlas.cli.runs import follow, start, summary
    from atlas.settings import settings
    from atlas.sync.apply import apply

    begun = time.monotonic()
    with _stack():
        for name, change in apply(engine(), settings(), FILE, progress=note).connections:
            note(f"connection {name}: {change}")
        document = follow(start(CONNECTION, None, False), quiet=as_json)
        tables = _count(document)
    if as_json:
        emit({"run": document, "tables": tables})
    else:
        summary(document)
        table(
            ["stream", "explore", "chart", "navigate", "current", "masked columns"],
            [
                [
                    t["stream"],
                    t["explore"],
                    t["chart"],
                    t["navigate"],
                    t["current"],
                    ", ".join(t["masked"]) or "-",
                ]
                for t in tables
            ],
            title="rows in the tables now, counted by SQL",
        )
        _explain(document, tables, time.monotonic() - begun)
    if document["status"] != "succeeded":
        sys.exit(1)


@contextlib.contextmanager
def _stack() -> Iterator[None]:
    """The stack that runs here, or one of our own that is stopped at the end."""
    from atlas.cli.stack import prepare
    from atlas.local import stack
    from atlas.settings import settings

    if stack.status(settings())["ready"]:
        note("using the stack that is running")
        yield
        return
    note("starting the stack (PostgreSQL, Redis, web, workers, beat, Flower)")
    stack.up(settings(), detach=True, workers=1, prepare=prepare, on_event=note)
    try:
        yield
    finally:
        note("stopping the stack")
        stack.down(settings())


def _count(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands in the layers' tables for the streams of this run."""
    from atlas.cli.database import begin
    from atlas.ledger import datasets

    with begin() as conn:
        return [
            {
                "stream": stream["stream"],
                **datasets.counts(
                    conn, document["connection"], stream["stream"], stream["namespace"]
                ),
            }
            for stream in document["streams"]
        ]


def _explain(document: dict[str, Any], tables: list[dict[str, Any]], seconds: float) -> None:
    read = sum(stream["rows"]["explore"] for stream in document["streams"])
    stored = sum(t["explore"] for t in tables)
    modes = sorted({stream["sync_mode"] for stream in document["streams"]})
    if stored > read:
        click.echo(
            f"This sync was {' and '.join(modes)}: it went on from the state of the sync before, "
            f"and the source had {read:,} new rows. {stored:,} rows stand in explore."
        )
    else:
        click.echo(
            f"This was the first sync ({' and '.join(modes)}): {read:,} rows. "
            "Run it again, and it goes on from the state it has kept."
        )
    click.echo(
        f"It took {seconds:.0f} s. Look around:  atlas up  ·  "
        f"atlas runs show {document['run_id']}  ·  psql on the database_url of `atlas status`."
    )
