"""The state of a connection: where each stream goes on, what it was before, reset and put back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from flask import Response, g, request

from atlas.errors import ActiveRun, Conflict, UsageError
from atlas.roles import Role
from atlas.web.api.names import connection as known
from atlas.web.database import transaction
from atlas.web.ui.pages import Page, go, render

_PER_PAGE = 30


def state(name: str) -> Response:
    """What it is now, stream by stream, and what it was."""
    return _state(name)


def export(name: str) -> Response:
    """All of it as a file, as Airbyte writes it."""
    from atlas.sync import state as use

    with transaction() as conn:
        text = use.export(conn, known(name))
    return Response(
        text,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}-state.json"'},
    )


def reset(name: str) -> Response:
    """Forget a stream's state, or all of it."""
    from atlas.sync import state as use

    stream = request.form.get("stream") or None
    try:
        with transaction() as conn:
            use.reset(conn, known(name), stream, actor=g.key.actor)
    except (ActiveRun, Conflict, UsageError) as error:
        return go(f"/connections/{name}/state", f"Not reset: {error}.", "warn")
    what = f"Stream {stream} is" if stream else "All streams are"
    return go(f"/connections/{name}/state", f"{what} read from the start by the next run.")


def restore(name: str) -> Response:
    """Put back an earlier state."""
    from atlas.sync import state as use

    text = request.form.get("id", "")
    try:
        number = int(text) if text.isdecimal() and len(text) < 19 else -1
        with transaction() as conn:
            use.restore(conn, known(name), number, actor=g.key.actor)
    except (ActiveRun, Conflict, UsageError) as error:
        return go(f"/connections/{name}/state", f"Not put back: {error}.", "warn")
    return go(
        f"/connections/{name}/state", "The earlier state is back; the next run goes on there."
    )


def take(name: str) -> Response:
    """Have what was typed, or a file, be the state: all of it, or that of one stream."""
    from atlas.sync import state as use

    stream = request.form.get("stream", "").strip() or None
    file = request.files.get("file")
    text = file.read() if file else request.form.get("state", "").encode()
    try:
        with transaction() as conn:
            use.import_(conn, known(name), text, stream, actor=g.key.actor)
    except (ActiveRun, Conflict, UsageError) as error:
        return _state(name, str(error))
    what = f"Stream {stream} goes" if stream else "The connection goes"
    return go(f"/connections/{name}/state", f"{what} on from the state that you gave.")


def _state(name: str, wrong: str | None = None) -> Response:
    from atlas.sync import state as use

    cursor = request.args.get("cursor") or None
    stream = request.args.get("stream") or None
    with transaction() as conn:
        now = use.show(conn, known(name))
        past = use.history(conn, name, stream=stream, limit=_PER_PAGE, cursor=cursor)
    return render(
        "state.html",
        200 if wrong is None else 422,
        name=name,
        type=now["type"],
        streams=[{**each, "text": _pretty(each["state"])} for each in now["streams"]],
        history=[{**each, "text": _pretty(each["state"])} for each in past["items"]],
        next_cursor=past["next_cursor"],
        first=cursor is None,
        stream=stream,
        wrong=wrong,
        typed=request.form,
    )


def _pretty(raw: Any) -> str | None:
    """A state to be read: its lines broken, its numbers as they are."""
    if raw is None:
        return None
    text = bytes(raw) if isinstance(raw, msgspec.Raw) else json.dumps(raw).encode()
    return msgspec.json.format(text, indent=2).decode() if text != b"null" else None


PAGES = [
    Page("/connections/<name>/state", Role.VIEWER, state),
    Page("/connections/<name>/state/export", Role.VIEWER, export),
    Page("/connections/<name>/state/reset", Role.OPERATOR, reset, ("POST",)),
    Page("/connections/<name>/state/restore", Role.OPERATOR, restore, ("POST",)),
    Page("/connections/<name>/state/import", Role.OPERATOR, take, ("POST",)),
]
