"""Connections put together step by step: begun, tried at the source, and made or changed at last.

What a step says is kept in a draft (:mod:`atlas.ledger.drafts`); the connection itself changes with
the last step, and then all at once, by the same rules as over HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from atlas.connectors import catalog, runner
from atlas.connectors.config import validate
from atlas.connectors.install import present
from atlas.connectors.masking import literal, masked, unmasked, within_roots
from atlas.errors import NotFound, NotInstalled, UsageError
from atlas.ledger import connections, drafts, operations
from atlas.ledger.drafts import Draft
from atlas.ledger.operations import Kind
from atlas.settings import Settings, secret_key
from atlas.sync import edit

_RULES = ("schedule", "pii", "quality", "schema_changes")


def begin(conn: sa.Connection, settings: Settings, connector: str, *, asked_by: str) -> str:
    """A draft of a new connection to ``connector``; returns its id.

    Raises:
        NotFound: the catalog has no such connector.
    """
    entry = catalog.get(connector, settings)
    return drafts.create(conn, secret_key(settings), asked_by=asked_by, connector=entry.name)


def begin_edit(conn: sa.Connection, settings: Settings, name: str, *, asked_by: str) -> str:
    """A draft of what the connection ``name`` is to become; returns its id.

    Raises:
        NotFound: there is no such connection.
    """
    stored = connections.get(conn, secret_key(settings), name)
    return drafts.create(
        conn,
        secret_key(settings),
        asked_by=asked_by,
        connector=stored.connection.connector,
        connection=name,
        config=stored.declared,
        document={"name": name, **stored.connection.document()},
    )


def spec(draft: Draft, settings: Settings) -> dict[str, Any] | None:
    """What the draft's configuration has to be; None: its connector is not installed, or its source
    is a program."""
    if draft.connector is None:
        return None
    found = present(draft.connector, settings, draft.document.get("version"))
    return None if found is None else runner.kept_spec(found, settings)


def shown(draft: Draft, settings: Settings) -> dict[str, Any]:
    """The draft's configuration, secrets masked."""
    return masked(spec(draft, settings), draft.config)


def configure(
    conn: sa.Connection, settings: Settings, draft: Draft, name: str, config: Mapping[str, Any]
) -> None:
    """Keep name and configuration, right or wrong: nobody has to type a secret twice. In the
    configuration a mask stands for what the draft has there.

    Raises:
        UsageError: a mask that stands for nothing, or a reference.
    """
    wanted = unmasked(config, draft.config)
    words: dict[str, Any] = {"name": name, "configured": False}
    if wanted != draft.config:
        # What the source said was of another configuration.
        words |= {"check": None, "discover": None, "touched": _touched(draft, "config")}
    drafts.save(conn, secret_key(settings), draft, config=wanted, **words)


def confirm(conn: sa.Connection, settings: Settings, draft: Draft) -> None:
    """See that the configuration is what the connector's spec asks for, and write that down.

    Raises:
        UsageError: it is not. NotInstalled: the connector is not, so nobody knows.
    """
    _see(draft, settings)
    drafts.save(conn, secret_key(settings), draft, configured=True)


def _see(draft: Draft, settings: Settings) -> None:
    of = spec(draft, settings)
    if of is None or draft.connector is None:
        raise NotInstalled(str(draft.connector))
    within_roots(draft.connector, draft.config, settings)
    validate(str(draft.document.get("name")), of, draft.config)


def probe(
    conn: sa.Connection, settings: Settings, draft: Draft, *, asked_by: str, actor: str
) -> list[int]:
    """Ask the source whether it can be reached with the draft's configuration, and for its streams;
    returns the messages to be sent after the commit.

    Raises:
        UsageError: it is not what the connector asks for, points where nobody on the network may
            have something read, or holds references, which are looked up only in runs.
        NotInstalled: the connector is not.
        TooMany: too many questions of whoever asks have no answer yet.
    """
    if draft.connector is None:
        raise UsageError("the source of this connection is a program: it is tried when it is run")
    literal(draft.config)
    # What is kept may be wrong: nobody has to type it twice. It is not tried for that.
    _see(draft, settings)
    asked: dict[str, Any] = {}
    messages = []
    for kind in (Kind.CHECK, Kind.DISCOVER):
        asked[kind.value], message = operations.create(
            conn,
            secret_key(settings),
            kind,
            draft.connector,
            asked_by=asked_by,
            actor=actor,
            version=draft.document.get("version"),
            config=draft.config,
        )
        messages.append(message)
    drafts.save(conn, secret_key(settings), draft, **asked)
    return messages


def answers(conn: sa.Connection, draft: Draft) -> dict[str, dict[str, Any] | None]:
    """What became of the questions to the source: ``{"check": …, "discover": …}``; None: it was not
    asked, or so long ago that the answer is gone."""
    found: dict[str, dict[str, Any] | None] = {}
    for kind in ("check", "discover"):
        found[kind] = None
        if asked := draft.document.get(kind):
            try:
                found[kind] = operations.document(conn, asked)
            except NotFound:
                continue
    return found


def say(conn: sa.Connection, settings: Settings, draft: Draft, **words: Any) -> None:
    """Keep what the steps after the configuration said: ``streams``, ``schedule``, ``pii``,
    ``quality``, ``schema_changes``."""
    new = [name for name, value in words.items() if draft.document.get(name) != value]
    drafts.save(conn, secret_key(settings), draft, **words, touched=_touched(draft, *new))


def changes(draft: Draft) -> dict[str, Any]:
    """What the draft would have the connection be, as :func:`atlas.sync.edit.create` or ``change``
    takes it: of one that is edited only what was touched."""
    document = draft.document
    found = {
        word: document.get(word)
        for word in ("streams", *_RULES)
        if draft.connection is None or word in document.get("touched", ())
    }
    if draft.connection is None or "config" in document.get("touched", ()):
        found["config"] = draft.config
    return found


def finish(
    conn: sa.Connection,
    settings: Settings,
    draft: Draft,
    *,
    actor: str,
    may_unmask: bool,
    may_query: bool,
    reset_state: bool = False,
) -> str:
    """Make or change the connection, and forget the draft; returns the connection's name.

    Raises:
        As :func:`atlas.sync.edit.create` and :func:`atlas.sync.edit.change`.
    """
    wanted = changes(draft)
    name = str(draft.document.get("name", ""))
    if draft.connection is None:
        given = {word: value for word, value in wanted.items() if value is not None}
        made = {"name": name, "connector": draft.connector, **given}
        edit.create(conn, settings, made, actor=actor, may_unmask=may_unmask, may_query=may_query)
    elif wanted:
        name = draft.connection
        edit.change(
            conn,
            settings,
            name,
            wanted,
            actor=actor,
            may_unmask=may_unmask,
            may_query=may_query,
            reset_state=reset_state,
        )
    drafts.delete(conn, draft.id)
    return name


def _touched(draft: Draft, *names: str) -> list[str]:
    return sorted({*draft.document.get("touched", ()), *names})
