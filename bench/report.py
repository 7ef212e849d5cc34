"""What a measurement hands back, and how it is printed: tables, limits, lines for the docs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table as RichTable

from atlas import __version__

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed; the first column is text, the others are numbers mostly."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit beside what was measured.

    Attributes:
        at_most: whether ``bound`` is the most allowed; else it is the least.
        unit: "x", "%", "s", "MiB" or "rows".
        binding: False when the size of the measurement is not the one the limit is meant for; it
            is then printed and decides nothing.
    """

    what: str
    measured: float
    bound: float
    unit: str
    at_most: bool = True
    binding: bool = True

    @property
    def kept(self) -> bool:
        """Whether it is kept."""
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound

    @property
    def missed(self) -> bool:
        """Whether it is broken, and that counts."""
        return self.binding and not self.kept

    def __str__(self) -> str:
        word = "at most" if self.at_most else "at least"
        return f"{self.what}: {show(self.measured)} {self.unit}, {word} {self.bound:g} {self.unit}"


@dataclass(slots=True)
class Result:
    """Outcome of one measurement; ``figures`` is what ``--json`` writes of it."""

    name: str
    tables: list[Table] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def show(cell: Cell) -> str:
    """A cell as text: numbers with three figures or so, nothing as a dash."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        if abs(cell) >= 100:
            return f"{cell:,.0f}"
        return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was before they were."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "atlas": __version__,
        "load_before": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def console() -> Console:
    """The terminal, or a wide page where there is none."""
    found = Console()
    return found if found.is_terminal else Console(width=140)


def print_result(out: Console, result: Result) -> None:
    """Print a result's tables and limits."""
    for table in result.tables:
        drawn = RichTable(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number else "left")
        for row in table.rows:
            drawn.add_row(*map(show, row))
        out.print(drawn)
    for limit in result.limits:
        mark = "[green]kept  [/]" if limit.kept else "[red]missed[/]"
        aside = "" if limit.binding else " [dim](another size or source than the limit is for)[/]"
        out.print(f"  {mark} {limit}{aside}", highlight=False)
    out.print()


def markdown(facts: dict[str, Any], results: Sequence[Result]) -> str:
    """All of it as lines to paste into the docs."""
    lines = [
        "Measured on {date} with Atlas {atlas}: {cores} cores ({cpu}), {memory_gib} GiB, {system}, "
        "Python {python}; load {load_before} before.".format_map(facts),
        "",
    ]
    for result in results:
        for table in result.tables:
            lines += [f"**{table.title}**", "", _row(table.columns)]
            lines.append(_row(["---"] + ["---:"] * (len(table.columns) - 1)))
            lines += [_row([show(cell) for cell in row]) for row in table.rows]
            lines.append("")
        lines += [f"- {limit} ({'kept' if limit.kept else 'missed'})" for limit in result.limits]
        lines.append("")
    return "\n".join(lines).rstrip()


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
