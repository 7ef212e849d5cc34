"""``atlas apply`` and ``atlas connections``."""

from __future__ import annotations

from pathlib import Path

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.cli.state import who


@click.command()
@click.option(
    "-f",
    "--file",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="YAML file of connections.",
)
@click.option(
    "--reset-state",
    is_flag=True,
    help="Forget the state of streams whose cursor or primary key the file changes.",
)
@json_option
def apply(path: Path, reset_state: bool, as_json: bool) -> None:
    """Create or update the connections and policies of a file, all or none."""
    from atlas.cli.database import engine
    from atlas.settings import settings
    from atlas.sync.apply import apply as run

    done = run(engine(), settings(), path, progress=note, actor=who(), reset_state=reset_state)
    if as_json:
        emit(
            {
                "connections": [{"name": name, "change": word} for name, word in done.connections],
                "policies": [{"name": name, "change": word} for name, word in done.policies],
            }
        )
        return
    for name, change in done.policies:
        click.echo(f"policy {name}: {change}")
    for name, change in done.connections:
        click.echo(f"{name}: {change}")


@click.group()
def connections() -> None:
    """Look at connections, and delete them."""


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
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@json_option
def changes(name: str, limit: int, as_json: bool) -> None:
    """Show what changed at the source of a connection, newest first."""
    from atlas.cli.database import begin
    from atlas.ledger import connections as ledger
    from atlas.ledger import source_changes

    with begin() as conn:
        ledger.selects(conn, name)  # or there is none of this name
        found = source_changes.listed(conn, name, limit=limit)
    if as_json:
        emit({"items": found, "next_cursor": None})
        return
    table(
        ["at", "stream", "column", "change", "from", "to", "run"],
        [
            [
                item["at"],
                item["stream"],
                item["property"],
                item["change"],
                item["detail"].get("from"),
                item["detail"].get("to"),
                item["run_id"],
            ]
            for item in found
        ],
    )


@connections.command()
@click.argument("name")
@json_option
def accept(name: str, as_json: bool) -> None:
    """Have the next sync take the source as it is, whatever schema_changes says."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import connections as ledger
    from atlas.ledger import source_changes

    with begin() as conn:
        source_changes.accept(conn, ledger.lock(conn, name), actor=who())
    if as_json:
        emit({"name": name, "accepted": True})
        return
    click.echo(f"{name}: the next sync takes its source as it is")


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


@connections.command()
@click.argument("name")
@click.option(
    "--drop-data",
    is_flag=True,
    help="Also drop its tables in every layer, and what is known of its runs.",
)
@json_option
def delete(name: str, drop_data: bool, as_json: bool) -> None:
    """Delete a connection; its tables stay, unless they are to go."""
    from atlas.cli.database import engine
    from atlas.cli.state import who
    from atlas.sync import edit

    dropped = edit.delete(engine(), name, actor=who(), drop_data=drop_data)
    if as_json:
        emit({"name": name, "dropped_tables": dropped})
        return
    note(f"connection {name} is deleted")
    for table_name in dropped:
        click.echo(table_name)
