"""A run over time: when each stage of each stream was at work, as bars of SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from atlas.web.ui.shown import duration, moment, number

_WIDTH = 1000.0
_LEAST = 4.0
"""Units that a bar has at least, so that it can be seen."""


def rows(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for the run as a whole and one for each stream: ``{"name", "status", "bars"}``.

    ``run``: as :func:`atlas.ledger.run_documents.document` has it.
    """
    start, end = _span(run)
    seconds = max((end - start).total_seconds(), 0.001)
    found = [_row("whole run", run["status"], run["stages"], start, seconds)]
    for stream in run["streams"]:
        name = stream["stream"]
        if stream["namespace"]:
            name = f"{stream['namespace']}.{name}"
        found.append(_row(name, stream["status"], stream["stages"], start, seconds))
    return found


def length(run: Mapping[str, Any]) -> float:
    """Seconds from the run's request to its end, or until now."""
    start, end = _span(run)
    return (end - start).total_seconds()


def _span(run: Mapping[str, Any]) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return moment(run["created_at"]) or now, moment(run["finished_at"]) or now


def _row(
    name: str, status: str, stages: Sequence[Mapping[str, Any]], start: datetime, seconds: float
) -> dict[str, Any]:
    drawn, told = [], []
    for stage in stages:
        begun = moment(stage["started_at"])
        if begun is None:
            continue
        ended = moment(stage["finished_at"]) or datetime.now(UTC)
        took = (ended - begun).total_seconds()
        told.append(f"{stage['stage']} {stage['status']}, {duration(took)}")
        left = (begun - start).total_seconds() / seconds * _WIDTH
        wide = max(took / seconds * _WIDTH, _LEAST)
        words = f"{stage['stage']}: {stage['status']}, {duration(took)}"
        if stage["rows"] is not None:
            words += f", {number(stage['rows'])} rows"
        drawn.append(
            Markup(
                '<rect class="tl-bar tl-{stage} tl-is-{status}" x="{x:.1f}" y="3" width="{w:.1f}" '
                'height="14"><title>{words}</title></rect>'
            ).format(
                stage=stage["stage"],
                status=stage["status"],
                x=max(0.0, min(left, _WIDTH - wide)),
                w=wide,
                words=words,
            )
        )
    bars = Markup(
        '<svg class="tl" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" '
        'aria-label="{name}: {told}">{drawn}</svg>'
    ).format(name=name, told="; ".join(told) or "not begun", drawn=Markup("").join(drawn))
    return {"name": name, "status": status, "bars": bars}
