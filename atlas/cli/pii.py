"""``atlas pii``: what was found to be personal, and what people say against it."""

from __future__ import annotations

import sys
from typing import Any

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.cli.runs import see, wait_option
from atlas.cli.state import who
from atlas.errors import UsageError
from atlas.model.personal import Operator, Says

_limit_option = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many."
)


@click.group()
def pii() -> None:
    """Look at what was found to be personal, and say what is and what is not; find, give out and
    erase the data of one person.

    NAME is a dataset: a table's name in chart and navigate, such as shop_users; of remask it is a
    connection.
    """


@pii.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the verdicts on the columns of dataset NAME, and what people say of them."""
    from atlas.cli.database import begin
    from atlas.sync import personal

    with begin() as conn:
        found = personal.show(conn, name)
    if as_json:
        emit(found)
        return
    if found["scanned_at"] is None:
        note(f"dataset {name} has not been scanned yet")
    rows = [
        [
            each["column"],
            each["entity_type"],
            each["score"],
            each["scope"],
            each["operator"],
            each["share"],
            ", ".join(each["examples"]),
            _by(each["evidence"].get("override")),
        ]
        for each in found["findings"]
    ]
    table(
        ["column", "entity type", "score", "scope", "operator", "share", "examples", "said by"],
        rows,
    )
    _words(found["overrides"])


@pii.command()
@click.argument("name")
@click.argument("column")
@click.option("--is", "is_", metavar="TYPE", help="All of it is of this entity type.")
@click.option(
    "--is-not", metavar="TYPE", help="Nothing in it is of this entity type; `any`: of any."
)
@click.option(
    "--operator",
    type=click.Choice([each.value for each in Operator]),
    help="It gets this operator.",
)
@click.option("--withdraw", is_flag=True, help="What was said before holds no more.")
@click.option("--why", required=True, help="The reason, for others to read.")
@json_option
def override(
    name: str,
    column: str,
    is_: str | None,
    is_not: str | None,
    operator: str | None,
    withdraw: bool,
    why: str,
    as_json: bool,
) -> None:
    """Say what COLUMN of dataset NAME is; from the next run on that wins over every verdict.

    COLUMN is a column of the table, or a leaf of a JSON column: address.city, tags[*].
    """
    from atlas.cli.database import begin
    from atlas.sync import personal

    given = [is_ is not None, is_not is not None, operator is not None, withdraw]
    if sum(given) != 1:
        raise UsageError("say one of --is, --is-not, --operator and --withdraw")
    says = (Says.IS, Says.IS_NOT, Says.OPERATOR, Says.WITHDRAWN)[given.index(True)]
    with begin() as conn:
        entry = personal.say(
            conn,
            name,
            column,
            says,
            entity_type=is_ or (None if is_not == "any" else is_not),
            operator=None if operator is None else Operator(operator),
            actor=who(),
            why=why,
        )
    if as_json:
        emit(entry)
        return
    note(f"column {entry['column']} of dataset {name}: said; it holds from the next run on")


@pii.command()
@click.argument("name")
@_limit_option
@json_option
def overrides(name: str, limit: int, as_json: bool) -> None:
    """List all that was ever said of the columns of dataset NAME, newest first."""
    from atlas.cli.database import begin
    from atlas.sync import personal

    with begin() as conn:
        found = personal.said(conn, name, limit=limit)
    if as_json:
        emit(found)
        return
    _words(found)


@pii.command()
@click.argument("name")
@_limit_option
@json_option
def changes(name: str, limit: int, as_json: bool) -> None:
    """List how the verdicts on dataset NAME changed from scan to scan, newest first."""
    from atlas.cli.database import begin
    from atlas.sync import personal

    with begin() as conn:
        found = personal.changes(conn, name, limit=limit)
    if as_json:
        emit(found)
        return
    rows = [
        [
            each["at"],
            each["column"],
            each["entity_type"],
            each["change"],
            *(_shortly(each["detail"][side]) for side in ("from", "to")),
        ]
        for each in found
    ]
    table(["at", "column", "entity type", "change", "from", "to"], rows)


@pii.command("policies")
@json_option
def list_policies(as_json: bool) -> None:
    """List the policies, by name."""
    from atlas.cli.database import begin
    from atlas.sync import policies

    with begin() as conn:
        found = policies.listed(conn)
    if as_json:
        emit({"items": found, "next_cursor": None})
        return
    rows = [
        [
            each["name"],
            _pairs(each["entities"]),
            _pairs(each["columns"]),
            ", ".join(each["connections"]) or "-",
            each["updated_at"],
        ]
        for each in found
    ]
    table(["name", "entity types", "columns", "connections", "changed"], rows)


@pii.command()
@click.argument("policy")
@json_option
def policy(policy: str, as_json: bool) -> None:
    """Show what becomes of each entity type under POLICY, and which connections go by it."""
    from atlas.cli.database import begin
    from atlas.sync import policies

    with begin() as conn:
        found = policies.get(conn, policy)
    if as_json:
        emit(found)
        return
    rows = [["entity type", *pair] for pair in found["operators"].items()]
    rows += [["column", *pair] for pair in found["columns"].items()]
    table(["of", "name", "operator"], rows)
    used = ", ".join(found["connections"]) or "none"
    by = f"; as {found['actor']} had it" if found["actor"] else ""
    note(f"policy {policy}{by}; connections that go by it: {used}")


@pii.command("delete-policy")
@click.argument("policy")
@json_option
def delete_policy(policy: str, as_json: bool) -> None:
    """Delete POLICY, which no connection may go by."""
    from atlas.cli.database import begin
    from atlas.sync import policies

    with begin() as conn:
        policies.delete(conn, policy, actor=who())
    if as_json:
        emit({"name": policy})
        return
    note(f"policy {policy} is deleted")


@pii.command()
@click.argument("name")
@click.argument("column")
@click.option("--why", required=True, help="The reason, for others to read.")
@json_option
def decrypt(name: str, column: str, why: str, as_json: bool) -> None:
    """Read encrypted values of COLUMN of dataset NAME, which come on standard input, one a line.

    Who read them, of which column and why is written into the audit trail first.
    """
    from atlas.cli.database import begin
    from atlas.settings import secret_key, settings
    from atlas.sync.reveal import reveal

    values = [line.rstrip("\n") for line in sys.stdin if line.strip()]
    with begin() as conn:
        secret = secret_key(settings())
        found = reveal(conn, secret, name, column, values, actor=who(), why=why)
    if as_json:
        emit({"values": found})
        return
    for value in found:
        click.echo(value)


@pii.command()
@click.argument("name")
@click.option("--stream", "streams", multiple=True, help="Only this stream; may be repeated.")
@wait_option
@json_option
def remask(name: str, streams: tuple[str, ...], wait: bool | None, as_json: bool) -> None:
    """Make the masked layers of connection NAME anew from explore, by the policy and the words that
    hold now. No source is asked, and no version opens or closes."""
    from atlas.cli.database import engine
    from atlas.sync.request import request_remask

    run_id = request_remask(engine(), name, actor=who(), streams=list(streams) or None)
    see(run_id, wait, as_json)


def _pairs(operators: dict[str, str]) -> str:
    return ", ".join(f"{name}: {operator}" for name, operator in operators.items()) or "-"


def _words(entries: list[dict[str, Any]]) -> None:
    rows = [
        [
            each["at"],
            each["column"],
            " ".join(filter(None, (each["says"], each["entity_type"], each["operator"]))),
            each["actor"],
            each["why"],
        ]
        for each in entries
    ]
    table(["at", "column", "says", "who", "why"], rows)


def _by(said: dict[str, Any] | None) -> str | None:
    return None if said is None else str(said["actor"])


def _shortly(verdict: dict[str, Any] | None) -> str | None:
    return None if verdict is None else f"{verdict['operator']} ({verdict['scope']})"
