"""What is asked of data is tried before it is stored, as far as can be known without data.

Checks are read by Soda; where a stream has been synced before, they are evaluated on a table of its
columns that has no rows: so a column that it does not have, a regular expression that is none, and
a query that writes are refused now and not in the run. What depends on rows, such as a division by
zero, shows in the run.
"""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from atlas.errors import TerminalError, UsageError
from atlas.layers import names
from atlas.ledger import connections, datasets
from atlas.ledger.database import cursor
from atlas.ledger.runs import RunStream
from atlas.model.checks import Outcome
from atlas.model.connection import Connection
from atlas.model.stream import Column, StreamKey
from atlas.quality import own
from atlas.quality.check import Plan
from atlas.quality.plan import plan
from atlas.quality.soda import SodaHost
from atlas.settings import Settings, database_url

_SECONDS = 20.0
"""Whoever applies waits, over HTTP in a transaction; of no rows any check is answered at once."""


def try_out(conn: sa.Connection, settings: Settings, connection: Connection) -> None:
    """Refuse what ``connection`` asks of its data where it cannot be evaluated; nothing is tried
    where just that is stored already.

    Raises:
        UsageError: names the key and the line. TransientError: it cannot be tried now.
    """
    quality = connection.quality
    if quality.checks is None and not quality.streams:
        return
    if connections.quality(conn, connection.name) == quality:
        return
    known = datasets.latest(conn, connection.name)
    with SodaHost() as host:
        try:
            for name in _streams(connection):
                called_so = [stream for stream in known if stream.key.name == name]
                for stream in called_so:  # in each namespace that has one
                    _try(conn, host, settings, connection, stream)
                if not called_so:
                    _read(host, settings, connection, name)
        except TerminalError as error:
            raise UsageError(f"connection {connection.name}: {error}") from error


def _streams(connection: Connection) -> list[str]:
    """Streams that something is asked of by name."""
    asked = dict.fromkeys(connection.quality.streams)
    if connection.quality.checks is not None:
        asked |= dict.fromkeys(own.streams(connection.quality.checks))
    return list(asked)


def _read(host: SodaHost, settings: Settings, connection: Connection, stream: str) -> None:
    for origin, text in connection.quality.of(StreamKey(stream)).checks:
        checks = own.own_checks(text, stream, (), (), origin)
        if checks:
            host.read(
                Plan(stream, tuple(checks), connection.quality.on_failure),
                min(settings.quality_timeout, _SECONDS),
            )


def _try(
    conn: sa.Connection,
    host: SodaHost,
    settings: Settings,
    connection: Connection,
    last: RunStream,
) -> None:
    configured = last.configured
    columns = names.columns(cursor(conn), connection.name, last.key, configured.json_schema).all
    by_property = {column.property: column.name for column in columns}
    chosen = (connection.streams or {}).get(last.key.name)
    key = configured.primary_key
    field = configured.cursor_field
    if chosen is not None:
        key = chosen.primary_key or key
        field = chosen.cursor_field or field
    planned = plan(
        last.key.name,
        columns,
        [by_property[path[0]] for path in key if path[0] in by_property],
        by_property.get(field[0]) if field else None,
        asked=connection.quality.of(last.key),
        expected_rows=0,
    )
    own_checks = tuple(check for check in planned.checks if check.line is not None)
    if own_checks:
        _evaluate(host, settings, columns, replace(planned, checks=own_checks, measures=()))


def _evaluate(
    host: SodaHost, settings: Settings, columns: tuple[Column, ...], planned: Plan
) -> None:
    found = host.try_out(
        database_url(settings), columns, planned, min(settings.quality_timeout, _SECONDS)
    )
    for check, result in zip(planned.checks, found.results, strict=True):
        reason = result.detail.get("reason")
        # Without a reason it is only that there are no rows.
        if result.outcome is Outcome.ERROR and reason:
            raise TerminalError(
                f"{check.origin}, line {check.line}: {reason} "
                f"(stream {planned.stream}, check {check.name})"
            )
