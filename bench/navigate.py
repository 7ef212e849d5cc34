"""Navigate by itself: the history of a table brought up to a reload, against SQL by hand and peers.

A table of some 300 bytes a row stands in ``chart``, filled by SQL, its history in ``navigate``. A
reload changes 1 % of its rows and takes 0.5 % out. Measured, in turns, each on a history of its own
that holds the same versions:

A. Atlas: the stage as a worker performs it, from before its claim to its end in the ledger;
B. by hand, with the same columns, keys, hashes, indexes and working memory, in one transaction:
   three statements (close what changed, close what is gone, open what has no version), and one
   ``MERGE``. The limit is against the faster of the two in each round;
C. ``dbt snapshot`` with strategy check of all columns, and dlt's ``scd2``: by default, and, only to
   be shown, through Arrow with the rows' own hash. From start to exit, as whoever types them waits;
   beside it what they say (dbt), or show from within (dlt), that their work alone took.

At last a reload of which nothing differs: no row of ``navigate`` may be written then.

Who goes first changes from round to round, and nobody pays for what came before: the tables are
read once, and a checkpoint is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg2

from atlas.layers import chart, names
from atlas.ledger.database import cursor
from atlas.model.stage import Stage
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from bench import Options, house, packages
from bench.house import House
from bench.report import Cell, Limit, Result, Table
from bench.stack import BenchError

SIZES = (100_000, 1_000_000)
"""How many rows the limits are meant for."""
_BY_HAND = 1.3
_TIMES = {100_000: {"dbt": 3.0, "dlt": 10.0}, 1_000_000: {"dbt": 2.0}}
"""How many times as fast as a peer, by the size."""
_ROUNDS = {100_000: 7, 1_000_000: 3}
_ROUNDS_OF_PEERS = 3
_PEERS = {"dbt": packages.DBT, "dlt": packages.DLT}
_PATIENCE = 1800.0
_TEXT = {"type": ["null", "string"]}
_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        **dict.fromkeys(("name", "email", "code", "city", "status", "note"), _TEXT),
        "amount": {"type": ["null", "number"]},
        "active": {"type": ["null", "boolean"]},
        "updated_at": {"type": ["null", "string"], "format": "date-time"},
    },
}
_COLUMNS = list(_SCHEMA["properties"])
_KEY = (("id",),)
_STREAM = ConfiguredStream(StreamKey("orders"), _SCHEMA, SyncMode.FULL_REFRESH, primary_key=_KEY)
_PRESENT, _HISTORY = "chart.shop_orders", "navigate.shop_orders"
_HASH = "encode(sha256(convert_to(concat_ws('|', id, {amount}, status), 'UTF8')), 'hex')"
_FILL = """
INSERT INTO {present} ({columns}, _atlas_id, _atlas_run_id, _atlas_emitted_at, _atlas_row_hash)
SELECT {columns}, id, '{run}', now(), {hash}
  FROM (SELECT g AS id, 'customer with the number ' || g AS name,
               'user' || g || '@example.com' AS email, md5(g::text) AS code,
               'city ' || g % 50 AS city, 'open' AS status, repeat(md5(g::text), 3) AS note,
               (g * 7919.0 % 100000)::numeric(10, 2) AS amount, g % 3 = 0 AS active,
               timestamptz '2024-01-01' + g * interval '1 second' AS updated_at
          FROM generate_series(1, {rows}) AS g) AS made;
ANALYZE {present}
"""
_RELOAD = """
DELETE FROM {present} WHERE id % 200 = {odd};
UPDATE {present} SET amount = amount + 1, _atlas_id = _atlas_id + {rows}, _atlas_run_id = '{run}',
       _atlas_row_hash = {hash}
 WHERE id % 100 = {even}
"""
_COPY = """
CREATE TABLE hand.{name} (LIKE {history} INCLUDING ALL);
INSERT INTO hand.{name} SELECT * FROM {history};
SELECT setval(pg_get_serial_sequence('hand.{name}', 'surrogate_key'), max(surrogate_key))
  FROM hand.{name}
"""
_THREE = """
UPDATE {history} AS n SET valid_to = now(), is_current = false FROM {present} AS c
 WHERE n.is_current AND n.id = c.id AND n._atlas_row_hash <> c._atlas_row_hash;
UPDATE {history} AS n SET valid_to = now(), is_current = false
 WHERE n.is_current AND NOT EXISTS (SELECT FROM {present} AS c WHERE c.id = n.id);
INSERT INTO {history} ({columns}, valid_from, is_current, _atlas_run_id, _atlas_row_hash)
SELECT {columns}, now(), true, _atlas_run_id, _atlas_row_hash FROM {present} AS c
 WHERE NOT EXISTS (SELECT FROM {history} AS n WHERE n.is_current AND n.id = c.id)
"""
_MERGE = """
WITH merged AS (
    MERGE INTO {history} AS n USING {present} AS c ON n.id = c.id AND n.is_current
     WHEN MATCHED AND n._atlas_row_hash <> c._atlas_row_hash THEN
          UPDATE SET valid_to = now(), is_current = false
     WHEN NOT MATCHED BY SOURCE AND n.is_current THEN
          UPDATE SET valid_to = now(), is_current = false
     WHEN NOT MATCHED THEN
          INSERT ({columns}, valid_from, is_current, _atlas_run_id, _atlas_row_hash)
          VALUES ({values}, now(), true, c._atlas_run_id, c._atlas_row_hash)
    RETURNING merge_action() AS action, c.*)
INSERT INTO {history} ({columns}, valid_from, is_current, _atlas_run_id, _atlas_row_hash)
SELECT {columns}, now(), true, _atlas_run_id, _atlas_row_hash FROM merged
 WHERE action = 'UPDATE' AND id IS NOT NULL
"""
_HAND = {"three": _THREE, "merge": _MERGE}
_TITLES = {
    "atlas": "Atlas: stage navigate",
    "three": "by hand, three statements",
    "merge": "by hand, MERGE",
    "dbt": "dbt snapshot (check)",
    "dlt": "dlt scd2",
    "dlt-arrow": "dlt scd2 by Arrow, with the rows' hash",
}


@dataclass(slots=True)
class _Taken:
    """Seconds of one size, by who took them, round by round.

    Attributes:
        seconds: as who does it waits.
        work: of a peer's work alone.
        unchanged: of a reload of which nothing differs; ``written``: rows that it wrote.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    work: dict[str, list[float]] = field(default_factory=dict)
    unchanged: float = 0.0
    written: int = 0

    def against(self, others: list[str]) -> list[float]:
        """By round, Atlas's seconds over those of the fastest of ``others``, which may have fewer
        rounds."""
        rounds = zip(self.seconds["atlas"], *(self.seconds[name] for name in others), strict=False)
        return [atlas / min(taken) for atlas, *taken in rounds]


def measure(options: Options) -> Result:
    """Measure, with its limits."""
    result = Result("navigate")
    missing: dict[str, str] = {}
    for rows in [options.rows] if options.rows else SIZES:
        with house.running() as home:
            options.say(f"{rows:,} rows: filling the tables, installing the peers")
            environment = packages.install(home.directory / "peers", _PEERS, missing)
            taken = _measure(home, rows, options, environment, missing)
        _report(result, rows, taken, missing)
    return result


def _measure(
    home: House, rows: int, options: Options, environment: Path | None, missing: dict[str, str]
) -> _Taken:
    first, stream = _first_load(home, rows)
    home.perform(Stage.NAVIGATE, stream)
    home.end(first)
    home.execute("CREATE SCHEMA hand")
    hand = {name: _by_hand(home, name, text) for name, text in _HAND.items()}
    peers: dict[str, Callable[[], float]] = {}
    taken = _Taken()
    for name in ("dbt", "dlt", "dlt-arrow") if rows <= SIZES[0] else ("dbt",):
        if environment is None or name.partition("-")[0] in missing:
            continue
        peer = _peer(environment, home, name, taken)
        peer()  # its own first load
        peers[name] = peer
    taken.work.clear()
    tables = [_PRESENT, _HISTORY, *(f"hand.{name}" for name in _HAND)]
    runs = options.runs or _ROUNDS.get(rows, 3)
    for number in range(runs):
        run_id, stream = home.begin(_STREAM, Stage.NAVIGATE, rows)
        home.execute(
            _RELOAD.format(
                present=_PRESENT,
                rows=rows,
                run=run_id,
                odd=2 * number + 1,
                even=2 * number + 2,
                hash=_HASH.format(amount="amount + 1"),
            )
        )
        for table in tables:
            # Whoever reads a row first notes in it that its writer has committed.
            home.execute(f"SELECT count(status) FROM {table}")
        atlas = {"atlas": lambda: home.perform(Stage.NAVIGATE, stream)}  # noqa: B023 - called here
        peers = peers if number < _ROUNDS_OF_PEERS else {}
        turn = list((atlas | hand | peers).items())
        for name, go in turn[number % len(turn) :] + turn[: number % len(turn)]:
            home.calm()
            taken.seconds.setdefault(name, []).append(go())
        home.end(run_id)
        _must_agree(home)
        told = ", ".join(f"{name} {taken.seconds[name][-1]:.2f} s" for name, _ in turn)
        options.say(f"{rows:,} rows, round {number + 1} of {runs}: {told}")
    _, stream = home.begin(_STREAM, Stage.NAVIGATE, rows)
    ((before, since),) = home.execute(
        f"SELECT count(*), pg_current_xact_id()::text FROM {_HISTORY}"
    )
    taken.unchanged = home.perform(Stage.NAVIGATE, stream)
    ((after, touched),) = home.execute(
        f"SELECT count(*), count(*) FILTER (WHERE greatest(xmin::text::bigint, xmax::text::bigint)"
        f" > {since}) FROM {_HISTORY}"
    )
    taken.written = touched + abs(after - before)
    return taken


def _first_load(home: House, rows: int) -> tuple[str, int]:
    with home.engine.begin() as conn:
        cur = cursor(conn)
        tables = names.tables(cur, house.CONNECTION, _STREAM.key)
        columns = names.columns(cur, house.CONNECTION, _STREAM.key, _SCHEMA).all
        chart.ensure(cur, tables, columns, {}, _KEY)
    run_id, stream = home.begin(_STREAM, Stage.NAVIGATE, rows)
    home.execute(
        _FILL.format(
            present=_PRESENT,
            columns=", ".join(_COLUMNS),
            run=run_id,
            rows=rows,
            hash=_HASH.format(amount="amount"),
        )
    )
    return run_id, stream


def _by_hand(home: House, name: str, text: str) -> Callable[[], float]:
    home.execute(_COPY.format(name=name, history=_HISTORY))
    statement = text.format(
        history=f"hand.{name}",
        present=_PRESENT,
        columns=", ".join(_COLUMNS),
        values=", ".join(f"c.{column}" for column in _COLUMNS),
    )

    def go() -> float:
        connection = psycopg2.connect(home.url)
        try:
            started = perf_counter()
            with connection, connection.cursor() as cur:
                cur.execute("SET LOCAL work_mem = '64MB'")  # as Atlas has it
                cur.execute(statement)
            return perf_counter() - started
        finally:
            connection.close()

    return go


def _peer(environment: Path, home: House, name: str, taken: _Taken) -> Callable[[], float]:
    script = str(Path(__file__).with_name("history_peers.py"))

    def go() -> float:
        started = perf_counter()
        if packages.run(environment, [script, name, home.url, _PRESENT, *_COLUMNS], _PATIENCE):
            raise BenchError(f"{name} failed: {(environment / 'log').read_text()[-2000:]}")
        seconds = perf_counter() - started
        work = float((environment / "seconds").read_text())
        taken.work.setdefault(name, []).append(work)
        return seconds

    return go


def _must_agree(home: House) -> None:
    """Raises BenchError unless all histories of one shape hold the same versions."""
    counts = {
        table: home.execute(f"SELECT count(*), count(valid_to) FROM {table}")
        for table in (_HISTORY, *(f"hand.{name}" for name in _HAND))
    }
    if len({tuple(found) for found in counts.values()}) != 1:
        raise BenchError(f"the histories differ: {counts}")


def _report(result: Result, rows: int, taken: _Taken, missing: dict[str, str]) -> None:
    atlas = median(taken.seconds["atlas"])
    lines: list[list[Cell]] = []
    for name, title in _TITLES.items():
        if name in taken.seconds:
            found = taken.seconds[name]
            line: list[Cell] = [title, median(found), median(found) / atlas, min(found), max(found)]
            work = median(taken.work[name]) if name in taken.work else None
            lines.append([*line, work, work and work / atlas])
        elif (why := missing.get(name.partition("-")[0])) and rows <= SIZES[0]:
            lines.append([f"{title}: not available ({why})", *[None] * 6])
    lines.append(["Atlas: nothing differs", taken.unchanged, *[None] * 5])
    result.tables.append(
        Table(
            f"navigate: {rows:,} rows, 1 % changed and 0.5 % gone, median of "
            f"{len(taken.seconds['atlas'])} rounds, peers of {_ROUNDS_OF_PEERS} at most",
            ["", "seconds", "times Atlas", "from", "to", "work alone, s", "times Atlas"],
            lines,
        )
    )
    what = f"navigate of {rows:,} rows"
    binding = rows in SIZES
    result.limits.append(
        Limit(
            f"{what} against a merge by hand",
            median(taken.against(list(_HAND))),
            _BY_HAND,
            "x",
            binding=binding,
        )
    )
    for peer, times in _TIMES.get(rows, _TIMES[SIZES[0]]).items():
        if peer in taken.seconds:
            result.limits.append(
                Limit(
                    f"{what} against {_TITLES[peer]}, times as fast",
                    1 / median(taken.against([peer])),
                    times,
                    "x",
                    at_most=False,
                    binding=binding,
                )
            )
    result.limits.append(Limit(f"{what}, nothing differs: rows written", taken.written, 0, "rows"))
    result.figures[str(rows)] = {
        "seconds": taken.seconds,
        "work": taken.work,
        "unchanged": taken.unchanged,
        "written": taken.written,
        "missing": missing,
    }
