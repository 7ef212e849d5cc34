"""The catalog: which datasets there are, what each is, how its rows look, what they were before."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from flask import Response, g, request

from atlas.errors import NotFound, UsageError
from atlas.ledger import catalog, dataset_notes
from atlas.roles import Role
from atlas.sync import datasets, looks
from atlas.web.database import PATIENCE, transaction
from atlas.web.ui.heads import Head, head
from atlas.web.ui.pages import Page, go, render

_PAGE = 50
_COLUMNS = 150
_CELLS = 800
_MOST_ROWS = 25
_MOST_SHOWN = 60  # columns of a sample


def listed() -> Response:
    """The datasets of a layer, or those that words are found in."""
    layer = request.args.get("layer", "chart")
    asked = {
        name: request.args.get(name, "").strip() for name in ("q", "connection", "tag", "owner")
    }
    wrong = None
    with transaction() as conn:
        try:
            page = datasets.listed(
                conn,
                limit=_PAGE,
                after=request.args.get("cursor") or None,
                layer=None if layer == "all" else layer,
                connection=asked["connection"] or None,
                words=asked["q"] or None,
                tag=asked["tag"] or None,
                owner=asked["owner"] or None,
            )
        except NotFound:
            raise
        except UsageError as error:
            wrong, page = str(error), {"items": [], "next_cursor": None}
        tags, owners = dataset_notes.used(conn)
    given = {name: text for name, text in asked.items() if text}
    return render(
        "catalog.html",
        items=page["items"],
        next_cursor=page["next_cursor"],
        first="cursor" not in request.args,
        layer=layer,
        layers=(*catalog.LAYERS, "all"),
        asked=asked,
        filtered=bool(given),
        query=urlencode(given),
        base="/catalog?" + urlencode({"layer": layer, **given}),
        wrong=wrong,
        tags=tags,
        owners=owners,
    )


def shown(layer: str, table: str) -> Response:
    """What is known and said of a dataset."""
    return _shown(layer, table, editing=False)


def edit(layer: str, table: str) -> Response:
    """The same, with fields to say what it is."""
    return _shown(layer, table, editing=True)


def describe(layer: str, table: str) -> Response:
    """Say what a dataset is."""
    try:
        with transaction() as conn:
            datasets.describe(conn, table, _said(), layer, actor=g.key.actor)
    except NotFound:
        raise
    except UsageError as error:
        return _shown(layer, table, editing=True, wrong=str(error))
    return go(f"/catalog/{layer}/{table}", "What is said of it was saved.")


def sample(layer: str, table: str) -> Response:
    """Some rows, masked; of explore, a form that asks why."""
    if layer == "explore":
        with transaction() as conn:
            return render("dataset_sample.html", head=head(conn, table, layer), layer=layer)
    return _sample(layer, table, None)


def sample_raw(layer: str, table: str) -> Response:
    """Rows as their source sent them, for whoever may see that and says why."""
    try:
        return _sample(layer, table, request.form.get("why"))
    except NotFound:
        raise
    except UsageError as error:
        with transaction() as conn:
            found = head(conn, table, layer)
        return render("dataset_sample.html", 422, head=found, layer=layer, wrong=str(error))


def profile(dataset: str) -> Response:
    """What its runs measured and, where that is asked, its values now."""
    looked = request.args.get("look") == "now"
    with transaction() as conn:
        found = head(conn, dataset)
        measured = looks.measured(conn, dataset)
        now = None
        if looked and "chart" in found.tables:
            now = looks.profiled(conn, dataset, seconds=PATIENCE)
    return render(
        "dataset_profile.html",
        head=found,
        measured=measured,
        names=list(measured["columns"])[:_COLUMNS],
        more=max(0, len(measured["columns"]) - _COLUMNS),
        now=now,
    )


def history(dataset: str) -> Response:
    """The versions of one key."""
    version = request.args.get("version", type=int)
    with transaction() as conn:
        found = head(conn, dataset)
        fields = looks.key_columns(conn, dataset)
        told = None if version is None else looks.versions_of(conn, dataset, version)
    return render("dataset_history.html", head=found, fields=fields, told=told)


def history_of(dataset: str) -> Response:
    """Look for a key: what it is stands in no address, where the number of a version stands."""
    back = f"/catalog/navigate/{dataset}/history"
    with transaction() as conn:
        try:
            version = looks.find_version(conn, dataset, request.form)
        except NotFound:
            raise
        except UsageError as error:
            return go(back, str(error), "warn")
    if version is None:
        return go(
            back, "No version has this key. A masked key is looked for as it is masked.", "warn"
        )
    return go(f"{back}?version={version}")


def _shown(layer: str, table: str, *, editing: bool, wrong: str | None = None) -> Response:
    start = max(0, request.args.get("from", 0, type=int))
    with transaction() as conn:
        found = head(conn, table, layer)
        told = datasets.show(conn, table, layer)
    columns = told["columns"]
    return render(
        "dataset.html",
        200 if wrong is None else 422,
        head=found,
        layer=layer,
        told=told,
        columns=columns[start : start + _COLUMNS],
        start=start,
        total=len(columns),
        step=_COLUMNS,
        editing=editing,
        wrong=wrong,
        form=request.form if wrong else _as_it_is(told),
    )


def _as_it_is(told: dict[str, Any]) -> dict[str, str]:
    """What the fields of the form say before somebody writes into them."""
    said = {"tags": " ".join(told["tags"]), "owner": told["owner"] or ""}
    if told["description"] != told["source_description"]:
        said["description"] = told["description"]
    for column in told["columns"]:
        if column["described_by"]:
            said[f"column:{column['name']}"] = column["description"]
    return said


def _said() -> datasets.Changes:
    form = request.form
    changes: datasets.Changes = {
        "description": form.get("description"),
        "owner": form.get("owner"),
        "tags": form.get("tags", "").replace(",", " ").split(),
        "columns": {
            name.removeprefix("column:"): text
            for name, text in form.items()
            if name.startswith("column:")
        },
    }
    return changes


def _sample(layer: str, table: str, why: str | None) -> Response:
    with transaction() as conn:
        found = head(conn, table, layer)
        width = _width(conn, found, layer)
        rows = datasets.sample(
            conn,
            table,
            layer,
            limit=max(3, min(_MOST_ROWS, _CELLS // max(1, min(width, _MOST_SHOWN)))),
            actor=g.key.actor,
            may_unmask=g.key.may(Role.PRIVACY),
            why=why,
        )
    # Not before the audit trail has it.
    names = list(rows["items"][0]["row"]) if rows["items"] else []
    names = [name for name in names if name not in _AT_THE_SIDE]
    return render(
        "dataset_sample.html",
        head=found,
        layer=layer,
        sample=rows,
        names=names[:_MOST_SHOWN],
        titles=[{"title": name} for name in names[:_MOST_SHOWN]],
        more=max(0, len(names) - _MOST_SHOWN),
    )


_AT_THE_SIDE = ("surrogate_key", "valid_from", "valid_to", "is_current")


def _width(conn: sa.Connection, found: Head, layer: str) -> int:
    if layer not in found.tables:
        raise NotFound(f"dataset {found.dataset} has no table in {layer} yet")
    return len(catalog.columns(conn, found.connection, found.key))


PAGES = [
    Page("/catalog", Role.VIEWER, listed),
    Page("/catalog/<layer>/<table>", Role.VIEWER, shown),
    Page("/catalog/<layer>/<table>/edit", Role.OPERATOR, edit),
    Page("/catalog/<layer>/<table>/edit", Role.OPERATOR, describe, ("POST",)),
    Page("/catalog/<layer>/<table>/sample", Role.VIEWER, sample),
    Page("/catalog/<layer>/<table>/sample", Role.PRIVACY, sample_raw, ("POST",)),
    Page("/catalog/chart/<dataset>/profile", Role.VIEWER, profile),
    Page("/catalog/navigate/<dataset>/history", Role.VIEWER, history),
    Page("/catalog/navigate/<dataset>/history", Role.VIEWER, history_of, ("POST",)),
]
