"""How good the data are: scores by dimension over time, what fails, and what could be checked."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from atlas.errors import NotFound
from atlas.model.checks import Dimension
from atlas.roles import Role
from atlas.sync import quality
from atlas.web.database import PATIENCE, transaction
from atlas.web.ui import lines
from atlas.web.ui.heads import head
from atlas.web.ui.pages import Page, render

_PAGE = 50
_RUNS = 30
_CHECKS = 100
_OF_A_RUN = 200
DIMENSIONS = tuple(dimension.value for dimension in Dimension)
_TITLES = [
    {"title": "Dataset"},
    {"title": "Overall"},
    *({"title": name.capitalize(), "kind": "num"} for name in DIMENSIONS),
    {"title": "Failed checks"},
]


def listed() -> Response:
    """Every dataset with its scores."""
    after = request.args.get("cursor") or None
    with transaction() as conn:
        items, following = quality.listed(conn, limit=_PAGE, after=after)
    return render(
        "quality.html",
        items=items,
        next_cursor=following,
        first=after is None,
        dimensions=DIMENSIONS,
        titles=_TITLES,
    )


def of_dataset(dataset: str) -> Response:
    """A dataset as of its last check, or as of a run."""
    run_id = request.args.get("run") or None
    told: dict[str, Any] | None = None
    with transaction() as conn:
        found = head(conn, dataset)
        try:
            told = quality.show(conn, dataset, run_id)
        except NotFound:
            if run_id is not None:
                raise
        history = quality.history(conn, dataset, limit=_RUNS)[::-1]
        measured = quality.measured(conn, told["run_id"], dataset) if told else {}
    checks = told["checks"] if told else []
    bad = [each for each in checks if each["outcome"] != "pass"]
    good = [each for each in checks if each["outcome"] == "pass"]
    names = (*(name for name in DIMENSIONS if _ever(history, name)), "overall")
    return render(
        "dataset_quality.html",
        head=found,
        told=told,
        run_id=run_id,
        history=history,
        names=names,
        lines=lines.lines,
        history_titles=[
            {"title": "Checked", "kind": "time"},
            *({"title": name.capitalize(), "kind": "num"} for name in names),
            {"title": "Failed checks"},
        ],
        series={name: [each["scores"].get(name) for each in history] for name in names},
        marks={name: [name in each["anomalies"] for each in history] for name in names},
        bad=[_told(each, measured) for each in bad[:_CHECKS]],
        good=[_told(each, measured) for each in good[:_CHECKS]],
        left=max(0, len(bad) - _CHECKS) + max(0, len(good) - _CHECKS),
        last=next((each for each in history if told and each["run_id"] == told["run_id"]), None),
    )


def suggested(dataset: str) -> Response:
    """Checks that its rows suggest."""
    with transaction() as conn:
        found = head(conn, dataset)
        told = quality.suggest(conn, dataset, seconds=PATIENCE) if "chart" in found.tables else None
    return render("dataset_suggestions.html", head=found, told=told)


def of_run(run_id: str) -> Response:
    """What a run has checked."""
    with transaction() as conn:
        items = quality.summary(conn, run_id)
    return render(
        "quality_run.html",
        run_id=run_id,
        items=items[:_OF_A_RUN],
        more=max(0, len(items) - _OF_A_RUN),
        dimensions=DIMENSIONS,
        titles=_TITLES,
    )


def _ever(history: list[dict[str, Any]], name: str) -> bool:
    return any(name in each["scores"] for each in history)


def _told(check: dict[str, Any], measured: dict[tuple[str, str], float]) -> dict[str, Any]:
    metric = check["name"].rpartition(".usual_")[2]
    column = "" if metric == "rows" else check["column"] or ""
    return {
        **check,
        "expected": _expected(check["definition"]),
        "measured": measured.get((column, metric)),
    }


def _expected(definition: str) -> str:
    """What a check asks for, in a line: the rest of its SodaCL stands beside."""
    lines = [line.strip() for line in definition.splitlines() if line.strip()]
    what = lines[0].removeprefix("- ").removesuffix(":") if lines else ""
    for line in lines[1:]:
        word, _, rest = line.partition(": ")
        if word == "fail condition":
            return "no row where " + rest.strip("'").replace("''", "'")
        if word in {"warn", "fail"}:
            return f"{what} {rest.removeprefix('when not ')}"
    return what


PAGES = [
    Page("/quality", Role.VIEWER, listed),
    Page("/quality/runs/<run_id>", Role.VIEWER, of_run),
    Page("/quality/<dataset>", Role.VIEWER, of_dataset),
    Page("/quality/<dataset>/suggestions", Role.VIEWER, suggested),
]
