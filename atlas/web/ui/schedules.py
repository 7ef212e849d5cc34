"""Schedules: which connection runs when, and giving one another schedule."""

from __future__ import annotations

from typing import Any

from flask import Response, g, request

from atlas.errors import UsageError
from atlas.ledger import connections as ledger
from atlas.ledger import overview
from atlas.ledger import schedules as due
from atlas.roles import Role
from atlas.web.api.names import connection as known
from atlas.web.database import settings, transaction
from atlas.web.ui import schedule_form
from atlas.web.ui.pages import Page, go, render

_PER_PAGE = 200


def schedules() -> Response:
    """Connections by name, those with a schedule and those without one; what is due next first."""
    after = request.args.get("cursor", "")
    with transaction() as conn:
        found = ledger.names(conn, after=after, limit=_PER_PAGE + 1)
        listed = found[:_PER_PAGE]
        facts = overview.connections(conn, [each["name"] for each in listed])["items"]
    last = {each["name"]: each for each in facts}
    items = [{**each, **last.get(each["name"], {})} for each in listed]
    return render(
        "schedules.html",
        items=sorted(
            (each for each in items if each["schedule"]), key=lambda each: str(each["due_at"])
        ),
        without=[each["name"] for each in items if not each["schedule"]],
        next_cursor=listed[-1]["name"] if len(found) > _PER_PAGE else None,
        first=not after,
    )


def schedule(name: str) -> Response:
    """One connection's schedule, to be changed."""
    from atlas.sync import edit

    with transaction() as conn:
        found = edit.describe(conn, settings(), known(name))["schedule"]
    return _form(name, schedule_form.shown(found), None, found)


def change(name: str) -> Response:
    """Give it another one, or none."""
    from atlas.sync import edit
    from atlas.sync import schedules as use

    values = {word: request.form.get(word, "").strip() for word in schedule_form.FIELDS}
    try:
        with transaction() as conn:
            before = edit.describe(conn, settings(), known(name))["schedule"]
            asked = schedule_form.asked(values, before)
            use.give(conn, settings(), name, asked, actor=g.key.actor)
    except UsageError as error:
        words = str(error).removeprefix(f"connection {name}: ")
        return _form(name, values, words, None)
    return go("/schedules", f"The schedule of {name} was changed.")


def pause(name: str) -> Response:
    """Have it fire no more until it is resumed."""
    return _paused(name, True, f"The schedule of {name} is paused.")


def resume(name: str) -> Response:
    """Have it fire again."""
    return _paused(name, False, f"The schedule of {name} goes on.")


def _paused(name: str, paused: bool, words: str) -> Response:
    from atlas.sync import schedules as use

    with transaction() as conn:
        use.change(conn, settings(), known(name), {"paused": paused}, actor=g.key.actor)
    return go("/schedules", words)


def _form(
    name: str, values: dict[str, Any], error: str | None, now: dict[str, Any] | None
) -> Response:
    times = None
    if now is not None:
        with transaction() as conn:
            times = due.find(conn, name)
    return render(
        "schedule.html",
        200 if error is None else 422,
        name=name,
        values=values,
        error=error,
        coming=times and times["next"],
        skipped=times and times["last_skipped_at"],
    )


PAGES = [
    Page("/schedules", Role.VIEWER, schedules),
    Page("/schedules/<name>", Role.OPERATOR, schedule),
    Page("/schedules/<name>", Role.OPERATOR, change, ("POST",)),
    Page("/schedules/<name>/pause", Role.OPERATOR, pause, ("POST",)),
    Page("/schedules/<name>/resume", Role.OPERATOR, resume, ("POST",)),
]
