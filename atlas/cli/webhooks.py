"""``atlas webhooks``: who is told of what happens."""

from __future__ import annotations

import sys
from typing import Any

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.errors import UsageError
from atlas.model.webhooks import Event, Kind

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
        [
            "name",
            "kind",
            "to",
            "events",
            "quiet",
            "enabled",
            "waiting",
            "delivered",
            "failed in a row",
        ],
        [
            [
                each["name"],
                each["kind"],
                each["url"] or ", ".join(each["addresses"]),
                ", ".join(each["events"]),
                "{from}-{to} {timezone}".format(**each["quiet_hours"])
                if each["quiet_hours"]
                else None,
                "yes" if each["enabled"] else f"no: {each['reason'] or 'somebody disabled it'}",
                each["waiting"],
                each["delivered_at"],
                each["failed_attempts"],
            ]
            for each in items
        ],
    )


def _of_people(command: Any) -> Any:
    """The options of what people are told."""
    for option in (
        click.option("--timezone", help="Of --quiet (UTC): Europe/Copenhagen."),
        click.option(
            "--quiet",
            metavar="HOURS",
            help="Local hours in which they are left alone, such as 22:00-07:00, or off.",
        ),
        click.option(
            "--group-seconds",
            type=click.IntRange(0, 3600),
            help="What happens within them is one message (60).",
        ),
        click.option("--to", "addresses", multiple=True, help="Address of mail; several times."),
    ):
        command = option(command)
    return command


@webhooks.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([each.value for each in Kind]),
    default=Kind.WEBHOOK.value,
    help="A program (webhook), or people, in Slack or by mail.",
)
@click.option("--url", help="Where messages are posted to; -: asked for, or read from stdin.")
@_of_people
@click.option(
    "--event", "events", type=_event, multiple=True, required=True, help="What it is told of."
)
@json_option
def create(
    name: str, kind: str, url: str | None, events: tuple[str, ...], as_json: bool, **people: Any
) -> None:
    """Create a webhook. The secret that signs its messages is shown once and never again; the URL
    of Slack, a secret itself, is asked for, or read from stdin where that is no terminal."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.settings import settings
    from atlas.sync import webhooks as use

    given = _said(**people)
    if kind == Kind.SLACK.value:
        url = url or "-"
    with begin() as conn:
        made = use.create(
            conn, settings(), name, _url(url, kind), events, actor=who(), kind=kind, **given
        )
    if as_json:
        emit(made)
        return
    if made["secret"] is None:
        note(f"webhook {name} is told from now on")
        return
    note(f"webhook {name} is told from now on; its secret is shown this once:")
    click.echo(made["secret"])


@webhooks.command()
@click.argument("name")
@click.option("--url", help="Where messages are posted to from now on; -: as when it is made.")
@_of_people
@click.option("--event", "events", type=_event, multiple=True, help="All that it is told of.")
@click.option("--enable/--disable", "enabled", default=None, help="Have it told, or not.")
@json_option
def change(
    name: str,
    url: str | None,
    events: tuple[str, ...],
    enabled: bool | None,
    as_json: bool,
    **people: Any,
) -> None:
    """Change a webhook; what is left out stays."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import webhooks as ledger
    from atlas.settings import settings
    from atlas.sync import webhooks as use

    said = {"events": list(events) or None, "enabled": enabled}
    changes = {part: value for part, value in said.items() if value is not None} | _said(**people)
    if url is not None:
        with begin() as conn:
            kind = ledger.get(conn, name)["kind"]
        changes["url"] = _url(url, kind)
    with begin() as conn:
        changed = use.change(conn, settings(), name, changes, actor=who())
    if as_json:
        emit(changed)
    else:
        note(f"webhook {name} is {'enabled' if changed['enabled'] else 'disabled'}")


def _said(
    addresses: tuple[str, ...], group_seconds: int | None, quiet: str | None, timezone: str | None
) -> dict[str, Any]:
    """What was said of people; what was left out is not in it."""
    if timezone is not None and quiet in (None, "off"):
        raise UsageError("--timezone: it is that of --quiet: say which hours, too")
    given: dict[str, Any] = {}
    if addresses:
        given["addresses"] = list(addresses)
    if group_seconds is not None:
        given["group_seconds"] = group_seconds
    if quiet is not None:
        start, _, end = quiet.partition("-")
        given["quiet_hours"] = (
            None if quiet == "off" else {"from": start, "to": end, "timezone": timezone or "UTC"}
        )
    return given


def _url(text: str | None, kind: str) -> str | None:
    """The URL that was given; one that is a secret stands in no command line, where all can read
    it."""
    if text is None:
        return None
    if text != "-":
        if kind == Kind.SLACK.value:
            raise UsageError("--url: that of Slack is a secret: say - and give it on stdin")
        return text
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    given: str = click.prompt("URL", hide_input=True, err=True)
    return given.strip()


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
