"""Printing: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import click

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document."
)


_WHOLE = 36
"""Longest text, in characters, that is never broken over lines: a run's id."""

_WIDE = 240


def emit(document: Any) -> None:
    """Print ``document`` as JSON."""
    click.echo(json.dumps(document, default=_plain, ensure_ascii=False, indent=2))


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def note(text: str) -> None:
    """A line for the person at the terminal; never on stdout, which belongs to the answer."""
    click.echo(text, err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Print a table; numbers stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    grid = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(
            isinstance(row[index], int | float) or row[index] is None for row in rows
        )
        # An id or a word that is broken over lines cannot be copied: only long texts may be.
        longest = max((len(_shown(row[index])) for row in rows), default=0)
        grid.add_column(
            column,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=longest <= _WHOLE,
        )
    for row in rows:
        grid.add_row(*(Text(_shown(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        # A terminal's width is a fact; a pipe has none, and whoever reads it wants whole lines.
        # (rich takes the lesser of this and a width given to `print`.)
        console = Console(width=_WIDE)
    console.print(grid, crop=False)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
