"""Personal data: where which kind is, why Atlas thinks so, and what people say against it."""

from __future__ import annotations

from typing import Any

from flask import Response, g, request

from atlas.errors import UsageError
from atlas.ledger import catalog, paging
from atlas.model.personal import Operator, Says
from atlas.pii.policy import entity_types
from atlas.roles import Role
from atlas.settings import secret_key
from atlas.sync import personal
from atlas.web.database import settings, transaction
from atlas.web.ui.heads import head
from atlas.web.ui.pages import Page, go, render

_PAGE = 50
_CHANGES = 50
_FINDINGS = 120
_KINDS = 30


def listed() -> Response:
    """Which kind is in which dataset."""
    after = request.args.get("cursor") or None
    with transaction() as conn:
        items, following = personal.listed(conn, limit=_PAGE, after=after)
    kinds = sorted({kind for item in items for kind in item["kinds"]})
    return render(
        "personal.html",
        items=items,
        kinds=kinds[:_KINDS],
        more=max(0, len(kinds) - _KINDS),
        next_cursor=following,
        first=after is None,
    )


def of_dataset(dataset: str) -> Response:
    """The verdicts on a dataset with their evidence, and a form to say otherwise."""
    return _of_dataset(dataset)


def say(dataset: str) -> Response:
    """Say what a column is, or withdraw what was said."""
    form = request.form
    try:
        says = _says(form.get("says", ""))
        operator = form.get("operator") if says is Says.OPERATOR else None
        entity = form.get("entity_type") if says in (Says.IS, Says.IS_NOT) else None
        with transaction() as conn:
            personal.say(
                conn,
                dataset,
                form.get("column", ""),
                says,
                entity_type=entity or None,
                operator=Operator(operator) if operator in list(Operator) else None,
                actor=g.key.actor,
                why=form.get("why", ""),
            )
    except UsageError as error:
        return _of_dataset(dataset, str(error))
    message = (
        "It counts from the next run on. Rows that are stored change when they are masked anew."
    )
    return go(f"/personal-data/{dataset}", message)


def decrypt(dataset: str) -> Response:
    """Show encrypted values as they were, once it is written down who wanted to know and why."""
    from atlas.sync.reveal import reveal

    form = request.form
    values = [line.strip() for line in form.get("values", "").splitlines() if line.strip()]
    try:
        with transaction() as conn:
            found = reveal(
                conn,
                secret_key(settings()),
                dataset,
                form.get("column", ""),
                values,
                actor=g.key.actor,
                why=form.get("why", ""),
            )
    except UsageError as error:
        return _of_dataset(dataset, str(error), deed="decrypt")
    return _of_dataset(dataset, opened=list(zip(values, found, strict=True)))


def changes(dataset: str) -> Response:
    """How the verdicts changed from scan to scan, and all that was ever said."""
    said = request.args.get("of") == "said"
    after = paging.before(request.args.get("cursor") or None)
    of = personal.said if said else personal.changes
    with transaction() as conn:
        found = head(conn, dataset)
        items = of(conn, dataset, limit=_CHANGES + 1, after=after)
    page = paging.page(items, _CHANGES)
    return render(
        "dataset_personal_changes.html",
        head=found,
        said=said,
        items=page["items"],
        next_cursor=page["next_cursor"],
        first=after is None,
    )


def _says(text: str) -> Says:
    try:
        return Says(text)
    except ValueError as error:
        raise UsageError("say what the column is, is not, or what becomes of it") from error


def _of_dataset(
    dataset: str,
    wrong: str | None = None,
    *,
    deed: str = "say",
    opened: list[tuple[str, str]] | None = None,
) -> Response:
    with transaction() as conn:
        found = head(conn, dataset)
        told = personal.show(conn, dataset)
        columns = [each.column_name for each in catalog.columns(conn, found.connection, found.key)]
        changed = personal.changes(conn, dataset, limit=10)
    findings = told["findings"]
    places = list(dict.fromkeys([*columns, *(each["column"] for each in findings)]))
    form: Any = request.form if deed == "say" and wrong is not None else None
    if form is None:
        form = {"column": request.args.get("column", ""), "says": request.args.get("says", "is")}
    return render(
        "dataset_personal.html",
        200 if wrong is None else 422,
        head=found,
        told=told,
        findings=findings[:_FINDINGS],
        more=max(0, len(findings) - _FINDINGS),
        places=places[:500],
        changed=changed,
        entities=sorted(entity_types().items()),
        operators=[operator.value for operator in Operator],
        wrong=wrong,
        deed=deed,
        form=form,
        sealed=request.form if deed == "decrypt" else {},
        opened=opened,
        encrypts=any(each["operator"] == Operator.ENCRYPT for each in findings),
    )


PAGES = [
    Page("/personal-data", Role.VIEWER, listed),
    Page("/personal-data/<dataset>", Role.VIEWER, of_dataset),
    Page("/personal-data/<dataset>", Role.PRIVACY, say, ("POST",)),
    Page("/personal-data/<dataset>/decrypt", Role.PRIVACY, decrypt, ("POST",)),
    Page("/personal-data/<dataset>/changes", Role.VIEWER, changes),
]
