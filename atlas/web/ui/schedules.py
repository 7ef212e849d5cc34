"""Schedules: which connection runs when, and giving one another schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, g, request

from atlas.errors import UsageError
from atlas.ledger import connections as ledger
from atlas.ledger import overview
from atlas.ledger.schedules import next_due
from atlas.web.database import settings, transaction
from atlas.web.ui.connections import known
from atlas.web.ui.pages import Page, go, render
from atlas.web.ui.wizard import asked_schedule, shown_schedule

_MOST = 200


def schedules() -> Response:
    """All connections with a schedule, and those without one."""
    with transaction() as conn:
        listed = ledger.names(conn, limit=_MOST)
        facts = overview.connections(conn, [each["name"] for each in listed])["items"]
    last = {each["name"]: each for each in facts}
    items = [{**each, **last.get(each["name"], {})} for each in listed]
    return render(
        "schedules.html",
        items=sorted(
            (each for each in items if each["schedule"]), key=lambda each: str(each["due_at"])
        ),
        without=[each["name"] for each in items if not each["schedule"]],
    )


def schedule(name: str) -> Response:
    """One connection's schedule, to be changed."""
    from atlas.sync import edit

    with transaction() as conn:
        found = edit.describe(conn, settings(), known(name))["schedule"]
    return _form(name, shown_schedule(found), None, found)


def change(name: str) -> Response:
    """Give it another one, or none."""
    from atlas.sync import edit

    values = {
        word: request.form.get(word, "").strip() for word in ("when", "cron", "timezone", "every")
    }
    try:
        with transaction() as conn:
            edit.change(
                conn,
                settings(),
                known(name),
                {"schedule": asked_schedule(values)},
                actor=g.key.actor,
                may_unmask=g.key.may("privacy"),
                may_query=g.key.may("admin"),
            )
    except UsageError as error:
        words = str(error).removeprefix(f"connection {name}: ")
        return _form(name, values, words, None)
    return go("/schedules", f"The schedule of {name} was changed.")


def _form(
    name: str, values: dict[str, Any], error: str | None, now: dict[str, Any] | None
) -> Response:
    coming = []
    at = datetime.now(UTC)
    for _ in range(5 if now else 0):
        at = next_due(now or {}, at)
        coming.append(at)
    return render(
        "schedule.html",
        200 if error is None else 422,
        name=name,
        values=values,
        error=error,
        coming=coming,
    )


PAGES = [
    Page("/schedules", "viewer", schedules),
    Page("/schedules/<name>", "operator", schedule),
    Page("/schedules/<name>", "operator", change, ("POST",)),
]
