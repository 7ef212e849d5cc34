"""``atlas users``: the people who log in, their roles, and links that set a password."""

from __future__ import annotations

import sys
from typing import Any

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.roles import Role

_ROLE = click.Choice([role.value for role in Role])


@click.group()
def users() -> None:
    """Create, list and disable those who log in; set their roles and passwords."""


@users.command()
@click.option("--name", required=True, help="What they log in with; small letters, unique.")
@click.option("--role", required=True, type=_ROLE, help="As of a key: what they may do.")
@click.option(
    "--link",
    "by_link",
    is_flag=True,
    help="Ask for no password: print a link with which they choose their own, once.",
)
@json_option
def create(name: str, role: str, by_link: bool, as_json: bool) -> None:
    """Create a user. The password is asked for, or read from stdin where that is no terminal."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import users as ledger

    password = None if by_link else _password()
    with begin() as conn:
        made: dict[str, Any] = ledger.create(conn, name, role, password, actor=who())
        if by_link:
            made = {**made, "link": _address(ledger.link(conn, name, actor=who()))}
    if as_json:
        emit(made)
        return
    note(f"user {name} ({role}) is there")
    if by_link:
        _show(made["link"])


@users.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """List the users."""
    from atlas.cli.database import begin
    from atlas.ledger import users as ledger

    with begin() as conn:
        items = ledger.all_users(conn)
    if as_json:
        emit({"items": items, "next_cursor": None})
        return
    table(
        ["name", "role", "created", "last login", "disabled"],
        [
            [u["name"], u["role"], u["created_at"], u["last_login_at"], u["disabled_at"]]
            for u in items
        ],
    )


@users.command("set-role")
@click.argument("name")
@click.argument("role", type=_ROLE)
@json_option
def set_role(name: str, role: str, as_json: bool) -> None:
    """Give user NAME another role. They are logged out everywhere."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import users as ledger

    with begin() as conn:
        ledger.set_role(conn, name, role, actor=who())
        found = ledger.get(conn, name)
    _tell(found, f"user {name} has role {role}", as_json)


@users.command()
@click.argument("name")
@json_option
def disable(name: str, as_json: bool) -> None:
    """Shut user NAME out, from now on and everywhere."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import users as ledger

    with begin() as conn:
        ledger.disable(conn, name, actor=who())
        found = ledger.get(conn, name)
    _tell(found, f"user {name} is disabled", as_json)


@users.command()
@click.argument("name")
@json_option
def enable(name: str, as_json: bool) -> None:
    """Let user NAME in again."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import users as ledger

    with begin() as conn:
        ledger.enable(conn, name, actor=who())
        found = ledger.get(conn, name)
    _tell(found, f"user {name} may log in", as_json)


@users.command()
@click.argument("name")
@click.option(
    "--link",
    "by_link",
    is_flag=True,
    help="Ask for no password: print a link with which they choose their own, once.",
)
@json_option
def reset(name: str, by_link: bool, as_json: bool) -> None:
    """Give user NAME another password, asked for or read from stdin; end the wait after too many
    wrong ones."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import logins
    from atlas.ledger import users as ledger
    from atlas.settings import secret_key, settings

    password = None if by_link else _password()
    with begin() as conn:
        if password is None:
            link = _address(ledger.link(conn, name, actor=who()))
        else:
            ledger.set_password(conn, name, password, actor=who())
        logins.forget(conn, secret_key(settings()), name)
        found = ledger.get(conn, name)
    if by_link:
        if as_json:
            emit({**found, "link": link})
        else:
            _show(link)
        return
    _tell(found, f"user {name} has the new password, and is logged out everywhere", as_json)


@users.command("setup-link")
@json_option
def setup_link(as_json: bool) -> None:
    """Print a link that makes the first user, an admin. The one before it is void."""
    from atlas.cli.database import begin
    from atlas.cli.state import who
    from atlas.ledger import users as ledger

    with begin() as conn:
        link = _address(ledger.link(conn, None, actor=who()))
    if as_json:
        emit({"link": link})
    else:
        _show(link)


def first_link() -> str | None:
    """A new link that makes the first user, or None: there is one."""
    from atlas.cli.database import begin
    from atlas.ledger import users as ledger

    with begin() as conn:
        ledger.lock(conn)
        if ledger.any_user(conn):
            return None
        return _address(ledger.link(conn, None, actor="atlas up"))


def _address(text: str) -> str:
    from atlas.settings import embedded_state, settings

    current = settings()
    base = current.public_url or embedded_state(current).get("api_url")
    if base is None:
        host = f"[{current.host}]" if ":" in current.host else current.host
        base = f"http://{host}:{current.port}"
    return f"{base}/setup?token={text}"


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    given: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _show(link: str) -> None:
    note("this link is shown this once; it works once, within 24 hours:")
    click.echo(link)


def _tell(found: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        emit(found)
    else:
        note(text)
