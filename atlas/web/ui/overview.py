"""The first page: what runs now, what failed, how fresh and how good the data are, who works."""

from __future__ import annotations

from typing import Any

from flask import Response

from atlas.ledger.database import classified
from atlas.roles import Role
from atlas.web.database import engine, settings
from atlas.web.ui.pages import Page, render

_CALM_SCORE = 0.95


def overview() -> Response:
    """The overview, as it is now."""
    from atlas.sync.overview import overview as look

    with classified():
        found = look(engine(), settings())
    rows = found["rows"]
    total = rows["total"]
    alive = [each for each in found["workers"] if each["alive"]]
    return render(
        "overview.html",
        found=found,
        connections=found["connections"],
        today={name: total[name][-1] for name in ("runs", "explore", "promoted", "quarantined")},
        week=sum(total["explore"][-7:]),
        bars_of=[
            (day[5:], count, "accent")
            for day, count in zip(rows["days"], total["explore"], strict=True)
        ],
        any_rows=any(total["explore"]),
        busiest=_busiest(rows),
        alive=alive,
        missing=sorted({"extract", "scan", "load", "control"} - _served(alive)),
        waiting=sum(each["depth"] for each in found["queues"]["items"] or ()),
        poor=_CALM_SCORE,
        flower=settings().flower_port,
    )


def _busiest(rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": each["connection"], "series": each["explore"], "total": sum(each["explore"])}
        for each in rows["connections"][:6]
        if any(each["explore"])
    ]


def _served(workers: list[dict[str, Any]]) -> set[str]:
    """The queues that somebody works on."""
    return {queue for each in workers for queue in each["queues"]}


PAGES = [Page("/", Role.VIEWER, overview)]
