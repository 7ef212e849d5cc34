"""``atlas keys``: API keys and their roles."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from atlas.cli.output import emit, json_option, note, table


class _Days(click.ParamType[timedelta]):
    name = "days"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        text = str(value)
        if not re.fullmatch(r"[1-9][0-9]{0,4}d", text):
            self.fail(f"{text!r}: write a number of days such as 90d", param, ctx)
        return timedelta(days=int(text[:-1]))


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option("--name", required=True, help="What the key is for; unique.")
@click.option(
    "--role",
    required=True,
    type=click.Choice(["viewer", "operator", "privacy", "admin"]),
    help="viewer reads, masked; operator also runs and configures; privacy also unmasks and "
    "erases; admin everything.",
)
@click.option("--expires", type=_Days(), help="Days until it expires, such as 90d.")
@json_option
def create(name: str, role: str, expires: timedelta | None, as_json: bool) -> None:
    """Create a key. It is shown once and never again."""
    from atlas.cli.database import begin
    from atlas.ledger import keys as ledger

    with begin() as conn:
        made = ledger.create(conn, name, role, expires)
    if as_json:
        emit(made)
        return
    note(f"key {made['id']} ({made['role']}) is shown this once; send it as a bearer token:")
    click.echo(made["key"])


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List the keys."""
    from atlas.cli.database import begin
    from atlas.ledger import keys as ledger

    with begin() as conn:
        items = ledger.all_keys(conn)
    if as_json:
        emit({"items": items, "next_cursor": None})
        return
    table(
        ["id", "name", "role", "created", "expires", "revoked"],
        [
            [k["id"], k["name"], k["role"], k["created_at"], k["expires_at"], k["revoked_at"]]
            for k in items
        ],
    )


@keys.command()
@click.argument("key_id")
@json_option
def revoke(key_id: str, as_json: bool) -> None:
    """Make a key invalid from now on."""
    from atlas.cli.database import begin
    from atlas.ledger import keys as ledger

    with begin() as conn:
        ledger.revoke(conn, key_id)
    if as_json:
        emit({"id": key_id, "revoked": True})
    else:
        note(f"key {key_id} is revoked")
