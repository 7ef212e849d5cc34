"""How fast a PostgreSQL table gets into ``explore``, against the least that it can cost, and peers.

One table, in the stack's own server: of 1,000,000 rows with a JSON column and a text column, some
511 bytes of JSON each. Measured, in turns:

A. ``COPY (SELECT row_to_json …) TO STDOUT`` piped straight into ``COPY raw (data jsonb)``: two
   clients and a pipe, which is the least that raw JSON in PostgreSQL can cost;
B. Atlas: the explore stage of a connection to ``source-postgres`` as its run says it, claimed to
   done: spec, check of the schema by discover, reading, COPY, checkpoints, state. A full refresh;
C. sling, full refresh of the rows as JSON into a jsonb column; and, to be shown, as columns;
D. dlt's ``sql_database`` with its default backend, into PostgreSQL.

The peers are installed into an environment of their own; one that cannot be had here is said to be
so, and nothing is said of it. They read the same table whole, from start to exit, in the first
round only, for dlt takes minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from bench import Options, packages, stack
from bench.report import Limit, Result, Table
from bench.stack import BenchError, Stack

ROWS = 1_000_000
"""How many the limits are meant for."""
_LEAST = 0.5
_TIMES_DLT = 7.0
_PEERS = {"sling": packages.SLING, "dlt": packages.DLT}
_TABLE = """
CREATE TABLE {name} AS
SELECT g AS id, 'customer with the number ' || g AS name,
       (g * 7919.0 % 100000)::numeric(10, 2) AS amount, g % 3 = 0 AS active,
       timestamptz '2024-01-01' + g * interval '1 second' AS updated_at,
       jsonb_build_object('sku', 'sku-' || g % 1000, 'tags', jsonb_build_array('a', 'b', g % 7),
           'address', jsonb_build_object(
               'street', 'A rather long street ' || g % 500, 'zip', g % 90000)) AS payload,
       repeat(md5(g::text), 8) AS note
FROM generate_series(1, {rows}) g;
ALTER TABLE {name} ADD PRIMARY KEY (id);
ANALYZE {name};
"""


def measure(options: Options) -> Result:
    """Measure, with its limits."""
    rows, runs = options.rows or ROWS, options.runs or 3
    seconds: dict[str, list[float]] = {"pipe": [], "atlas": []}
    peers: dict[str, list[float]] = {"sling": [], "sling-columns": [], "dlt": []}
    missing: dict[str, str] = {}
    with stack.running() as atlas, atlas.database("shop") as url:
        width = _fill(url, rows)
        options.say(f"{rows:,} rows of {width:.0f} bytes; installing the peers")
        environment = packages.install(atlas.home.parent / "peers", _PEERS, missing)
        for number in range(1, runs + 1):
            atlas.calm()
            with atlas.frozen():
                seconds["pipe"].append(_pipe(url, rows))
            atlas.calm()
            seconds["atlas"].append(explored(atlas, url, f"shop{number}", "orders", rows))
            for name in peers:
                if number > 1 or name.partition("-")[0] in missing or environment is None:
                    continue
                atlas.calm()
                # Not frozen: what stands still so long is started anew by `atlas up`.
                with atlas.database("peer") as target:
                    try:
                        peers[name].append(_peer(environment, name, url, target, rows))
                    except BenchError as error:
                        missing[name] = str(error)
            options.say(
                f"round {number} of {runs}: "
                + ", ".join(f"{k} {v[-1]:.1f} s" for k, v in (seconds | peers).items() if v)
            )
    return _result(rows, width, seconds, peers, missing)


def _result(
    rows: int,
    width: float,
    seconds: dict[str, list[float]],
    peers: dict[str, list[float]],
    missing: dict[str, str],
) -> Result:
    speed = {name: rows / median(times) for name, times in seconds.items()}
    speed |= {name: rows / median(times) for name, times in peers.items() if times}
    titles = {
        "pipe": "COPY (row_to_json) piped into COPY (jsonb)",
        "atlas": "Atlas: source-postgres to explore",
        "sling": "sling, as JSON",
        "sling-columns": "sling, as columns, which is no raw layer",
        "dlt": "dlt sql_database, default backend",
    }
    table = Table(
        f"postgres: {rows:,} rows of {width:.0f} bytes, median of {len(seconds['pipe'])} rounds, "
        "peers once",
        ["", "rows/s", "of the pipe", "from s", "to s"],
        [
            [
                title
                if name in speed
                else f"{title}: not available ({missing.get(name.partition('-')[0], '')})",
                speed.get(name),
                speed[name] / speed["pipe"] if name in speed else None,
                min((seconds | peers)[name], default=None),
                max((seconds | peers)[name], default=None),
            ]
            for name, title in titles.items()
        ],
    )
    binding = rows == ROWS
    limits = [
        Limit(
            "source-postgres to explore against the pipe",
            speed["atlas"] / speed["pipe"],
            _LEAST,
            "x",
            at_most=False,
            binding=binding,
        )
    ]
    for name, least in (("sling", 1.0), ("dlt", _TIMES_DLT)):
        if name in speed:
            limits.append(
                Limit(
                    f"source-postgres against {name}",
                    speed["atlas"] / speed[name],
                    least,
                    "x",
                    at_most=False,
                    binding=binding,
                )
            )
    figures = {"rows": rows, "width": width, "seconds": seconds | peers, "missing": missing}
    return Result("postgres", [table], limits, figures)


def _fill(url: str, rows: int) -> float:
    """Make the tables; returns the bytes of a row as JSON."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(_TABLE.format(name="orders", rows=rows))
        cursor.execute(
            "SELECT avg(octet_length(row_to_json(o)::text))"
            " FROM (SELECT * FROM orders ORDER BY id DESC LIMIT 1000) o"
        )
        row = cursor.fetchone()
        assert row is not None
    connection.close()
    return float(row[0])


def _pipe(url: str, rows: int) -> float:
    """A reader and a writer, each a process, and a pipe between."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS raw; CREATE TABLE raw (data jsonb)")
        command = [sys.executable, str(Path(__file__).with_name("postgres_pipe.py"))]
        started = perf_counter()
        reader = subprocess.Popen([*command, "out", url], stdout=subprocess.PIPE)
        writer = subprocess.Popen([*command, "in", url], stdin=reader.stdout)
        assert reader.stdout is not None
        reader.stdout.close()
        codes = writer.wait(), reader.wait()
        seconds = perf_counter() - started
        cursor.execute("SELECT count(*) FROM raw")
        row = cursor.fetchone()
    connection.close()
    if codes != (0, 0) or row != (rows,):
        raise BenchError(f"COPY | COPY: exit codes {codes}, {row} rows")
    return seconds


def explored(atlas: Stack, url: str, name: str, table: str, rows: int) -> float:
    """Seconds of the explore stage of a connection ``name`` that reads a table of ``rows`` rows."""
    given = parse_dsn(url)
    config = {
        "host": given["host"],
        "port": int(given.get("port", 5432)),
        "database": given["dbname"],
        "username": given["user"],
    }
    atlas.apply(
        {
            "name": name,
            "connector": "source-postgres",
            "config": config,
            "streams": {table: {"sync_mode": "full_refresh"}},
        }
    )
    run_id = json.loads(atlas.atlas("sync", name, "--no-wait", "--json"))["run_id"]
    document = _to_explored(atlas, run_id)
    (explore,) = document["stages"]
    if explore["rows"] != rows or explore["attempt"] != 1:
        raise BenchError(f"explore: {explore['rows']} rows in {explore['attempt']} attempts")
    return stack.seconds(explore)


def _to_explored(atlas: Stack, run_id: str) -> dict[str, Any]:
    """Wait for the end of the explore stage, then stop the run: the others are measured elsewhere.

    The wait asks the ledger twice a second, which costs nothing that shows.
    """
    while True:
        document: dict[str, Any] = json.loads(atlas.atlas("runs", "show", run_id, "--json"))
        (explore,) = document["stages"]
        if explore["status"] == "succeeded":
            break
        if document["finished_at"]:
            raise BenchError(f"explore: {document['status']}: {document['error']}")
        sleep(0.5)
    atlas.atlas("runs", "cancel", run_id)
    while not json.loads(atlas.atlas("runs", "show", run_id, "--json"))["finished_at"]:
        sleep(0.2)
    return document


# --- peers ---------------------------------------------------------------------------------------


def _peer(environment: Path, name: str, url: str, target: str, rows: int) -> float:
    started = perf_counter()
    script = Path(__file__).with_name("postgres_peers.py")
    if packages.run(environment, [str(script), name, url, target], 1800.0):
        raise BenchError("it failed")
    seconds = perf_counter() - started
    connection = psycopg2.connect(target)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM copied.orders")
        found = cursor.fetchone()
    connection.close()
    if found != (rows,):
        raise BenchError(f"it loaded {found} rows")
    return seconds
