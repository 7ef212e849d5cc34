"""``atlas maintenance``: the retention that is due, now instead of within the hour."""

from __future__ import annotations

import sys

import click

from atlas.cli.output import emit, json_option, table


@click.command("maintenance")
@json_option
def maintenance(as_json: bool) -> None:
    """Delete what is older than the settings say, and print how much.

    Beat does the same every hour. Exit 1 if something was left, such as rows that a run is at work
    on.
    """
    from atlas.cli.database import engine
    from atlas.settings import settings
    from atlas.sync.maintenance import maintain

    found = maintain(engine(), settings(), patience=float("inf"))
    rows = {name: count for name, count in found._asdict().items() if name != "left"}
    if as_json:
        emit({"deleted": rows, "left": found.left})
    else:
        table(["deleted from", "rows"], [[name, count] for name, count in rows.items()])
        for each in found.left:
            click.echo(each, err=True)
    if found.left:
        sys.exit(1)
