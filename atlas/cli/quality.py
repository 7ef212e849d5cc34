"""``atlas quality``: how good datasets are, and the rows that were set aside."""

from __future__ import annotations

import math
from typing import Any

import click

from atlas.cli.output import emit, json_option, note, table

_limit_option = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many."
)

_SHOWN = 10
"""Ids of rows that are shown of a check; --json has up to a hundred."""


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
        ["check", "outcome", "score", "failed rows", "set aside", "gate"],
        [
            [
                each["name"],
                each["outcome"],
                _floor(each["score"]),
                each["failed_rows"],
                found["quarantined"].get(each["name"]),
                each["gate"],
            ]
            for each in found["checks"]
        ],
    )
    for each in found["checks"]:
        if each["rows"]:
            some = ", ".join(map(str, each["rows"][:_SHOWN]))
            more = " and more" if len(each["rows"]) > _SHOWN else ""
            note(f"{each['name']}: _atlas_id {some}{more} in explore")
    for each in found["checks"]:
        if each["reason"]:
            note(f"{each['name']} could not be evaluated: {each['reason']}")
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
@click.option("--check", help="Tell how this check went, too.")
@_limit_option
@json_option
def history(name: str, check: str | None, limit: int, as_json: bool) -> None:
    """List the scores of dataset NAME, run by run, newest first.

    A score that is unusually low by the runs before it is marked.
    """
    from atlas.cli.database import begin
    from atlas.sync import quality as use

    with begin() as conn:
        found = use.history(conn, name, limit=limit, check=check)
    if as_json:
        emit({"items": found})
        return
    dimensions = sorted({name for each in found for name in each["scores"]} - {"overall"})
    columns = ["checked at", "run", "status", *dimensions, "overall", "failed checks"]
    table(
        [*columns, check] if check else columns,
        [
            [
                each["checked_at"].isoformat(timespec="seconds"),
                each["run_id"],
                each["status"],
                *(_marked(each, dimension) for dimension in (*dimensions, "overall")),
                ", ".join(each["failed"]),
                *([_went(each["check"])] if check else []),
            ]
            for each in found
        ],
    )
    if any(each["anomalies"] for each in found):
        note("low: unusually low by the runs before")


def _marked(entry: dict[str, Any], dimension: str) -> str | None:
    score = _floor(entry["scores"].get(dimension))
    if score is None:
        return None
    return f"{score:.3f} (low)" if dimension in entry["anomalies"] else f"{score:.3f}"


def _went(check: dict[str, Any] | None) -> str | None:
    if check is None:
        return None
    rows = "" if check["failed_rows"] is None else f", {check['failed_rows']} rows"
    return f"{check['outcome']}{rows}"


@quality.command()
@click.argument("name")
@json_option
def suggest(name: str, as_json: bool) -> None:
    """Print checks that the rows of dataset NAME suggest, as SodaCL.

    Each stands below the reason for it. They hold for the rows that are there; whether they are
    meant to is yours to say: put those that are into a file, and name it as the connection's
    quality.checks.
    """
    from atlas.cli.database import begin
    from atlas.sync import quality as use

    with begin() as conn:
        found = use.suggest(conn, name)
    if as_json:
        emit(found)
    elif found["sodacl"]:
        click.echo(found["sodacl"], nl=False)
    else:
        note(f"{found['rows']} rows of {name} suggest no more checks than there are")


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
