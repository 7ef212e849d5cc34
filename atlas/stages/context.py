"""What every stage of a stream needs to know before it begins, read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from atlas import logs
from atlas.layers import names
from atlas.ledger import connections, overrides, runs
from atlas.ledger.database import cursor
from atlas.ledger.runs import Run, RunStream
from atlas.ledger.secrets import keys
from atlas.model.connection import Connection
from atlas.model.personal import Override
from atlas.model.stream import Column
from atlas.settings import secret_key
from atlas.stages.work import Held


@dataclass(frozen=True, slots=True)
class Context:
    """A stream of a run with its connection, tables and columns.

    Attributes:
        columns: all that its tables have, also those that the present schema no longer names.
        key: names of the primary key's columns, in order; empty: it has none.
        cursor: name of the cursor's column, or None.
        overrides: what people had said of its columns when the run was made.
        identity: what row hashes and the key that encrypts are derived from.
        tokens: what its tokens come from.
        former_tokens: what the tokens in its tables come from, where that is another key; or None.
    """

    run: Run
    stream: RunStream
    connection: Connection
    tables: names.Tables
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    cursor: str | None
    overrides: tuple[Override, ...]
    identity: bytes = field(repr=False)
    tokens: bytes = field(repr=False)
    former_tokens: bytes | None = field(repr=False)


def load(work: Held) -> Context:
    """The context of work on one stream.

    Raises:
        NotFound: the connection was deleted. WrongSecretKey: as it says.
    """
    assert work.run_stream_id is not None  # noqa: S101 - every stage but explore has a stream
    with work.engine.begin() as conn:
        stream = runs.stream(conn, work.run_stream_id)
        logs.note(run=stream.run_id, stream=str(stream.key))
        run = runs.get(conn, stream.run_id)
        secret = secret_key(work.settings)
        stored = connections.of_run(conn, secret, run.connection_id)
        connection = stored.connection
        cur = cursor(conn)
        configured = stream.configured
        columns = names.columns(cur, connection.name, stream.key, configured.json_schema).all
        opened = keys(conn, secret)
        present = names.token_key(cur, connection.name, stream.key)
        anew = stream.token_key not in (None, present)
        by_property = {column.property: column.name for column in columns}
        return Context(
            run=run,
            stream=stream,
            connection=connection,
            tables=names.tables(cur, connection.name, stream.key),
            columns=columns,
            key=tuple(by_property.get(path[0], path[0]) for path in configured.primary_key),
            overrides=tuple(overrides.of_stream(conn, connection.name, stream.key, run.created_at)),
            cursor=by_property.get(configured.cursor_field[0]) if configured.cursor_field else None,
            identity=opened.identity,
            tokens=opened.token_key(stream.token_key or present),
            former_tokens=opened.token_key(present) if anew else None,
        )
