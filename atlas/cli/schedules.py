"""``atlas schedules``: when connections are due, and pausing them."""

from __future__ import annotations

from typing import Any

import click

from atlas.cli.output import emit, json_option, table
from atlas.cli.state import who

_PAGE = 200


@click.group()
def schedules() -> None:
    """See when connections are due, pause and resume their schedules."""


@schedules.command("list")
@json_option
def list_schedules(as_json: bool) -> None:
    """List the schedules of all connections."""
    from atlas.cli.database import begin
    from atlas.ledger import schedules as ledger

    items: list[dict[str, Any]] = []
    with begin() as conn:
        while page := ledger.page(
            conn, limit=_PAGE, after=items[-1]["connection"] if items else None
        ):
            items += page
    if as_json:
        emit({"items": items})
        return
    table(
        ["connection", "schedule", "timezone", "next", "last fired", "last run", "last skipped"],
        [
            [
                item["connection"],
                item["cron"] or f"every {item['every']}",
                item["timezone"] or "",
                "paused" if item["paused"] else item["due_at"] or "over",
                item["last_fired_at"] or "",
                (item["last_run"] or {}).get("status") or "",
                item["last_skipped_at"] or "",
            ]
            for item in items
        ],
    )


@schedules.command("next")
@click.argument("name")
@json_option
def upcoming(name: str, as_json: bool) -> None:
    """Show the next times at which connection NAME is due."""
    from atlas.cli.database import begin
    from atlas.ledger import schedules as ledger

    with begin() as conn:
        found = ledger.find(conn, name)
    if as_json:
        emit(found)
        return
    for each in found["next"]:
        click.echo(each)


@schedules.command()
@click.argument("name")
@json_option
def pause(name: str, as_json: bool) -> None:
    """Pause the schedule of connection NAME; it can still be synced by hand."""
    _change(name, {"paused": True}, as_json)


@schedules.command()
@click.argument("name")
@json_option
def resume(name: str, as_json: bool) -> None:
    """Resume the schedule of connection NAME; what was due meanwhile is not made up for."""
    _change(name, {"paused": False}, as_json)


def _change(name: str, values: dict[str, Any], as_json: bool) -> None:
    from atlas.cli.database import begin
    from atlas.settings import settings
    from atlas.sync import schedules as use

    with begin() as conn:
        found = use.change(conn, settings(), name, values, actor=who())
    if as_json:
        emit(found)
    else:
        due = found["due_at"]
        click.echo(f"{name}: " + ("paused" if found["paused"] else f"due at {due or 'no time'}"))
