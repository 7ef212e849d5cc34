"""The quality stage on 1,000,000 staged rows with 30 checks, against the same SQL run by hand.

A staging table as ``pii`` leaves it, filled by SQL; one row in a thousand has a value that its
schema does not allow, one in two thousand a value that does not fit its column. The checks are
those that the schema, the key and the cursor give, and a user's own up to thirty. Measured, in
turns, each round on a table of its own:

A. Atlas: the stage as a worker performs it, its Soda process warm, from before its claim to its end
   in the ledger: scan, scores, the failing rows marked and counted;
B. by hand: the statements that Soda sends in such a scan (for the checks, and for what later runs
   are compared with), recorded before, one after the other on one connection. Marking rows is not
   among them: Atlas is charged with it.

Who goes first changes from round to round.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

from psycopg2 import extensions

from atlas.layers import names, staging
from atlas.ledger.database import cursor
from atlas.model.quality import Quality
from atlas.model.stage import Stage
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.quality import host
from atlas.quality.soda import SodaHost
from atlas.stages import quality
from bench import Options, house
from bench.house import House
from bench.report import Limit, Result, Table
from bench.stack import BenchError

ROWS = 1_000_000
CHECKS = 30
"""The limit is meant for so many rows and checks."""
_LIMIT = 1.5
_WARM_UP = 1_000
_TEXT = {"type": "string"}
_STATUS = ["open", "closed", "pending", "cancelled"]
_SCHEMA = {
    "type": "object",
    "required": ["id", "name", "status"],
    "properties": {
        "id": {"type": "integer"},
        "name": _TEXT,
        "email": _TEXT | {"format": "email"},
        "code": _TEXT | {"pattern": "^[0-9a-f]{32}$"},
        "city": _TEXT,
        "status": _TEXT | {"enum": _STATUS},
        "note": _TEXT,
        "amount": {"type": "number"},
        "discount": {"type": "integer", "minimum": 0, "maximum": 100},
        "created_at": _TEXT | {"format": "date-time"},
        "updated_at": _TEXT | {"format": "date-time"},
    },
}
_STREAM = ConfiguredStream(
    StreamKey("orders"),
    _SCHEMA,
    SyncMode.FULL_REFRESH,
    cursor_field=("updated_at",),
    primary_key=(("id",),),
)
_OWN = (
    "missing_count(email) = 0",
    "missing_count(city) = 0",
    "duplicate_count(code) = 0",
    "invalid_count(city) = 0: {valid regex: '^city [0-9]+$'}",
    "invalid_count(discount) = 0: {valid min: 0, valid max: 100}",
    "avg(discount) between 10 and 90",
    "max(amount) < 100000",
    "min(amount) >= 0",
    "avg_length(name) > 3",
    "missing_percent(note) < 5",
)
_FILL = """
INSERT INTO {table} ({columns}, _atlas_id, _atlas_emitted_at, _atlas_row_hash, _atlas_deleted,
                     _atlas_errors, _atlas_failed)
SELECT g, 'customer with the number ' || g, 'user' || g || '@example.com', md5(g::text),
       'city ' || g % 50,
       CASE WHEN g % 1000 = 0 THEN 'lost' ELSE (ARRAY['open', 'closed', 'pending'])[g % 3 + 1] END,
       repeat(md5(g::text), 3), (g * 7919.0 % 100000)::numeric(10, 2),
       CASE WHEN g % 2000 = 1 THEN NULL ELSE g % 100 END,
       timestamptz '2024-01-01' + g * interval '1 second',
       timestamptz '2024-01-02' + g * interval '1 second', g, now(), md5(g::text) || md5(g::text),
       false, CASE WHEN g % 2000 = 1 THEN jsonb '{{"discount": "no integer"}}' END, '{{}}'
  FROM generate_series(1, {rows}) AS g
"""


class _Soda(SodaHost):
    """The stage's own warm process, which keeps what it was asked last."""

    request: dict[str, Any]

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        self.request = request
        return super()._ask(request, timeout)


def measure(options: Options) -> Result:
    """Measure, with its limit."""
    rows, runs = options.rows or ROWS, options.runs or 3
    seconds: dict[str, list[float]] = {"atlas": [], "hand": []}
    with (
        house.running() as home,
        _Soda() as soda,
        mock.patch.object(quality, "_host", return_value=soda),
    ):
        home.apply(quality=Quality(checks=_own_checks(home)))
        # Soda is loaded, and its statements are the same for any number of rows.
        with _staged(home, _WARM_UP) as stream:
            home.perform(Stage.QUALITY, stream)
            statements = _recorded(soda.request)
        checks = len(soda.request["checks"])
        if checks < CHECKS:
            raise BenchError(f"there are {checks} checks, not {CHECKS}")
        for number in range(runs):
            with _staged(home, rows) as stream:
                asked = soda.request | {"table": staging.name(stream)}
                turn = {
                    "atlas": lambda: home.perform(Stage.QUALITY, stream),
                    "hand": lambda: _by_hand(asked, statements),  # noqa: B023
                }
                for name in sorted(turn, reverse=number % 2 == 1):
                    home.calm()
                    seconds[name].append(turn[name]())
            told = ", ".join(f"{name} {taken[-1]:.2f} s" for name, taken in seconds.items())
            options.say(f"round {number + 1} of {runs}: {told}")
    titles = {"atlas": "Atlas: stage quality", "hand": f"by hand: {len(statements)} statements"}
    by_hand = median(seconds["hand"])
    table = Table(
        f"quality: {rows:,} staged rows, {checks} checks, median of {runs} rounds",
        ["", "seconds", "times by hand", "from", "to"],
        [
            [title, middle, middle / by_hand, min(seconds[name]), max(seconds[name])]
            for name, title in titles.items()
            for middle in [median(seconds[name])]
        ],
    )
    ratios = [atlas / hand for atlas, hand in zip(*seconds.values(), strict=True)]
    limit = Limit(
        "quality against the same SQL by hand", median(ratios), _LIMIT, "x", binding=rows == ROWS
    )
    figures = {"seconds": seconds, "checks": checks, "statements": statements}
    return Result("quality", [table], [limit], figures)


def _own_checks(home: House) -> str:
    """As many checks of one's own as make it thirty with those that the stage makes itself."""
    with _staged(home, _WARM_UP) as stream:
        home.perform(Stage.QUALITY, stream)
        ((made,),) = home.execute(
            f"SELECT count(*) FROM pipeline.check_result WHERE run_stream_id = {stream}"
        )
    own = _OWN[: max(CHECKS - made, 1)]
    return "\n".join(["checks for orders:", *(f"  - {check}" for check in own)])


@contextlib.contextmanager
def _staged(home: House, rows: int) -> Iterator[int]:
    """A run at its quality stage with a staging table of its own; gives the stream's id."""
    run_id, stream = home.begin(_STREAM, Stage.QUALITY, rows)
    table = f"pipeline.{staging.name(stream)}"
    with home.engine.begin() as conn:
        cur = cursor(conn)
        names.tables(cur, house.CONNECTION, _STREAM.key)
        columns = names.columns(cur, house.CONNECTION, _STREAM.key, _SCHEMA).all
        staging.create(cur, stream, columns, {})
        wanted = ", ".join(column.name for column in columns)
        cur.execute(_FILL.format(table=table, columns=wanted, rows=rows))
    # Whoever reads a row first notes in it that its writer has committed.
    home.execute(f"SELECT count(status) FROM {table}")
    yield stream
    # What is usual by earlier runs is checked too, from the sixth on: rounds are to be alike.
    home.execute(f"DROP TABLE {table}; TRUNCATE pipeline.column_metric")
    home.end(run_id)


def _recorded(request: dict[str, Any]) -> list[str]:
    """The statements that Soda sends for a request, by asking it in this process."""
    statements: list[str] = []

    class Recording(extensions.cursor):
        def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
            statements.append(str(query))
            super().execute(query, vars)

    connect = host._connect

    def recording(asked: dict[str, Any]) -> Any:
        connection = connect(asked)
        connection.cursor_factory = Recording
        return connection

    logging.disable(logging.CRITICAL)
    try:
        with mock.patch.object(host, "_connect", recording):
            host._Engine().answer(request)
    finally:
        logging.disable(logging.NOTSET)
    return statements


def _by_hand(request: dict[str, Any], statements: list[str]) -> float:
    connection: Any = host._connect(request)
    try:
        taken = 0.0
        with connection, connection.cursor(cursor_factory=extensions.cursor) as cur:
            for statement in statements:
                started = perf_counter()
                cur.execute(statement)
                cur.fetchall()
                taken += perf_counter() - started
    finally:
        connection.close()
    return taken
