"""``atlas webhooks``: who is told of what happens."""

from __future__ import annotations

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.model.webhooks import Event

_event = click.Choice([each.value for each in Event])


@click.group()
def webhooks() -> None:
    """Have others told when runs end, sources change or personal data are found."""


@webhooks.command("list")
@json_option
def list_webhooks(as_json: bool) -> None:
    """List the webhooks."""
    from atlas.cli.database import begin
    from atlas.ledger import webhooks as ledger

    with begin() as conn:
        items = ledger.listed(conn)
    if as_json:
        emit({"items": items, "next_cursor": None})
        return
    table(
        ["name", "url", "events", "enabled", "waiting", "delivered", "failed in a row"],
        [
            [
                each["name"],
                each["url"],
                ", ".join(each["events"]),
                "yes" if each["enabled"] else f"no: {each['reason'] or 'somebody disabled it'}",
                each["waiting"],
                each["delivered_at"],
                each["failed_attempts"],
            ]
            for each in items
        ],
    )


@webhooks.command()
@click.argument("name")
@click.option("--url", required=True, help="Where messages are posted to.")
@click.option(
    "--event", "events", type=_event, multiple=True, required=True, help="What it is told of."
)
@json_option
def create(name: str, url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Create a webhook. The secret that signs its messages is shown once and never again."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.settings import settings
    from atlas.sync import webhooks as use

    with begin() as conn:
        made = use.create(conn, settings(), name, url, events, actor=who())
    if as_json:
        emit(made)
        return
    note(f"webhook {name} is told from now on; its secret is shown this once:")
    click.echo(made["secret"])


@webhooks.command()
@click.argument("name")
@click.option("--url", help="Where messages are posted to from now on.")
@click.option("--event", "events", type=_event, multiple=True, help="All that it is told of.")
@click.option("--enable/--disable", "enabled", default=None, help="Have it told, or not.")
@json_option
def change(
    name: str, url: str | None, events: tuple[str, ...], enabled: bool | None, as_json: bool
) -> None:
    """Change a webhook; what is left out stays."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.settings import settings
    from atlas.sync import webhooks as use

    said = {"url": url, "events": list(events) or None, "enabled": enabled}
    changes = {part: value for part, value in said.items() if value is not None}
    with begin() as conn:
        changed = use.change(conn, settings(), name, changes, actor=who())
    if as_json:
        emit(changed)
    else:
        note(f"webhook {name} is {'enabled' if changed['enabled'] else 'disabled'}")


@webhooks.command()
@click.argument("name")
@json_option
def delete(name: str, as_json: bool) -> None:
    """Delete a webhook, with all that waits for it."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import webhooks as ledger

    with begin() as conn:
        ledger.delete(conn, name, actor=who())
    if as_json:
        emit({"name": name})
    else:
        note(f"webhook {name} is deleted")


@webhooks.command()
@click.argument("name")
@json_option
def test(name: str, as_json: bool) -> None:
    """Send a webhook a message that means nothing; `atlas webhooks deliveries` tells what became
    of it."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import webhooks as ledger

    with begin() as conn:
        made = ledger.test(conn, name, actor=who())
    if as_json:
        emit(made)
    else:
        note(f"message {made['message_id']} waits: see `atlas webhooks deliveries {name}`")


@webhooks.command()
@click.argument("name")
@click.option("--limit", default=20, type=click.IntRange(1, 200), help="Most messages (20).")
@json_option
def deliveries(name: str, limit: int, as_json: bool) -> None:
    """List what a webhook was told, newest first, and what became of it."""
    from atlas.cli.database import begin
    from atlas.ledger import webhooks as ledger

    with begin() as conn:
        items = ledger.deliveries(conn, name, limit=limit)
    if as_json:
        emit({"items": items, "next_cursor": None})
        return
    table(
        ["message", "event", "created", "status", "attempts", "last answer"],
        [
            [
                each["message_id"],
                each["kind"],
                each["created_at"],
                each["status"],
                len(each["log"]),
                (each["log"][-1]["status"] or each["log"][-1]["error"]) if each["log"] else None,
            ]
            for each in items
        ],
    )
