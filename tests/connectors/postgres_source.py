"""A database that source-postgres reads in tests, and what comes out of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from atlas.connectors import install, runner
from atlas.connectors.configure import configure
from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.model.stream import StreamSelection, SyncMode
from atlas.settings import Settings


class Database:
    """A database with ``execute``, and the source that reads it."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.settings = settings
        self.connector = install.resolve("source-postgres", None, settings)
        given = parse_dsn(url)
        self.config: dict[str, Any] = {
            "host": given["host"],
            "port": int(given.get("port", 5432)),
            "database": given["dbname"],
            "username": given["user"],
        }
        if "password" in given:
            self.config["password"] = given["password"]
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True

    def execute(self, statement: str, *values: Any) -> None:
        """Run statements; each commits."""
        with self.connection.cursor() as cur:
            cur.execute(statement, values or None)

    def discover(self, **config: Any) -> dict[str, Any]:
        """The streams by name."""
        found = runner.discover(self.connector, {**self.config, **config}, self.settings)
        return {str(stream.key): stream for stream in found}

    def reader(
        self,
        table: str,
        state: bytes | None = None,
        cursor: str | None = None,
        columns: Iterable[str] | None = None,
        **config: Any,
    ) -> Reader:
        """Reads a table."""
        given = {**self.config, **config}
        mode = SyncMode.INCREMENTAL if cursor else SyncMode.FULL_REFRESH
        selection = StreamSelection(sync_mode=mode, cursor_field=(cursor,) if cursor else ())
        available = runner.discover(self.connector, given, self.settings)
        (stream,) = configure(available, {table: selection})
        if columns is not None:
            properties = {name: stream.json_schema["properties"][name] for name in columns}
            stream.json_schema["properties"] = properties
        states = [] if state is None else [state]
        return Reader(self.connector, given, [stream], states, self.settings)

    def read(self, table: str, **more: Any) -> tuple[list[bytes], list[State]]:
        """The documents of a table's records as they were printed, and the states."""
        documents: list[bytes] = []
        states: list[State] = []
        with self.reader(table, **more) as reader:
            for message in reader:
                if isinstance(message, Records):
                    documents += message.data
                elif isinstance(message, State):
                    states.append(message)
        assert list(reader.statuses.values()) == ["COMPLETE"]
        assert (reader.garbage, reader.ignored, reader.repaired) == (0, 0, 0)
        return documents, states

    def rows(self, table: str, **more: Any) -> tuple[list[dict[str, Any]], bytes]:
        """The records, and the last state."""
        documents, states = self.read(table, **more)
        return [json.loads(document) for document in documents], states[-1].blob


def reached(state: bytes) -> Any:
    """The cursor's value in a state."""
    return json.loads(state)["stream"]["stream_state"]["cursor"]
