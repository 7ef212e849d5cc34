"""The connector's own state, kept as it was sent, with the rows it covers.

State passes through as text: a cursor of forty digits comes back as it went in. A stream's state
stands in one place: its own row, or its entry in the one GLOBAL row, whichever came last; a LEGACY
state stands alone. What people do to it is :mod:`atlas.ledger.state_changes`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from atlas.ledger import state_documents as documents
from atlas.ledger.state_documents import Basis, Reading
from atlas.model.stream import StreamKey

KEPT = 100
"""States that the history keeps of each stream."""
_STATS = ["sourceStats", "destinationStats"]


@dataclass(frozen=True, slots=True)
class State:
    """One state: ``type`` STREAM, GLOBAL or LEGACY; ``key`` None but for STREAM; ``document`` is
    the JSON text of the message's ``state``; ``basis``: how the streams in it were read, where
    that is known."""

    type: str
    key: StreamKey | None
    document: str
    basis: Mapping[StreamKey, Basis] = field(default_factory=dict)

    @property
    def streams(self) -> set[StreamKey]:
        """The streams that it names."""
        if self.key is not None:
            return {self.key}
        return set(documents.entries(self.document)) if self.type == "GLOBAL" else set()


_PUT = sa.text(
    """
    WITH former AS (
      SELECT type, state FROM pipeline.connector_state
       WHERE connection_id = :connection_id AND namespace = :namespace AND stream = :stream)
    INSERT INTO pipeline.connector_state AS c
           (connection_id, namespace, stream, type, state, basis, run_id)
    VALUES (:connection_id, :namespace, :stream, :type, CAST(:state AS jsonb),
            CAST(:basis AS jsonb), :run_id)
    ON CONFLICT (connection_id, namespace, stream) DO UPDATE
       SET type = excluded.type, state = excluded.state, basis = excluded.basis,
           run_id = excluded.run_id, updated_at = clock_timestamp()
    -- What was counted on the way there does not make it another one.
    RETURNING NOT EXISTS (
      SELECT FROM former WHERE former.type = c.type
         AND former.state - CAST(:stats AS text[]) = c.state - CAST(:stats AS text[]))
    """
)

_DELETE = sa.text(
    """
    DELETE FROM pipeline.connector_state
     WHERE connection_id = :connection_id AND namespace = :namespace AND stream = :stream
    """
)

_HISTORY = sa.text(
    """
    -- What each stream's state was when the run ended, where that is another one than before; what
    -- was counted on the way there does not make it another one.
    WITH latest AS (
      SELECT DISTINCT ON (h.namespace, h.stream) h.namespace, h.stream, h.type, h.state
        FROM pipeline.state_history AS h
        JOIN pipeline.run AS r ON r.connection_id = h.connection_id
       WHERE r.id = :run_id
       ORDER BY h.namespace, h.stream, h.id DESC)
    INSERT INTO pipeline.state_history
           (connection_id, namespace, stream, type, state, basis, run_id)
    SELECT c.connection_id, c.namespace, c.stream, c.type, c.state, c.basis, c.run_id
      FROM pipeline.connector_state AS c
      LEFT JOIN latest AS l ON l.namespace = c.namespace AND l.stream = c.stream
     WHERE c.run_id = :run_id
       AND (c.type, c.state - CAST(:stats AS text[]))
           IS DISTINCT FROM (l.type, l.state - CAST(:stats AS text[]))
     ORDER BY c.id
    """
)

_PRUNE = sa.text(
    """
    DELETE FROM pipeline.state_history WHERE id IN (
      SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY namespace, stream ORDER BY id DESC) AS age
          FROM pipeline.state_history WHERE connection_id = :connection_id) AS aged
       WHERE age > :kept)
    """
)

_GET = sa.text(
    """
    -- GLOBAL first: that is where a connector looks for it.
    SELECT namespace, stream, type, CAST(state AS text) AS document, basis, run_id, updated_at
      FROM pipeline.connector_state WHERE connection_id = :connection_id
     ORDER BY type <> 'GLOBAL', id
    """
)


def put(conn: sa.Connection, connection_id: int, run_id: str, new: State, reading: Reading) -> bool:
    """Replace the state of the stream, or for GLOBAL and LEGACY of the streams that were read.

    What the source was not asked for keeps its state (:func:`documents.merged_global`).

    Returns:
        Whether it is another state than before.
    """
    present = get(conn, connection_id) if new.key is None else _apart(conn, connection_id)
    basis = {key: reading.streams[key] for key in new.streams if key in reading.streams}
    if new.type == "STREAM":
        _move_out(conn, connection_id, run_id, new, present)
    elif new.type == "GLOBAL":
        now = new.streams
        # One that names no stream is about all of them.
        basis = basis if now else dict(reading.streams)
        for other in present:
            if other.type == "LEGACY" or (other.key is not None and other.key in now):
                delete(conn, connection_id, other.key)
            elif other.type == "GLOBAL":
                document = documents.merged_global(other.document, new.document, reading)
                new = State("GLOBAL", None, document)
                stay = new.streams | set(basis)
                basis = {key: b for key, b in {**other.basis, **basis}.items() if key in stay}
    else:
        basis = dict(reading.streams)
        for other in present:
            if other.type == "LEGACY":
                document = documents.merged_legacy(other.document, new.document, reading)
                new = State("LEGACY", None, document)
                basis = basis if reading.whole else {**other.basis, **basis}
            else:
                delete(conn, connection_id, other.key)
    return write(conn, connection_id, State(new.type, new.key, new.document, basis), run_id)


def write(conn: sa.Connection, connection_id: int, new: State, run_id: str | None) -> bool:
    """Put a state in its row as it is; returns whether it is another one than before."""
    return bool(
        conn.execute(
            _PUT,
            {
                **_row(connection_id, new.key),
                "type": new.type,
                "state": new.document,
                "basis": basis_json(new.basis),
                "run_id": run_id,
                "stats": _STATS,
            },
        ).scalar_one()
    )


def delete(conn: sa.Connection, connection_id: int, key: StreamKey | None) -> None:
    """Take away the row of a stream, or that of GLOBAL or LEGACY."""
    conn.execute(_DELETE, _row(connection_id, key))


def without_entry(present: State, key: StreamKey) -> State | None:
    """A GLOBAL state without one of its streams; with the last the shared part goes too."""
    left = {one: item for one, item in documents.entries(present.document).items() if one != key}
    if not left:
        return None
    document = documents.with_entries(present.document, left, documents.shared(present.document))
    basis = {one: item for one, item in present.basis.items() if one != key}
    return State("GLOBAL", None, document, basis)


def get(conn: sa.Connection, connection_id: int) -> list[State]:
    """All states of the connection, GLOBAL first."""
    return [restored(row) for row in rows(conn, connection_id)]


def rows(conn: sa.Connection, connection_id: int) -> list[sa.Row[Any]]:
    """All states of the connection with the run that left them and the time."""
    return list(conn.execute(_GET, {"connection_id": connection_id}))


def restored(row: sa.Row[Any]) -> State:
    """The state in a row of the ledger."""
    key = StreamKey(row.stream, row.namespace or None) if row.type == "STREAM" else None
    return State(row.type, key, row.document, _basis_of(row.basis))


def remember(conn: sa.Connection, run_id: str) -> None:
    """Add to the history what the states are at the end of this run."""
    if conn.execute(_HISTORY, {"run_id": run_id, "stats": _STATS}).rowcount:
        of = sa.text("SELECT connection_id FROM pipeline.run WHERE id = :run_id")
        prune(conn, conn.execute(of, {"run_id": run_id}).scalar_one())


def prune(conn: sa.Connection, connection_id: int) -> None:
    """Keep of each stream's history what is newest."""
    conn.execute(_PRUNE, {"connection_id": connection_id, "kept": KEPT})


def basis_json(basis: Mapping[StreamKey, Basis]) -> str | None:
    """``basis`` as it is stored."""
    if not basis:
        return None
    return json.dumps(
        [
            {
                "stream": key.name,
                "namespace": key.namespace,
                "cursor_field": list(item.cursor_field),
                "primary_key": [list(path) for path in item.primary_key],
            }
            for key, item in basis.items()
        ]
    )


def _basis_of(stored: Iterable[dict[str, Any]] | None) -> dict[StreamKey, Basis]:
    return {
        StreamKey(item["stream"], item["namespace"]): Basis(
            tuple(item["cursor_field"]), tuple(tuple(path) for path in item["primary_key"])
        )
        for item in stored or ()
    }


def _apart(conn: sa.Connection, connection_id: int) -> list[State]:
    """The states that are not one stream's own."""
    found = conn.execute(
        sa.text(
            "SELECT namespace, stream, type, CAST(state AS text) AS document, basis"
            "  FROM pipeline.connector_state"
            " WHERE connection_id = :connection_id AND namespace = '' AND stream = ''"
        ),
        {"connection_id": connection_id},
    )
    return [restored(row) for row in found]


def _move_out(
    conn: sa.Connection, connection_id: int, run_id: str, new: State, present: Iterable[State]
) -> None:
    """Take a stream that now has a state of its own out of the one that it shared."""
    for other in present:
        if other.type == "LEGACY":
            delete(conn, connection_id, None)
        elif new.key is not None and new.key in other.streams:
            left = without_entry(other, new.key)
            if left is None:
                delete(conn, connection_id, None)
            else:
                write(conn, connection_id, left, run_id)


def _row(connection_id: int, key: StreamKey | None) -> dict[str, Any]:
    return {
        "connection_id": connection_id,
        "namespace": (key.namespace or "") if key else "",
        "stream": key.name if key else "",
    }
