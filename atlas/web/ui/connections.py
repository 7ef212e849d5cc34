"""Connections: the list of them, one with all that is known of it, and what is done to it."""

from __future__ import annotations

from flask import Response, g, request

from atlas.errors import ActiveRun, AtlasError, NotFound, UsageError
from atlas.ledger import connections as ledger
from atlas.ledger import overview, run_documents, source_changes
from atlas.roles import Role
from atlas.web.api.names import connection as known
from atlas.web.database import engine, settings, transaction
from atlas.web.ui.pages import Page, go, render

_PER_PAGE = 60


def connections() -> Response:
    """All connections by name, with how each is."""
    after = request.args.get("cursor", "")
    with transaction() as conn:
        listed = ledger.names(conn, after=after, limit=_PER_PAGE + 1)
        shown = listed[:_PER_PAGE]
        facts = overview.connections(conn, [each["name"] for each in shown])
    known = {each["name"]: each for each in facts["items"]}
    return render(
        "connections.html",
        items=[{**each, **known.get(each["name"], {})} for each in shown],
        next_cursor=shown[-1]["name"] if len(listed) > _PER_PAGE else None,
        first=not after,
    )


def connection(name: str) -> Response:
    """One connection: what it is, how its last runs went, what changed at its source."""
    from atlas.sync import edit, state

    with transaction() as conn:
        described = edit.describe(conn, settings(), known(name))
        facts = overview.connections(conn, [name])["items"][0]
        runs = run_documents.page(conn, limit=8, cursor=None, connection=name, brief=True)["items"]
        changes = source_changes.listed(conn, name, limit=8, after=None)
        states = len(state.show(conn, name)["streams"])
    return render(
        "connection.html",
        connection=described,
        facts=facts,
        runs=runs,
        streams=_streams(described["streams"], runs),
        changes=changes,
        states=states,
        active=next((run for run in runs if run["status"] in ("queued", "running")), None),
    )


def sync(name: str) -> Response:
    """Start a sync and show its run; where one is active already, that one."""
    from atlas.sync import dispatch
    from atlas.sync.request import record

    streams = request.form.getlist("stream") or None
    full = "full_refresh" in request.form
    try:
        with transaction() as conn:
            run_id = record(
                conn,
                known(name),
                trigger="api",
                actor=g.key.actor,
                streams=streams,
                full_refresh=full,
            )
    except ActiveRun as active:
        return go(f"/runs/{active.run_id}", "It is being synced already: this is that run.", "warn")
    except UsageError as error:
        return go(f"/connections/{name}", f"Not started: {error}.", "warn")
    dispatch.start(engine(), [run_id])
    return go(f"/runs/{run_id}", f"A sync of {name} was started.")


def remask(name: str) -> Response:
    """Make the masked layers anew by what holds now, and show the run that does."""
    from atlas.sync import dispatch
    from atlas.sync.request import record_remask

    streams = request.form.getlist("stream") or None
    try:
        with transaction() as conn:
            run_id = record_remask(conn, known(name), actor=g.key.actor, streams=streams)
    except ActiveRun as active:
        return go(f"/runs/{active.run_id}", "A run is active: mask anew when it has ended.", "warn")
    except UsageError as error:
        return go(f"/connections/{name}", f"Not masked anew: {error}.", "warn")
    dispatch.start(engine(), [run_id])
    return go(f"/runs/{run_id}", f"The data of {name} are masked anew.")


def accept(name: str) -> Response:
    """Have the next run take the source as it is."""
    with transaction() as conn:
        source_changes.accept(conn, ledger.lock(conn, known(name)), actor=g.key.actor)
    return go(f"/connections/{name}", "The next sync takes the source as it is.")


def ask_deletion(name: str) -> Response:
    """What would go with the connection, and the question whether it is to."""
    with transaction() as conn:
        ledger.selects(conn, known(name))
        facts = overview.connections(conn, [name])["items"][0]
    return render("connection_delete.html", name=name, facts=facts, error=None)


def delete(name: str) -> Response:
    """Delete it, if its name was typed."""
    from atlas.sync import edit

    drop = "drop_data" in request.form
    if request.form.get("name") != known(name):
        return _refused(name, "type the connection's name to delete it")
    try:
        dropped = edit.delete(engine(), name, actor=g.key.actor, drop_data=drop)
    except NotFound:
        raise
    except AtlasError as error:
        return _refused(name, str(error))
    words = f"Connection {name} is gone" + (
        f", and {len(dropped)} tables with it." if drop else "; its tables stay."
    )
    return go("/connections", words)


def _refused(name: str, error: str) -> Response:
    with transaction() as conn:
        facts = overview.connections(conn, [name])["items"][0]
    return render("connection_delete.html", 422, name=name, facts=facts, error=error)


def _streams(
    selected: dict[str, dict[str, object]] | None, runs: list[dict[str, object]]
) -> list[dict[str, object]]:
    """The streams with what the newest run that read each of them did."""
    last: dict[str, dict[str, object]] = {}
    for run in runs:
        for stream in run["streams"]:  # type: ignore[attr-defined]
            key = (
                stream["stream"]
                if not stream["namespace"]
                else ".".join((stream["namespace"], stream["stream"]))
            )
            last.setdefault(key, {**stream, "run_id": run["run_id"]})
    names = list(last) if selected is None else list(selected)
    return [
        {
            "name": name,
            "chosen": (selected or {}).get(name, {}),
            "last": last.get(name) or last.get(name.rpartition(".")[2]),
        }
        for name in names
    ]


PAGES = [
    Page("/connections", Role.VIEWER, connections),
    Page("/connections/<name>", Role.VIEWER, connection),
    Page("/connections/<name>/sync", Role.OPERATOR, sync, ("POST",)),
    Page("/connections/<name>/remask", Role.PRIVACY, remask, ("POST",)),
    Page("/connections/<name>/accept", Role.OPERATOR, accept, ("POST",)),
    Page("/connections/<name>/delete", Role.OPERATOR, ask_deletion),
    Page("/connections/<name>/delete", Role.OPERATOR, delete, ("POST",)),
]
