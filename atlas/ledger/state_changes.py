"""What people do to a connection's state: reset it, import one, put an earlier one back.

Only while no run of the connection is active, and never beside one that begins: its row is locked
as nobody can lock it who writes down a run of it, or has one go on. Each change stands in the
history, with who made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from atlas.errors import ActiveRun, Conflict, NotFound, UsageError
from atlas.ledger import audit, paging, runs
from atlas.ledger import state_documents as documents
from atlas.ledger.state import (
    State,
    basis_json,
    delete,
    get,
    prune,
    restored,
    without_entry,
    write,
)
from atlas.ledger.tables import connection, run, run_stream, state_history
from atlas.model.stream import StreamKey

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

_NOTE = sa.text(
    """
    INSERT INTO pipeline.state_history
           (connection_id, namespace, stream, type, state, basis, action, actor)
    VALUES (:connection_id, :namespace, :stream, :type, CAST(:state AS jsonb),
            CAST(:basis AS jsonb), :action, :actor)
    """
)


class Change:
    """A change that ``actor`` makes in the transaction of ``conn``.

    Args:
        actor: who makes it, such as ``cli: ann`` or ``api: nightly``.
        what: what is done, as an active run's error says it.

    Attributes:
        id: the connection's.

    Raises:
        NotFound: there is no such connection. ActiveRun: it has an active run.
    """

    def __init__(
        self, conn: sa.Connection, name: str, *, actor: str, what: str = "you change its state"
    ) -> None:
        self._conn = conn
        self.name = name
        self._actor = actor
        self.id = id_of(conn, name)
        self._idle(what)  # before the lock too: a run's checkpoint may keep it waiting
        conn.execute(sa.select(connection.c.id).where(connection.c.id == self.id).with_for_update())
        id_of(conn, name)  # it may have been deleted meanwhile
        self._idle(what)

    def _idle(self, what: str) -> None:
        active = runs.active_of(self._conn, self.id)
        if active is not None:
            raise ActiveRun(self.name, active, before=what)

    def reset(self, key: StreamKey | None, *, action: str = "reset") -> None:
        """Forget the state of a stream, or all of it.

        Of a stream inside a GLOBAL state its entry goes and the shared part stays, so that the
        source reads this stream anew and goes on with the others. Where there is nothing to forget
        nothing happens.

        Raises:
            Conflict: a LEGACY state is only whole.
        """
        present = get(self._conn, self.id)
        if key is None:
            for each in present:
                delete(self._conn, self.id, each.key)
                self._note(each.type, each.key, None, action)
        else:
            owner = self._owner(present, key)
            if owner is None:
                return
            left = without_entry(owner, key) if owner.key is None else None
            if left is None:
                delete(self._conn, self.id, owner.key)
            else:
                write(self._conn, self.id, left, None)
            self._note(owner.type, owner.key, left, action)
        prune(self._conn, self.id)

    def replace(self, states: Iterable[State], *, action: str) -> None:
        """Have these be all the state that there is."""
        new = list(states)
        rows = {each.key for each in new}
        for former in get(self._conn, self.id):
            if former.key not in rows:
                delete(self._conn, self.id, former.key)
                self._note(former.type, former.key, None, action)
        for each in new:
            write(self._conn, self.id, each, None)
            self._note(each.type, each.key, each, action)
        prune(self._conn, self.id)

    def put(self, key: StreamKey, own: bytes, *, action: str) -> None:
        """Have ``own`` be the connector's own state of one stream; the others keep theirs.

        Raises:
            Conflict: a LEGACY state is only whole.
        """
        present = get(self._conn, self.id)
        owner = self._owner(present, key)
        wide = next((each for each in present if each.key is None), None)
        new = State("STREAM", key, documents.stream_document(key, own))
        if owner is None and wide is not None:
            owner = wide
        if owner is not None and owner.key is None:
            found = {**documents.entries(owner.document), key: documents.entry(key, own)}
            common = documents.shared(owner.document)
            document = documents.with_entries(owner.document, found, common)
            basis = {one: item for one, item in owner.basis.items() if one != key}
            new = State("GLOBAL", None, document, basis)
        write(self._conn, self.id, new, None)
        self._note(new.type, new.key, new, action)
        prune(self._conn, self.id)

    def restore(self, history_id: int) -> None:
        """Put back a state of the history.

        Raises:
            NotFound: the connection's history has no such entry.
            Conflict: it is a stream's own, and the stream shares its state with others now.
        """
        row = self._conn.execute(
            sa.select(
                state_history,
                sa.cast(state_history.c.state, sa.Text).label("document"),
            ).where(state_history.c.connection_id == self.id, state_history.c.id == history_id)
        ).one_or_none()
        if row is None:
            raise NotFound(
                f"the history of connection {self.name} has no entry {history_id}: "
                f"`atlas state history {self.name}` shows those there are"
            )
        present = get(self._conn, self.id)
        wide = next((each for each in present if each.key is None), None)
        own = {each.key for each in present}
        key = StreamKey(row.stream, row.namespace or None) if row.type == "STREAM" else None
        if key is not None and wide is not None and key not in own:
            raise Conflict(
                f"entry {history_id} is the state of one stream, and connection {self.name} has a "
                f"{wide.type} state now: reset that first, or restore one of its kind"
            )
        if row.document is None:
            if key in own:
                self.reset(key, action="restore")
            return
        old = restored(row)
        if key is not None:
            write(self._conn, self.id, old, None)
            self._note(old.type, key, old, "restore")
            prune(self._conn, self.id)
            return
        beside = [
            each
            for each in present
            if old.type == "GLOBAL" and each.key is not None and each.key not in old.streams
        ]
        self.replace([old, *beside], action="restore")

    def find(self, given: str) -> StreamKey:
        """The stream that ``given`` means, of a state that can be changed in part.

        Raises:
            NotFound, UsageError: as :func:`find`. Conflict: it is LEGACY.
        """
        self._owner(get(self._conn, self.id), None)
        return find(self._conn, self.name, self.id, given)

    def _owner(self, present: list[State], key: StreamKey | None) -> State | None:
        """The state in which a stream's stands."""
        for each in present:
            if each.type == "LEGACY":
                raise Conflict(
                    f"connection {self.name} has a LEGACY state, one for all its streams: it can "
                    f"only be changed whole; `atlas state reset {self.name}` resets it"
                )
            if key in each.streams:
                return each
        return None

    def _note(self, kind: str, key: StreamKey | None, new: State | None, action: str) -> None:
        stream = None if key is None else str(key)
        audit.put(self._conn, self._actor, f"state.{action}", self.name, {"stream": stream})
        self._conn.execute(
            _NOTE,
            {
                "connection_id": self.id,
                "namespace": (key.namespace or "") if key else "",
                "stream": key.name if key else "",
                "type": kind,
                "state": None if new is None else new.document,
                "basis": None if new is None else basis_json(new.basis),
                "action": action,
                "actor": self._actor,
            },
        )


def id_of(conn: sa.Connection, name: str) -> int:
    """The id of the connection called ``name``.

    Raises:
        NotFound: there is none.
    """
    found = None
    if _NAME.fullmatch(name):
        found = conn.execute(sa.select(connection.c.id).where(connection.c.name == name)).scalar()
    if found is None:
        raise NotFound(
            f"there is no connection {name[:100]}: `atlas connections list` shows those there are"
        )
    return int(found)


def find(conn: sa.Connection, name: str, connection_id: int, given: str) -> StreamKey:
    """The stream that ``given`` means: its name, or ``namespace.name``.

    Raises:
        NotFound: neither a state nor a run knows it. UsageError: several have this name.
    """
    present = get(conn, connection_id)
    known = {key for each in present for key in each.streams}
    read = conn.execute(
        sa.select(run_stream.c.namespace, run_stream.c.stream)
        .join(run, run.c.id == run_stream.c.run_id)
        .where(run.c.connection_id == connection_id)
        .distinct()
    )
    known |= {StreamKey(row.stream, row.namespace or None) for row in read}
    exact = [key for key in known if str(key) == given]
    found = exact if len(exact) == 1 else [key for key in known if given in (str(key), key.name)]
    if not found:
        raise unknown(name, given, present)
    if len(found) > 1:
        names = ", ".join(sorted(str(key) for key in found))
        raise UsageError(f"stream {given}: there are several; write one of {names}")
    return found[0]


def unknown(name: str, given: object, present: list[State]) -> NotFound:
    """The error of a stream that has no state."""
    if any(each.type == "LEGACY" for each in present):
        return NotFound(
            f"stream {given}: connection {name} has a LEGACY state, one for all its streams: "
            "look at it whole"
        )
    names = sorted(str(key) for each in present for key in each.streams)
    has = ", ".join(names[:8]) if names else "none at all"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return NotFound(f"stream {given}: connection {name} has no state of it; it has {has}{more}")


def history(
    conn: sa.Connection,
    name: str,
    *,
    stream: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """A page of what states the connection had, newest first.

    Args:
        stream: only of this stream, and the states that it shared.

    Raises:
        NotFound: there is no such connection or stream. UsageError: the cursor is none of ours.
    """
    connection_id = id_of(conn, name)
    table = state_history.c
    query = (
        sa.select(state_history, sa.cast(table.state, sa.Text).label("document"))
        .where(table.connection_id == connection_id)
        .order_by(table.id.desc())
        .limit(limit + 1)
    )
    if stream is not None:
        past = conn.execute(
            sa.select(table.namespace, table.stream)
            .where(table.connection_id == connection_id, table.type == "STREAM")
            .distinct()
        )
        keys = {StreamKey(row.stream, row.namespace or None) for row in past}
        own = [key for key in keys if stream in (str(key), key.name)]
        if not own:
            own = [find(conn, name, connection_id, stream)]
        query = query.where(
            sa.or_(
                table.type != "STREAM",
                *(
                    sa.and_(table.stream == key.name, table.namespace == (key.namespace or ""))
                    for key in own
                ),
            )
        )
    after = paging.before(cursor)
    if after is not None:
        query = query.where(table.id < after)
    items = [
        {
            "id": row.id,
            "stream": row.stream or None,
            "namespace": row.namespace or None,
            "type": row.type,
            "action": row.action,
            "actor": row.actor or f"run {row.run_id}",
            "run_id": row.run_id,
            "changed_at": row.changed_at,
            "state": row.document,
        }
        for row in conn.execute(query)
    ]
    return paging.page(items, limit)
