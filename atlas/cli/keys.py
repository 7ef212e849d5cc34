"""``atlas keys``: API keys and their roles, the secret key, and the key of tokens."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.roles import Role


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
    """Create, list and revoke API keys; rotate the secret key and that of tokens."""


@keys.command()
@click.option("--name", required=True, help="What the key is for; unique.")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="; ".join(f"{role} {role.about}" for role in Role) + ".",
)
@click.option("--expires", type=_Days(), help="Days until it expires, such as 90d.")
@json_option
def create(name: str, role: str, expires: timedelta | None, as_json: bool) -> None:
    """Create a key. It is shown once and never again."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import keys as ledger

    with begin() as conn:
        made = ledger.create(conn, name, role, expires, actor=who())
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
        ["id", "name", "role", "created", "expires", "revoked", "last used"],
        [
            [
                *(k["id"], k["name"], k["role"], k["created_at"]),
                *(k["expires_at"], k["revoked_at"], k["last_used_at"]),
            ]
            for k in items
        ],
    )


@keys.command()
@click.argument("key_id")
@json_option
def revoke(key_id: str, as_json: bool) -> None:
    """Make a key invalid from now on."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import keys as ledger

    with begin() as conn:
        ledger.revoke(conn, key_id, actor=who())
    if as_json:
        emit({"id": key_id, "revoked": True})
    else:
        note(f"key {key_id} is revoked")


@keys.command("rotate-secret")
@click.option(
    "--finish",
    "last",
    is_flag=True,
    help="The second step where ATLAS_SECRET_KEY is set: shut out all keys but the present one.",
)
@json_option
def rotate_secret(last: bool, as_json: bool) -> None:
    """Replace the secret key. Tokens, row hashes and history stay as they are."""
    from atlas.cli.database import begin, engine
    from atlas.cli.state import who
    from atlas.errors import UsageError
    from atlas.ledger import audit, rotation
    from atlas.ledger.database import classified
    from atlas.settings import secret_key, settings

    current = settings()
    new = current.secret_key_new
    count = None
    if last:
        with begin() as conn:
            count = rotation.finish(conn, secret_key(current))
    elif current.secret_key is None:
        from atlas.local import secret_file

        secret_key(current)  # an error that helps, where there is no file
        bound = engine()
        with classified(bound.url.render_as_string()):
            count = secret_file.rotate(bound, current.home, new)
    elif new is None or new == current.secret_key:
        raise UsageError(
            "set ATLAS_SECRET_KEY_NEW to another key of at least 32 random characters "
            "(openssl rand -hex 32), beside the present ATLAS_SECRET_KEY"
        )
    else:
        with begin() as conn:
            rotation.admit(conn, secret_key(current), new.encode())
    with begin() as conn:
        audit.put(
            conn,
            who(),
            "secret-key.finish" if count is not None else "secret-key.admit",
            "secret key",
        )
    if as_json:
        emit({"finished": count is not None, "configurations": count})
    elif count is not None:
        note(f"the secret key is the only one; {count} configurations are encrypted anew")
    else:
        note(
            "both keys open the database now: start every process with the new one as "
            "ATLAS_SECRET_KEY, then run `atlas keys rotate-secret --finish`"
        )


@keys.command("rotate-tokens")
@click.option(
    "--finish",
    "last",
    is_flag=True,
    help="No new key: go on with what is left of the last one, then forget the keys before it.",
)
@json_option
def rotate_tokens(last: bool, as_json: bool) -> None:
    """Replace what tokens come from, and have every connection masked anew with it. Until its
    tables are, a connection goes on with the tokens that it has."""
    from atlas.cli.database import engine
    from atlas.cli.state import who
    from atlas.settings import settings
    from atlas.sync import token_keys

    do = token_keys.finish if last else token_keys.rotate
    found = do(engine(), settings(), actor=who())
    if as_json:
        emit(found)
        return
    for name, run_id in found["runs"].items():
        note(f"connection {name}: run {run_id} masks it anew")
    for name, why in found["left"].items():
        note(f"connection {name} keeps its tokens for now: {why}")
    if found["keys"] == 1:
        note("all tokens come from one key")
    else:
        note(
            f"tokens come from {found['keys']} keys: once these runs are done, "
            "`atlas keys rotate-tokens --finish` forgets the older ones"
        )
