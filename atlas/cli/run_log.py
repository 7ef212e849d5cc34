"""``atlas runs log``: what a run's connector said and what its stages did."""

from __future__ import annotations

import time
from typing import Any

import click

from atlas.cli.output import emit, json_option

_POLL_SECONDS = 1.0
_PAGE = 1000


@click.command("log")
@click.argument("run_id")
@click.option("--follow", is_flag=True, help="Go on until the run has ended.")
@click.option(
    "--level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Only lines of this level, and those more severe.",
)
@click.option("--search", metavar="TEXT", help="Only lines in which this text stands.")
@click.option(
    "--lines",
    default=200,
    show_default=True,
    type=click.IntRange(1, _PAGE),
    help="The last so many; --follow goes on from there.",
)
@json_option
def log(
    run_id: str, follow: bool, level: str | None, search: str | None, lines: int, as_json: bool
) -> None:
    """Show what the connector of a run said and what its stages did."""
    newest, last, ended = _newest(run_id, lines, level=level, q=search)
    if not as_json:
        _print(newest)
    more: list[dict[str, Any]] = []
    while follow and (not ended or len(more) == _PAGE):
        time.sleep(_POLL_SECONDS)
        # Seen before its log is read: of a run that has ended, all of it is there by then.
        ended = _ended(run_id)
        more, last = _after(run_id, last, level=level, q=search)
        newest += more
        if not as_json:
            _print(more)
    if as_json:
        emit({"items": newest})


def _newest(run_id: str, lines: int, **which: Any) -> tuple[list[dict[str, Any]], int, bool]:
    """The last lines, the number of the last line there is, and whether the run has ended."""
    from atlas.cli.database import begin
    from atlas.ledger import run_log

    with begin() as conn:
        last = run_log.last_line(conn, run_id)
        page = run_log.page(conn, run_id, limit=lines, newest_first=True, **which)
    items = [item for item in reversed(page["items"]) if item["line"] <= last]
    return items, last, _ended(run_id)


def _after(run_id: str, last: int, **which: Any) -> tuple[list[dict[str, Any]], int]:
    """The lines after number ``last``, and the number of the last of them."""
    from atlas.cli.database import begin
    from atlas.ledger import run_log

    with begin() as conn:
        page = run_log.page(conn, run_id, limit=_PAGE, cursor=str(last), **which)
    items = page["items"]
    return items, items[-1]["line"] if items else last


def _ended(run_id: str) -> bool:
    from atlas.cli.runs import fetch

    return fetch(run_id)["finished_at"] is not None


def _print(items: list[dict[str, Any]]) -> None:
    for item in items:
        where = "/".join(item[part] for part in ("stream", "stage") if item[part])
        text = f"{item['at']} {item['level'].upper():<7} {where or 'run'}: {item['message']}"
        click.secho(text, fg={"error": "red", "warning": "yellow"}.get(item["level"]))
