"""The connector's own state, kept as it was sent, with the rows it covers.

State passes through as text: a cursor of forty digits comes back as it went in.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from atlas.model.stream import StreamKey


@dataclass(frozen=True, slots=True)
class State:
    """One state: ``type`` STREAM, GLOBAL or LEGACY; ``key`` None but for STREAM; ``document`` is
    the JSON text of the message's ``state``."""

    type: str
    key: StreamKey | None
    document: str


_PUT = sa.text(
    """
    INSERT INTO pipeline.connector_state AS c
           (connection_id, namespace, stream, type, state, run_id)
    VALUES (:connection_id, :namespace, :stream, :type, CAST(:state AS jsonb), :run_id)
    ON CONFLICT (connection_id, namespace, stream) DO UPDATE
       SET type = excluded.type, state = excluded.state, run_id = excluded.run_id,
           updated_at = clock_timestamp()
    """
)

_OTHERS = sa.text(
    "DELETE FROM pipeline.connector_state WHERE connection_id = :connection_id AND type <> :type"
)

_HISTORY = sa.text(
    """
    -- What each stream's state was when the run ended.
    INSERT INTO pipeline.state_history (connection_id, namespace, stream, type, state, run_id)
    SELECT connection_id, namespace, stream, type, state, run_id
      FROM pipeline.connector_state WHERE run_id = :run_id
    """
)

_GET = sa.text(
    """
    SELECT namespace, stream, type, CAST(state AS text) AS document
      FROM pipeline.connector_state WHERE connection_id = :connection_id ORDER BY id
    """
)


def put(conn: sa.Connection, connection_id: int, run_id: str, state: State) -> None:
    """Replace the state of the stream, or of the whole connection for GLOBAL and LEGACY.

    A source that changed its type of state has said all there is to know in the new one.
    """
    conn.execute(_OTHERS, {"connection_id": connection_id, "type": state.type})
    conn.execute(
        _PUT,
        {
            "connection_id": connection_id,
            "namespace": (state.key.namespace or "") if state.key else "",
            "stream": state.key.name if state.key else "",
            "type": state.type,
            "state": state.document,
            "run_id": run_id,
        },
    )


def get(conn: sa.Connection, connection_id: int) -> list[State]:
    """All states of the connection."""
    return [
        State(
            type=row.type,
            key=StreamKey(row.stream, row.namespace or None) if row.type == "STREAM" else None,
            document=row.document,
        )
        for row in conn.execute(_GET, {"connection_id": connection_id})
    ]


def remember(conn: sa.Connection, run_id: str) -> None:
    """Add to the history what the states are at the end of this run."""
    conn.execute(_HISTORY, {"run_id": run_id})
