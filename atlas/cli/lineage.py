"""``atlas lineage``: where data come from and where they go, and what was told of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atlas.cli.output import emit, json_option, note, table

if TYPE_CHECKING:
    from atlas.sync.lineage import Direction

_WORDS = {"IDENTITY": "as it is", None: "as it is"}


@click.group()
def lineage() -> None:
    """See where datasets and columns come from and go to, and the OpenLineage events of a run."""


@lineage.command()
@click.argument("dataset", metavar="DATASET[.COLUMN]")
@click.option(
    "--depth",
    type=click.IntRange(1, 20),
    default=10,
    show_default=True,
    help="How many steps away, at most.",
)
@click.option(
    "--direction",
    type=click.Choice(["upstream", "downstream", "both"]),
    default="both",
    show_default=True,
    help="Where it comes from, where it goes, or both.",
)
@click.option("--run", "run_id", metavar="ID", help="As of this run, not of the last.")
@json_option
def show(dataset: str, depth: int, direction: Direction, run_id: str | None, as_json: bool) -> None:
    """Show what a dataset, or a column of it, comes of and what comes of it.

    DATASET is a table of navigate, such as shop_users, or one of another layer:
    chart.shop_users, chart.shop_users_quarantine, explore.shop_users_raw; source.shop_users is
    what the source has. COLUMN is called as in that layer: in explore and at the source, as
    lineage prints it.
    """
    from atlas.cli.database import begin
    from atlas.sync import lineage as use

    with begin() as conn:
        found = use.show(conn, dataset, depth=depth, direction=direction, run_id=run_id)
    if as_json:
        emit(found)
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    nodes = {node["id"]: node for node in found["nodes"]}
    start = found["nodes"][0]["id"]
    click.echo(_called(nodes[start]))
    ways = (("upstream", "target", "source"), ("downstream", "source", "target"))
    for direction, near, far in ways:
        if found["direction"] not in (direction, "both"):
            continue
        click.echo(f"{direction}:")
        edges: dict[str, list[dict[str, Any]]] = {}
        for edge in found["edges"]:
            edges.setdefault(edge[near], []).append(edge)
        if start in edges:
            _branch(edges, nodes, start, far, "  ", {start})
        else:
            click.echo("  nothing")
    if found["cut"]:
        note("there is more than is shown: ask for less with --depth or --direction")


def _branch(
    edges: dict[str, list[dict[str, Any]]],
    nodes: dict[str, Any],
    near: str,
    far: str,
    indent: str,
    shown: set[str],
) -> None:
    """Print what is one step from a node, and what is behind that."""
    found = edges.get(near, [])
    for place, edge in enumerate(found):
        last = place == len(found) - 1
        node, again = nodes[edge[far]], edge[far] in shown
        done = _done(edge, of_column=node["column"] is not None)
        click.echo(
            f"{indent}{'└─' if last else '├─'} {_called(node)}  [{done}; {edge['job']}]"
            + ("  (as above)" if again else "")
        )
        if not again:
            shown.add(edge[far])
            _branch(edges, nodes, edge[far], far, indent + ("   " if last else "│  "), shown)


def _called(node: dict[str, Any]) -> str:
    column = "" if node["column"] is None else f".{node['column']}"
    if node["dataset"] is None:
        return f"{node['namespace']} {node['name']}{column}"
    if node["layer"] == "source":
        return f"{node['dataset']}{column} ({node['namespace']} {node['name']})"
    return f"{node['dataset']}{column}"


def _done(edge: dict[str, Any], *, of_column: bool) -> str:
    """What becomes of values on the way: of a column its steps, of a dataset which are masked."""
    masks = {
        column["target"]: _steps(column)
        for column in edge["columns"]
        if any(step["masking"] for step in column["steps"])
    }
    if of_column:
        (column,) = edge["columns"]
        return f"masked: {masks[column['target']]}" if masks else _steps(column)
    if not edge["columns"]:
        return "columns unknown"
    if not masks:
        return f"{len(edge['columns'])} columns as they are"
    told = ", ".join(f"{name} ({steps})" for name, steps in masks.items())
    return f"{len(edge['columns'])} columns; masked: {told}"


def _steps(column: dict[str, Any]) -> str:
    return ", ".join(
        step["description"] or _WORDS.get(step["subtype"], step["subtype"])
        for step in column["steps"]
    )


@lineage.command()
@click.argument("run_id")
@json_option
def events(run_id: str, as_json: bool) -> None:
    """List the OpenLineage events of run RUN_ID in their order; with --json as they are sent."""
    from atlas.cli.database import begin
    from atlas.sync import lineage as use

    with begin() as conn:
        found = use.events(conn, run_id)
    if as_json:
        emit({"items": found})
        return
    table(
        ["at", "event", "job", "delivered at", "refused"],
        [
            [
                each["event"]["eventTime"],
                each["event"]["eventType"],
                each["event"]["job"]["name"],
                _time(each["delivered_at"]),
                "; ".join(
                    f"{one['sink']}: {one['error']}"
                    for one in each["deliveries"]
                    if one["error"] is not None
                ),
            ]
            for each in found
        ],
    )


@lineage.command()
@json_option
def sinks(as_json: bool) -> None:
    """List where OpenLineage events go, what waits for each sink, and what went wrong last."""
    from atlas.cli.database import begin
    from atlas.ledger import deliveries

    with begin() as conn:
        found = deliveries.listed(conn)
    if as_json:
        emit({"items": found})
        return
    table(
        ["sink", "where", "delivered at", "waiting", "since", "refused", "last error"],
        [
            [
                each["name"],
                each["target"],
                _time(each["delivered_at"]),
                each["waiting"],
                _time(each["waiting_since"]),
                each["refused"],
                each["error"],
            ]
            for each in found
        ],
    )


def _time(at: Any) -> str | None:
    return None if at is None else str(at.isoformat(timespec="seconds"))
