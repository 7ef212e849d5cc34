"""Policies for personal data: what becomes of which kind, edited with a look at what that does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from flask import Response, g, request

from atlas.errors import NotFound, UsageError
from atlas.ledger import connections
from atlas.ledger import policies as stored
from atlas.model.personal import Operator
from atlas.pii.policy import entity_types
from atlas.roles import Role
from atlas.sync import policies, policy_preview
from atlas.web.database import transaction
from atlas.web.ui.pages import Page, go, render

_PAGE = 50
_SHOWN = 200
_CONNECTIONS = 200
_LIST = "/personal-data/policies"
_TAKEN = "there is a policy {} already: open it to change it"


def listed() -> Response:
    """The policies and who goes by them."""
    after = request.args.get("cursor") or None
    with transaction() as conn:
        items = policies.listed(conn, limit=_PAGE + 1, after=after)
    more = len(items) > _PAGE
    items = items[:_PAGE]
    following = items[-1]["name"] if more else None
    return render("policies.html", items=items, next_cursor=following, first=after is None)


def new() -> Response:
    """An empty policy to be filled in."""
    return _editor(None, {"entities": {}, "columns": {}})


def shown(policy: str) -> Response:
    """A policy, to be read or changed."""
    with transaction() as conn:
        told = policies.get(conn, policy)
    return _editor(policy, told, told)


def change(policy: str) -> Response:
    """Save, delete, or look at what a changed policy would do."""
    deed = request.form.get("deed")
    if deed == "delete":
        with transaction() as conn:
            policies.delete(conn, policy, actor=g.key.actor)
        return go(_LIST, f"Policy {policy} was deleted.")
    with transaction() as conn:
        told = policies.get(conn, policy)
    return _saved(policy, told)


def create() -> Response:
    """The same of a policy that there is not yet."""
    return _saved(request.form.get("name", "").strip(), None)


def _saved(name: str, told: dict[str, Any] | None) -> Response:
    held = None if told is None else name
    try:
        document = _document()
        if request.form.get("deed") == "preview":
            within = request.form.get("within") or None
            with transaction() as conn:
                seen = policy_preview.preview(conn, name or "draft", document, within)
            return _editor(held, document, told, preview=seen)
        what = _put(name, document, new=told is None)
    except NotFound:
        raise
    except UsageError as error:
        return _editor(held, _typed(), told, wrong=str(error))
    if what == "unchanged":
        return go(f"{_LIST}/{name}", "Nothing was other than before.")
    return go(f"{_LIST}/{name}", f"Policy {name} was {what}. It counts from the next run on.")


def _put(name: str, document: dict[str, Any], *, new: bool) -> str:
    """What :func:`policies.put` says; raises UsageError also where somebody else was quicker."""
    with transaction() as conn:
        _see_unchanged(conn, name, new=new)
        what = policies.put(conn, name, document, actor=g.key.actor)
        if new and what != "created":
            raise UsageError(_TAKEN.format(name))
    return what


def _see_unchanged(conn: sa.Connection, name: str, *, new: bool) -> None:
    """See that nobody else has changed the policy since its form was made, or made it; it stays so
    until the transaction ends.

    Raises:
        UsageError: somebody has.
    """
    there = stored.lock(conn, name) or name == stored.DEFAULT
    if new and there:
        raise UsageError(_TAKEN.format(name))
    seen = request.form.get("seen")
    if not new and seen is not None:
        now = policies.get(conn, name) if there else {"updated_at": "deleted"}
        if seen != str(now["updated_at"] or ""):
            raise UsageError(f"policy {name} was changed meanwhile: open it anew and change that")


def _typed() -> dict[str, Any]:
    """What stands in the form, right or wrong."""
    entities = {
        name.removeprefix("entity:"): operator
        for name, operator in request.form.items()
        if name.startswith("entity:") and operator
    }
    return {"entities": entities, "lines": request.form.get("columns", "")}


def _document() -> dict[str, Any]:
    """The policy that the form asks for.

    Raises:
        UsageError: a line of the columns is none.
    """
    typed = _typed()
    return {"entities": typed["entities"], "columns": by_column(typed["lines"])}


def by_column(text: str) -> dict[str, str]:
    """Operators by column, from lines of ``column: operator``.

    Raises:
        UsageError: a line is none.
    """
    columns = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, colon, operator = line.rpartition(":")
        if not colon or not name.strip():
            raise UsageError(
                f"columns: write each as `column: operator`, not {line.strip()[:80]!r}"
            )
        if name.strip() in columns:
            raise UsageError(f"columns: {name.strip()[:80]} is named twice")
        columns[name.strip()] = operator.strip()
    return columns


def as_lines(columns: Mapping[str, str]) -> str:
    """What :func:`by_column` reads."""
    return "\n".join(f"{name}: {operator}" for name, operator in columns.items())


def _editor(
    name: str | None,
    document: dict[str, Any],
    told: dict[str, Any] | None = None,
    *,
    wrong: str | None = None,
    preview: dict[str, Any] | None = None,
) -> Response:
    lines = document.get("lines")
    if lines is None:
        lines = as_lines(document["columns"])
    with transaction() as conn:
        known = [each["name"] for each in connections.names(conn, limit=_CONNECTIONS)]
    return render(
        "policy.html",
        200 if wrong is None else 422,
        name=name,
        typed_name=request.form.get("name", ""),
        told=told,
        seen=request.form.get("seen", "" if told is None else str(told["updated_at"] or "")),
        chosen=document["entities"],
        lines=lines,
        entities=list(entity_types().items()),
        operators=[operator.value for operator in Operator],
        connections=known,
        within=request.form.get("within", ""),
        wrong=wrong,
        preview=preview,
        shown=preview["items"][:_SHOWN] if preview else [],
        changing=sum(each["now"] != each["then"] for each in preview["items"]) if preview else 0,
    )


PAGES = [
    Page(_LIST, Role.VIEWER, listed),
    Page(_LIST + "/new", Role.PRIVACY, new),
    Page(_LIST + "/new", Role.PRIVACY, create, ("POST",)),
    Page(_LIST + "/<policy>", Role.VIEWER, shown),
    Page(_LIST + "/<policy>", Role.PRIVACY, change, ("POST",)),
]
