"""What a soak found, as a table and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tests.soak.samples import FILES, LINES, MEMORY, Line, of_processes
from tests.soak.trend import Sample, trend

_OF_PROCESSES = (MEMORY, FILES)
_FEW = 8
"""Samples of a measure below which nothing is said of it."""


def judged(
    series: Mapping[str, Sequence[Sample]],
    parts: Mapping[str, Sequence[Sample]] = MappingProxyType({}),
    *,
    warm: float,
) -> tuple[list[str], list[str]]:
    """The table's lines, and a line for each measure that grows.

    Args:
        series: samples by measure, since the stack was warm.
        parts: of those that are sums over processes, what each of these adds.
        warm: seconds until a process that was started anew is.
    """
    lines = [Line(name) for name in sorted(series) if name.startswith(_OF_PROCESSES)]
    lines.sort(key=lambda line: line.name.startswith(FILES))
    table = [
        "| what | start | end | growth by its trend | verdict |",
        "| --- | --: | --: | --: | --- |",
    ]
    grown = []
    for line in [*lines, *LINES]:
        samples = series.get(line.name, ())
        if not samples:
            continue
        row, bad = _judge(line, samples, parts.get(line.name, ()), warm)
        table.append(row)
        grown += [bad] if bad else []
    return table, grown


def _judge(
    line: Line, samples: Sequence[Sample], parts: Sequence[Sample], warm: float
) -> tuple[str, str]:
    found = trend(samples, parts, warm=warm)
    if line.name.startswith(_OF_PROCESSES):
        line = of_processes(line.name, found.start)
    unit = f" {line.unit}" if line.unit else ""
    bad = ""
    if len(samples) < _FEW:
        verdict = "too few samples"
    elif line.most is not None:
        highest = max(sample.value for sample in samples)
        verdict = f"bounded: at most {line.most:g}{unit}"
        if highest > line.most:
            bad = verdict = f"**OUT OF BOUNDS**: {highest:.0f}{unit}, more than {line.most:g}"
    elif line.leak is None:
        verdict = "data"
    elif found.sure and found.growth >= line.leak:
        bad = verdict = f"**GROWS**: {line.leak:.0f}{unit} would be too much"
    else:
        verdict = f"flat: less than {line.leak:.0f}{unit}"
    numbers = " | ".join(
        f"{value:,.{line.digits}f}{unit}" for value in (found.start, found.end, found.growth)
    )
    return f"| {line.name} | {numbers} | {verdict} |", f"{line.name}: {bad}" if bad else ""
