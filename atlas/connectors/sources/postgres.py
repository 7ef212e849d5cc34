"""``source-postgres``: reads tables and views of a PostgreSQL database, whole or by a cursor.

``python -m atlas.connectors.sources.postgres spec | check | discover | read --config FILE …``

A stream is read in one transaction: REPEATABLE READ, so that all of it is of one moment, and READ
ONLY. By a cursor, rows come in its order, from the value reached on (``>=``, for more rows of that
value may have come); then those that no order reaches, each time: whose cursor is NULL or infinite.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.connectors.sources import postgres_connection, postgres_tables, speak
from atlas.connectors.sources.postgres_copy import Lines, copy, expected, literal
from atlas.connectors.sources.postgres_spec import SPEC
from atlas.connectors.sources.postgres_tables import Column, Relation
from atlas.connectors.sources.postgres_types import CURSORS, ENDLESS
from atlas.connectors.sources.speak import Selected, SourceError

__all__ = ["SPEC", "Postgres", "main"]

_DAY = 86_400
_NUMERIC_INFINITY = 14_00_00
"""The first version of PostgreSQL whose numeric has it."""
_TEMPORAL = ("date", "timestamp", "timestamptz")
_States = dict[tuple[str, str | None], dict[str, Any]]


class Postgres(speak.Source):
    """The source."""

    spec = SPEC

    def check(self, config: dict[str, Any]) -> None:
        """Connect, and see that there is something to read."""
        if not self._relations(config):
            names = ", ".join(_schemas(config))
            raise SourceError(
                f"schemas {names}: there is no table or view that this user may read: "
                "GRANT SELECT, or name other schemas"
            )

    def discover(self, config: dict[str, Any]) -> list[dict[str, Any]]:
        """Tables and views of the schemas."""
        return [relation.stream() for relation in self._relations(config)]

    def _relations(self, config: dict[str, Any]) -> list[Relation]:
        connection = _connect(config)
        try:
            with postgres_connection.snapshot(connection) as cur:
                wanted = _schemas(config)
                if missing := postgres_tables.missing(cur, wanted):
                    raise SourceError(
                        f"schemas {', '.join(missing)}: not there, or this user may not use them"
                    )
                return postgres_tables.relations(cur, wanted)
        except psycopg2.Error as error:
            raise postgres_connection.explain(error, "catalog") from error
        finally:
            connection.close()

    def read(self, config: dict[str, Any], streams: Sequence[Selected], states: _States) -> None:
        """Read stream after stream. One that is at fault itself holds back no other."""
        connection = _connect(config)
        failed = []
        try:
            for stream in streams:
                speak.status(stream, "STARTED")
                try:
                    state = states.get((stream.name, stream.namespace), {})
                    _read(connection, config, stream, state)
                except SourceError as error:
                    speak.failure(error, stream)
                    speak.status(stream, "INCOMPLETE")
                    if error.kind != "config_error":
                        raise
                    failed.append(stream)
                else:
                    speak.status(stream, "COMPLETE")
        finally:
            connection.close()
        if failed:
            names = ", ".join(stream.name for stream in failed)
            raise SourceError(f"could not be read: {names}")


def _connect(config: dict[str, Any]) -> extensions.connection:
    method = (config.get("replication_method") or {}).get("method", "Standard")
    if method != "Standard":
        raise SourceError(
            f"replication_method {method}: this source reads by a cursor; write method: Standard"
        )
    tunnel = (config.get("tunnel_method") or {}).get("tunnel_method", "NO_TUNNEL")
    if tunnel != "NO_TUNNEL":
        raise SourceError(
            f"tunnel_method {tunnel}: this source opens no tunnel; open it beside, and write its "
            "host and port"
        )
    if config.get("jdbc_url_params"):
        raise SourceError("jdbc_url_params: this source has no JDBC; use ssl_mode, or leave it out")
    return postgres_connection.connect(config)


def _schemas(config: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(config.get("schemas") or ["public"]))


def _read(
    connection: extensions.connection,
    config: dict[str, Any],
    stream: Selected,
    state: dict[str, Any],
) -> None:
    what = f"table {stream.namespace or 'public'}.{stream.name}"
    try:
        with postgres_connection.snapshot(connection) as cur:
            relation = postgres_tables.relation(cur, stream.namespace or "public", stream.name)
            columns = tuple(item for item in relation.columns if item.name in stream.properties)
            cursor = _cursor(stream, columns, what)
            start = _start(cursor, state, what)
            lines = Lines(stream, cursor.name if cursor else None, start)
            with lines.talking():
                _copy(cur, config, relation, columns, cursor, lines)
            lines.state()
    except psycopg2.Error as error:
        raise postgres_connection.explain(error, what) from error


def _copy(
    cur: extensions.cursor,
    config: dict[str, Any],
    relation: Relation,
    columns: tuple[Column, ...],
    cursor: Column | None,
    lines: Lines,
) -> None:
    nothing = SQL("")
    if cursor is None:
        lines.estimate(expected(cur, relation, nothing))
        copy(cur, relation, columns, nothing, nothing, lines)
        return
    name = SQL("t.{}").format(Identifier(cursor.name))
    kind = cursor.mapped.base
    endless = _endless(cur.connection, kind)
    conditions: list[Composable] = []
    others: list[Composable] = []
    if lines.reached is not None:
        since = _since(config, kind, lines.reached)
        conditions.append(SQL("{} >= {}").format(name, since))
    if endless is not None:
        conditions.append(SQL("{} < {}").format(name, endless))
        others.append(SQL("{} >= {}").format(name, endless))
    if not cursor.not_null:
        conditions.append(SQL("{} IS NOT NULL").format(name))
        others.append(SQL("{} IS NULL").format(name))
    ordered = _where(conditions, " AND ")
    lines.estimate(expected(cur, relation, ordered))
    copy(cur, relation, columns, ordered, SQL(" ORDER BY {}").format(name), lines)
    lines.look()
    if others:
        lines.unordered()
        copy(cur, relation, columns, _where(others, " OR "), nothing, lines)


def _endless(connection: extensions.connection, kind: str) -> Composable | None:
    value = ENDLESS.get(kind)
    if kind == "numeric" and connection.server_version < _NUMERIC_INFINITY:
        value = "NaN"
    return None if value is None else literal(value, kind)


def _where(conditions: list[Composable], word: str) -> Composable:
    return SQL(" WHERE ") + SQL(word).join(conditions) if conditions else SQL("")


def _cursor(stream: Selected, columns: Sequence[Column], what: str) -> Column | None:
    if not stream.incremental:
        return None
    if stream.cursor is None:
        raise SourceError(f"{what}: an incremental read needs a cursor_field")
    found = next((item for item in columns if item.name == stream.cursor), None)
    if found is None:
        raise SourceError(
            f"{what}: its cursor {stream.cursor} is none of the columns that are read"
        )
    if found.mapped.base not in CURSORS:
        raise SourceError(
            f"{what}: column {stream.cursor} cannot be a cursor: it must be of a number type, a "
            "date or timestamp, text or uuid"
        )
    return found


def _start(cursor: Column | None, state: dict[str, Any], what: str) -> str | None:
    """The value that an earlier read reached."""
    if cursor is None or not state or "__ab_no_cursor_state_message" in state:
        return None
    said = state.get("cursor_field")
    if said != [cursor.name] or "cursor" not in state:
        raise SourceError(
            f"{what}: its state is of another cursor than {cursor.name}: reset the stream's state"
        )
    reached = state["cursor"]
    return None if reached is None else str(reached)


def _since(config: dict[str, Any], kind: str, reached: str) -> Composable:
    """Where to begin: at what was reached, or before it if the config looks back."""
    seconds = config.get("lookback_seconds") or 0
    values = config.get("lookback_values") or 0
    start = literal(reached, kind)
    if kind in _TEMPORAL and seconds:
        if kind == "date":
            return SQL("({} - {})").format(start, Literal(math.ceil(seconds / _DAY)))
        return SQL("({} - make_interval(secs => {}))").format(start, Literal(seconds))
    if kind == "numeric" and values:
        return SQL("({} - {})").format(start, Literal(values))
    least = CURSORS.get(kind)
    if least is not None and values:
        return literal(str(max(int(reached) - values, least)), kind)
    return start


def main() -> int:
    """Answer the command line; returns the exit code."""
    try:
        return speak.run(Postgres(), sys.argv[1:])
    except BrokenPipeError:
        # Whoever read has gone; there is nobody to tell, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
