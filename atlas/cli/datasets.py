"""``atlas datasets``: the catalog of datasets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.cli.state import who
from atlas.errors import UsageError

if TYPE_CHECKING:
    from atlas.sync.datasets import Changes

_layers = click.Choice(["explore", "chart", "navigate"])


@click.group()
def datasets() -> None:
    """List and search the datasets, look at them, and say what they are.

    NAME is a dataset: a table's name in chart and navigate, such as shop_users, or one table of it:
    chart.shop_users, explore.shop_users_raw.
    """


@datasets.command("list")
@click.option("--layer", type=_layers, help="Only those of this layer.")
@click.option("--connection", help="Only those of this connection.")
@click.option(
    "--search", "words", metavar="WORDS", help='The best match first; "a phrase", -not, or.'
)
@click.option("--tag", help="Only those with this tag.")
@click.option("--owner", help="Only those of this owner.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many."
)
@click.option("--cursor", help="Where the page before ended.")
@json_option
def list_(
    layer: str | None,
    connection: str | None,
    words: str | None,
    tag: str | None,
    owner: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List the tables that hold datasets."""
    from atlas.cli.database import begin
    from atlas.sync import datasets as use

    with begin() as conn:
        found = use.listed(
            conn,
            limit=limit,
            after=cursor,
            layer=layer,
            connection=connection,
            words=words,
            tag=tag,
            owner=owner,
        )
    if as_json:
        emit(found)
        return
    table(
        ["dataset", "about rows", "loaded at", "quality", "personal", "owner", "tags"],
        [
            [
                f"{each['layer']}.{each['name']}",
                each["estimated_rows"],
                _time(each["loaded_at"]),
                _floor(each["quality_score"]),
                ", ".join(each["personal"]),
                each["owner"],
                ", ".join(each["tags"]),
            ]
            for each in found["items"]
        ],
    )
    if found["next_cursor"] is not None:
        note(f"there are more: --cursor {found['next_cursor']}")


@datasets.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what is known and said of dataset NAME."""
    from atlas.cli.database import begin
    from atlas.sync import datasets as use

    with begin() as conn:
        found = use.show(conn, name)
    if as_json:
        emit(found)
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    said = [("description", found["description"]), ("owner", found["owner"])]
    if found["source_description"] not in (None, found["description"]):
        said.append(("description of the source", found["source_description"]))
    said.append(("tags", ", ".join(found["tags"]) or None))
    if found["quality"] is not None:
        said.append(
            ("quality", f"{_floor(found['quality']['score'])} ({found['quality']['status']})")
        )
    note(f"dataset {found['dataset']}: stream {found['stream']} of {found['connection']}")
    table(["", "what"], said)
    table(
        ["layer", "table", "rows", "loaded at"],
        [
            [each["layer"], each["name"], _rows(each), _time(each["loaded_at"])]
            for each in found["layers"]
        ],
    )
    table(
        ["column", "type", "personal", "description"],
        [
            [
                each["name"],
                each["type"],
                ", ".join(_personal(each["name"], one) for one in each["personal"]),
                each["description"],
            ]
            for each in found["columns"]
        ],
    )
    table(
        ["run", "status", "created at", "read", "promoted", "quarantined"],
        [
            [each["run_id"], each["status"], _time(each["created_at"]), *each["rows"].values()]
            for each in found["runs"]
        ],
    )


def _rows(layer: dict[str, Any]) -> str | None:
    """Exact, or as PostgreSQL estimates it and saying so."""
    if layer["rows"] is not None:
        return f"{layer['rows']:,}"
    return None if layer["estimated_rows"] is None else f"about {layer['estimated_rows']:,}"


@datasets.command()
@click.argument("name")
@click.option(
    "--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="How many rows."
)
@click.option("--why", help="Of explore, which is not masked: the reason, for others to read.")
@json_option
def sample(name: str, limit: int, why: str | None, as_json: bool) -> None:
    """Show some rows of dataset NAME: of chart, masked, unless NAME says another layer."""
    from atlas.cli.database import begin
    from atlas.sync import datasets as use

    with begin() as conn:
        # Whoever has the command line has the database.
        found = use.sample(conn, name, limit=limit, actor=who(), may_unmask=True, why=why)
    if as_json:
        emit(found)
        return
    columns = list(found["items"][0]["row"]) if found["items"] else []
    table(
        columns,
        [
            [
                f"{value}…" if column in each["cut"] else value
                for column, value in each["row"].items()
            ]
            for each in found["items"]
        ],
    )


@datasets.command()
@click.argument("name")
@click.option("--column", help="The description is of this column.")
@click.option("--description", metavar="TEXT", help="What it is; empty: what the source says.")
@click.option("--owner", help="Who answers for it; empty: nobody.")
@click.option("--tag", multiple=True, help="Add a tag.")
@click.option("--untag", multiple=True, help="Take a tag away.")
@json_option
def describe(
    name: str,
    column: str | None,
    description: str | None,
    owner: str | None,
    tag: tuple[str, ...],
    untag: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what dataset NAME is, or a column of it: for people to read, and to be found by."""
    from atlas.cli.database import begin
    from atlas.sync import datasets as use

    changes: Changes = {}
    if column is not None:
        if description is None or owner is not None or tag or untag:
            raise UsageError("a column takes --description, and nothing else")
        changes["columns"] = {column: description}
    elif description is not None:
        changes["description"] = description
    if owner is not None:
        changes["owner"] = owner
    if tag:
        changes["tag"] = tag
    if untag:
        changes["untag"] = untag
    with begin() as conn:
        found = use.describe(conn, name, changes, actor=who())
    if as_json:
        emit(found)
        return
    note(f"dataset {found['dataset']}: said; `atlas datasets show {found['dataset']}` shows it")


def _time(at: Any) -> str | None:
    return None if at is None else str(at.isoformat(timespec="seconds"))


def _floor(score: float | None) -> float | None:
    """A score as it is shown: one that is not whole must not look so."""
    return None if score is None else math.floor(score * 1000) / 1000


def _personal(column: str, found: dict[str, Any]) -> str:
    """What was found, with the place in a nested value where that is; and what is done to it."""
    place = found["column"].removeprefix(column)
    return f"{place} {found['entity_type']} ({found['operator']})".lstrip()
