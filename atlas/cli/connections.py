"""``atlas apply`` and ``atlas connections``."""

from __future__ import annotations

from pathlib import Path

import click

from atlas.cli.output import emit, json_option, note, table


@click.command()
@click.option(
    "-f",
    "--file",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="YAML file of connections.",
)
@json_option
def apply(path: Path, as_json: bool) -> None:
    """Create or update the connections of a file, all or none."""
    from atlas.cli.database import engine
    from atlas.settings import settings
    from atlas.sync.apply import apply as run

    changes = run(engine(), settings(), path, progress=note)
    if as_json:
        emit({"connections": [{"name": name, "change": change} for name, change in changes]})
        return
    for name, change in changes:
        click.echo(f"{name}: {change}")


@click.group()
def connections() -> None:
    """Look at connections."""


@connections.command("list")
@json_option
def list_connections(as_json: bool) -> None:
    """List the connections."""
    from atlas.cli.database import begin
    from atlas.ledger import connections as ledger

    with begin() as conn:
        items = ledger.names(conn)
    if as_json:
        emit({"items": items, "next_cursor": None})
        return
    table(
        ["name", "source", "streams", "updated"],
        [
            [
                item["name"],
                item["connector"] or item["executable"],
                ", ".join(item["streams"]) if item["streams"] else "all",
                item["updated_at"],
            ]
            for item in items
        ],
    )


@connections.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a connection, without its configuration."""
    from atlas.cli.database import begin
    from atlas.errors import NotFound
    from atlas.ledger import connections as ledger

    with begin() as conn:
        found = [item for item in ledger.names(conn) if item["name"] == name]
    if not found:
        raise NotFound(f"there is no connection {name}: `atlas connections list` shows them")
    if as_json:
        emit(found[0])
        return
    table(["", ""], [[key, value] for key, value in found[0].items() if value is not None])
