"""Rows that were set aside: which, why, and what shall become of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, g, request

from atlas.errors import NotFound, UsageError
from atlas.ledger import catalog, datasets, paging
from atlas.model.stream import ColumnType
from atlas.roles import Role
from atlas.sync import quality
from atlas.web.database import engine, settings, transaction
from atlas.web.ui.heads import head
from atlas.web.ui.pages import Page, go, render

_PAGE = 50
_ROWS = 20
_COLUMNS = 40
_FIELDS = 400
_NUMBERS = {ColumnType.BIGINT.value, ColumnType.NUMERIC.value}
_WRONG_NUMBER = "a number, such as 42 or -0.5; a text where the source has one cannot be put here"


def listed() -> Response:
    """The datasets that have rows in quarantine."""
    after = request.args.get("cursor", "")
    with transaction() as conn:
        items, following = quality.quarantines(conn, limit=_PAGE, after=after)
    return render("quarantine.html", items=items, next_cursor=following, first=not after)


def rows(dataset: str) -> Response:
    """The rows of a dataset that were set aside."""
    return _rows(dataset)


def act(dataset: str) -> Response:
    """Reprocess, override or discard rows."""
    deed = request.form.get("deed", "")
    try:
        if deed == "discard":
            return _discard(dataset)
        return _reprocess(dataset, overriding=deed == "override")
    except NotFound:
        raise
    except UsageError as error:
        return _rows(dataset, str(error))


def row(dataset: str, number: int) -> Response:
    """One row, with fields to put it right."""
    return _row(dataset, number)


def mend(dataset: str, number: int) -> Response:
    """Put a row right and reprocess it."""
    from atlas.sync.quarantine import Request

    try:
        with transaction() as conn:
            found = head(conn, dataset)
            kinds = {
                column.column_name: column.column_type
                for column in catalog.columns(conn, found.connection, found.key)
            }
        values = _values(kinds, request.form)
        why = request.form.get("why", "").strip() or None
        return _recorded(dataset, Request(values={number: values}, why=why))
    except NotFound:
        raise
    except UsageError as error:
        return _row(dataset, number, str(error))


def _rows(dataset: str, wrong: str | None = None) -> Response:
    asked = {name: request.args.get(name, "") for name in ("check", "run")}
    before = paging.before(request.args.get("cursor") or None)
    with transaction() as conn:
        found = head(conn, dataset)
        items = quality.set_aside(
            conn,
            dataset,
            limit=_ROWS + 1,
            after=before,
            run_id=asked["run"] or None,
            check=asked["check"] or None,
        )
        failed = quality.failed_checks(conn, dataset)
        masked = datasets.masked(conn, found.connection, found.key)
    given = {name: text for name, text in asked.items() if text}
    base = f"/quarantine/{dataset}" + ("?" + urlencode(given) if given else "")
    return render(
        "dataset_quarantine.html",
        200 if wrong is None else 422,
        head=found,
        items=[_shown(item, masked) for item in items[:_ROWS]],
        next_cursor=str(items[_ROWS - 1]["id"]) if len(items) > _ROWS else None,
        first=before is None,
        base=base,
        asked=asked,
        failed=failed,
        wrong=wrong,
        form=request.form,
    )


def _row(dataset: str, number: int, wrong: str | None = None) -> Response:
    with transaction() as conn:
        found = head(conn, dataset)
        item = quality.set_aside_row(conn, dataset, number)
        columns = catalog.columns(conn, found.connection, found.key)
        masked = set(datasets.masked(conn, found.connection, found.key))
    suspects = _suspects(item)
    fields = [
        {
            "name": column.column_name,
            "property": column.property,
            "type": column.column_type,
            "value": item["row"].get(column.column_name),
            "masked": column.column_name in masked,
            "reason": item["reasons"].get(column.column_name),
            "suspect": column.column_name in suspects,
        }
        for column in columns
    ]
    fields.sort(key=lambda field: not field["suspect"])
    return render(
        "quarantine_row.html",
        200 if wrong is None else 422,
        head=found,
        item=item,
        fields=fields[:_FIELDS],
        more=max(0, len(fields) - _FIELDS),
        wrong=wrong,
        form=request.form,
    )


def _shown(item: dict[str, Any], masked: list[str]) -> dict[str, Any]:
    """A row with its columns in the order in which they matter: what failed first."""
    suspects = _suspects(item)
    names = sorted(item["row"], key=lambda name: name not in suspects)
    return {
        **item,
        "columns": [
            (name, item["row"][name], name in suspects, item["reasons"].get(name))
            for name in names[:_COLUMNS]
        ],
        "left": max(0, len(names) - _COLUMNS),
        "masked": masked,
    }


def _suspects(item: Mapping[str, Any]) -> set[str]:
    """The columns that the checks which the row failed are about."""
    words = {word for check in item["checks"] for word in (check, *check.split("."))}
    words |= {check.removeprefix("type_of_") for check in item["checks"]}
    return {name for name in item["row"] if name in words} | set(item["reasons"])


def _chosen() -> dict[str, Any]:
    """Which rows are meant: ``{"rows", "check", "every"}``."""
    which = request.form.get("which", "ticked")
    ticked = request.form.getlist("row", type=int) if which == "ticked" else []
    return {
        "rows": ticked,
        "check": request.form.get("check") or None if which == "check" else None,
        "every": which == "all",
    }


def _discard(dataset: str) -> Response:
    from atlas.sync import quarantine

    asked = _chosen()
    chosen = quarantine.choice(asked["rows"], asked["check"], every=asked["every"])
    with transaction() as conn:
        gone = quarantine.discard(
            conn, dataset, chosen, actor=g.key.actor, why=request.form.get("why", "")
        )
    what = "1 row was" if gone == 1 else f"{gone:,} rows were"
    return go(f"/quarantine/{dataset}", f"{what} discarded.")


def _reprocess(dataset: str, *, overriding: bool) -> Response:
    from atlas.sync.quarantine import Request

    asked = _chosen()
    overrides = request.form.getlist("overrides") if overriding else []
    if overriding and not overrides:
        raise UsageError("say which check is to be overridden")
    why = request.form.get("why", "").strip() or None
    return _recorded(dataset, Request(**asked, overrides=overrides, why=why))


def _recorded(dataset: str, asked: Any) -> Response:
    # Brings Celery, which the factory must not wait for.
    from atlas.sync import dispatch
    from atlas.sync.quarantine import record_reprocess

    with transaction() as conn:
        made = record_reprocess(conn, settings(), dataset, asked, actor=g.key.actor)
    dispatch.start(engine(), [made.run_id])
    what = "1 row goes" if made.rows == 1 else f"{made.rows:,} rows go"
    return go(f"/runs/{quote(made.run_id)}", f"{what} through the stages again.")


def _values(kinds: Mapping[str, str], form: Mapping[str, str]) -> dict[str, str]:
    """What is put right, as JSON texts by column: numbers to the last digit as they were typed.

    Raises:
        UsageError: nothing is, or a value is none of its column's type; the message does not hold
            it.
    """
    found = {}
    for name, kind in kinds.items():
        text, how = form.get(f"value:{name}", ""), form.get(f"how:{name}", "")
        if how == "null":
            found[name] = "null"
        elif how == "value" or text.strip():
            found[name] = _json(name, kind, text)
    if not found:
        raise UsageError("say which column gets which value")
    return found


def _json(name: str, kind: str, text: str) -> str:
    if kind in _NUMBERS:
        return _checked(text.strip(), (int, float), f"column {name}: must be {_WRONG_NUMBER}")
    if kind == ColumnType.BOOLEAN.value:
        return _checked(text.strip().lower(), bool, f"column {name}: must be true or false")
    if kind == ColumnType.JSONB.value:
        return _checked(
            text, object, f"column {name}: must be JSON; a text stands in double quotes"
        )
    return json.dumps(text, ensure_ascii=False)


def _checked(text: str, kinds: type | tuple[type, ...], wrong: str) -> str:
    try:
        read = json.loads(text, parse_constant=float)
    except (ValueError, RecursionError):
        # not "from error": its text quotes the value
        raise UsageError(wrong) from None
    if not isinstance(read, kinds) or (isinstance(read, bool) and kinds == (int, float)):
        raise UsageError(wrong)
    return text


PAGES = [
    Page("/quarantine", Role.VIEWER, listed),
    Page("/quarantine/<dataset>", Role.VIEWER, rows),
    Page("/quarantine/<dataset>", Role.OPERATOR, act, ("POST",)),
    Page("/quarantine/<dataset>/<int:number>", Role.OPERATOR, row),
    Page("/quarantine/<dataset>/<int:number>", Role.OPERATOR, mend, ("POST",)),
]
