"""``atlas quality``: how good datasets are, and the rows that were set aside."""

from __future__ import annotations

import math
from typing import Any

import click

from atlas.cli.output import emit, json_option, note, table

_limit_option = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many."
)


@click.group()
def quality() -> None:
    """Look at how good datasets are, and at the rows that were set aside.

    NAME is a dataset: a table's name in chart and navigate, such as shop_users.
    """


@quality.command()
@click.argument("name")
@click.option("--run", "run_id", metavar="ID", help="As of this run, not of the last.")
@click.option("--checks", is_flag=True, help="Print the checks as SodaCL, to copy and change.")
@json_option
def show(name: str, run_id: str | None, checks: bool, as_json: bool) -> None:
    """Show the scores of dataset NAME and the checks that they are made of."""
    from atlas.cli.database import begin
    from atlas.sync import quality as use

    with begin() as conn:
        found = use.show(conn, name, run_id)
    if as_json:
        emit(found)
    elif checks:
        click.echo(_sodacl(found))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    note(
        f"dataset {found['dataset']} as of run {found['run_id']}"
        + (": blocked" if found["status"] == "blocked" else "")
    )
    scores = dict(found["scores"])
    overall = scores.pop("overall", None)
    found_scores = [*sorted(scores.items()), ("overall", overall)]
    table(["dimension", "score"], [[name, _floor(score)] for name, score in found_scores])
    table(
        ["check", "outcome", "score", "failed rows", "set aside"],
        [
            [
                each["name"],
                each["outcome"],
                _floor(each["score"]),
                each["failed_rows"],
                found["quarantined"].get(each["name"]),
            ]
            for each in found["checks"]
        ],
    )
    named = {each["name"] for each in found["checks"]}
    others = [(check, rows) for check, rows in found["quarantined"].items() if check not in named]
    if others:
        table(["always set aside", "rows"], others)
    if found["quarantined"]:
        note(
            f"{found['in_quarantine']} rows of it are in quarantine now: "
            f"`atlas quality quarantine {found['dataset']}`"
        )


def _floor(score: float | None) -> float | None:
    """A score as it is shown: one that is not whole must not look so."""
    return None if score is None else math.floor(score * 1000) / 1000


def _sodacl(found: dict[str, Any]) -> str:
    return "\n".join(
        [f"checks for {found['stream']}:", *(each["definition"] for each in found["checks"])]
    )


@quality.command()
@click.argument("name")
@_limit_option
@json_option
def history(name: str, limit: int, as_json: bool) -> None:
    """List the scores of dataset NAME, run by run, newest first."""
    from atlas.cli.database import begin
    from atlas.sync import quality as use

    with begin() as conn:
        found = use.history(conn, name, limit=limit)
    if as_json:
        emit({"items": found})
        return
    table(
        ["checked at", "run", "status", "overall", "failed checks"],
        [
            [
                each["checked_at"].isoformat(timespec="seconds"),
                each["run_id"],
                each["status"],
                _floor(each["scores"].get("overall")),
                ", ".join(each["failed"]),
            ]
            for each in found
        ],
    )


@quality.command()
@click.argument("name")
@click.option("--check", help="Only rows that failed this check.")
@click.option("--run", "run_id", metavar="ID", help="Only rows of this run.")
@_limit_option
@json_option
def quarantine(name: str, check: str | None, run_id: str | None, limit: int, as_json: bool) -> None:
    """List the rows of dataset NAME that were set aside, masked, newest first."""
    from atlas.cli.database import begin
    from atlas.sync import quality as use

    with begin() as conn:
        found = use.set_aside(conn, name, limit=limit, run_id=run_id, check=check)
    if as_json:
        emit({"items": found})
        return
    if found:
        note(f"put one right: `atlas quality fix {name} ROW --set COLUMN=VALUE`")
    columns = list(found[0]["row"]) if found else []
    table(
        ["row", "checks", *columns],
        [[str(each["id"]), ", ".join(each["checks"]), *each["row"].values()] for each in found],
    )
