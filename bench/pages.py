"""Every page, with a ledger in which much has happened: how long the server takes, how large it is.

Asked over real HTTP by somebody who has logged in, one page after the other, with 10,000 runs and
1,000 datasets in the ledger: tables in each layer, verdicts, checks, measures, lineage and an audit
log. Pages of one thing are asked of one that has had a hundred runs. Nobody works meanwhile: the
workers stand still. Bytes are those of the page with all that it loads, not compressed. A page that
looks at the rows themselves, 100,000 of them, takes as long as they do: it is shown, not judged.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from http.client import HTTPConnection
from statistics import median
from urllib.parse import urlsplit

import sqlalchemy as sa
from psycopg2 import extensions

from atlas.layers import chart, explore, names, navigate
from atlas.ledger import logins, users
from atlas.model.stream import StreamKey
from atlas.web.ui import rooms
from bench import Options, ledger, plain, stack
from bench.report import Limit, Result, Table
from bench.stack import BenchError

SECONDS_LIMIT = 0.1
BYTES_LIMIT = 200_000
RUNS = 10_000
_ASKED = 10
_THE_ONE = "seeded7"
_SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": "string"},
        "amount": {"type": "number"},
        "note": {"type": "string"},
    }
}
_FILLED = {
    "name": _THE_ONE,
    "layer": "chart",
    "table": f"{_THE_ONE}_stream1",
    "dataset": f"{_THE_ONE}_stream1",
    "node": f"{_THE_ONE}_stream1",
    "policy": "default",
}
_NO_PAGE = re.compile(
    r"^/(drafts/|login|setup$|settings/webhooks/|.*/state/export$)|erasures|<int:"
)
"""What is of somebody's work under way, or is a file."""
_OF_ROWS = "/suggestions"

# What the runs of a year leave beside themselves; of each stream the same, as most runs are.
_MORE = """
INSERT INTO pipeline.finding (run_stream_id, column_name, path, entity_type, score, scope, operator,
       share, evidence)
SELECT r.id, c, '$', e, 1, 'value', 'mask', 1, '{"reason": "its values are", "found": 990}'
  FROM pipeline.run_stream r,
       (VALUES ('email', 'EMAIL_ADDRESS'), ('note', 'PERSON')) AS found(c, e);
INSERT INTO pipeline.check_result (run_stream_id, name, dimension, column_name, outcome, score,
       failed_rows, definition, gate, detail)
SELECT r.id, d || '.' || c, d, c, CASE d WHEN 'validity' THEN 'fail' ELSE 'pass' END, 0.99, 10,
       'missing_count(' || c || ') = 0', 'quarantine', '{}'
  FROM pipeline.run_stream r, unnest(ARRAY['completeness', 'uniqueness', 'validity']) AS d,
       unnest(ARRAY['id', 'email', 'amount']) AS c;
INSERT INTO pipeline.column_metric (run_stream_id, column_name, metric, value)
SELECT r.id, c, m, 1000
  FROM pipeline.run_stream r, unnest(ARRAY['', 'id', 'email', 'amount', 'note']) AS c,
       unnest(ARRAY['row_count', 'distinct_count']) AS m;
INSERT INTO pipeline.quarantine (run_stream_id, check_name, rows)
SELECT id, 'validity.email', 10 FROM pipeline.run_stream;
INSERT INTO pipeline.lineage_edge (digest, namespace, name, field, source_namespace, source_name,
       source_field, steps)
SELECT t.table_name || '.' || l.layer, 'postgres://bench', 'atlas.' || l.layer || '.' ||
       CASE l.layer WHEN 'explore' THEN t.raw_name ELSE t.table_name END, f, 'postgres://bench',
       CASE l.layer WHEN 'explore' THEN 'source.' || t.stream
            WHEN 'chart' THEN 'atlas.explore.' || t.raw_name
            ELSE 'atlas.chart.' || t.table_name END, f, '[]'
  FROM pipeline.stream_table t, (VALUES ('explore'), ('chart'), ('navigate')) AS l(layer),
       unnest(ARRAY['id', 'email', 'amount', 'note']) AS f;
INSERT INTO pipeline.lineage_flow (run_id, run_seq, job, namespace, name, digest, at)
SELECT r.id, r.seq, t.connection || '.' || t.stream || '.' || l.layer, 'postgres://bench',
       'atlas.' || l.layer || '.' ||
       CASE l.layer WHEN 'explore' THEN t.raw_name ELSE t.table_name END,
       t.table_name || '.' || l.layer, r.finished_at
  FROM pipeline.run r JOIN pipeline.stream_table t ON t.connection = r.connection,
       (VALUES ('explore'), ('chart'), ('navigate')) AS l(layer);
INSERT INTO pipeline.run_log (run_id, line, level, origin, stage, message)
SELECT r.id, n, 'info', 'connector', 'explore', 'read 1000 rows of the stream ' || n
  FROM pipeline.run r, generate_series(1, 300) n WHERE r.connection = 'seeded7';
UPDATE pipeline.run SET log_lines = 300 WHERE connection = 'seeded7';
INSERT INTO pipeline.audit (at, actor, action, subject, detail)
SELECT now() - n * interval '5 min', 'user: ada', 'runs.create', 'seeded' || n % 100, '{"n": 1}'
  FROM generate_series(1, 50000) n;
INSERT INTO pipeline.source_change (connection, stream, property, change, detail)
SELECT t.connection, t.stream, 'note', 'added', '{}' FROM pipeline.stream_table t
"""
_ROWS = """
INSERT INTO chart.seeded7_stream1 (id, email, amount, note, _atlas_id, _atlas_run_id,
       _atlas_emitted_at, _atlas_row_hash)
SELECT n, '***@***', n, repeat('said ', 40), n, gen_random_uuid(), now(), 'h'
  FROM generate_series(1, 100000) n;
INSERT INTO navigate.seeded7_stream1 (id, email, amount, note, valid_from, is_current,
       _atlas_run_id, _atlas_row_hash)
SELECT n, '***@***', n, repeat('said ', 40), now(), true, gen_random_uuid(), 'h'
  FROM generate_series(1, 100000) n;
INSERT INTO chart.seeded7_stream1_quarantine (id, email, amount, note, _atlas_id, _atlas_run_id,
       _atlas_emitted_at, _atlas_checks)
SELECT n, '***@***', n, repeat('said ', 40), n, gen_random_uuid(), now(), '{validity.email}'
  FROM generate_series(1, 1000) n
"""


def measure(options: Options) -> Result:
    """Measure, with the issue's limits; ``--rows`` are the runs in the ledger here."""
    runs = options.rows or RUNS
    with stack.running() as atlas, atlas.frozen():
        # A connection as they are stored; the seeded ones get its configuration.
        atlas.apply(plain.connection(atlas, "model"))
        with atlas.admin() as cursor:
            _seed(cursor, runs)
            newest = _newest(cursor)
        options.say(f"{runs:,} runs and {ledger.CONNECTIONS * ledger.STREAMS:,} datasets are there")
        cookie = _log_in(atlas.database_url)
        with Visitor(atlas.api_url, cookie) as visitor:
            found = {path: visitor.visit(path) for path in paths(newest)}
    judged = [path for path in found if not path.endswith(_OF_ROWS)]
    slowest = max(judged, key=lambda path: found[path][0])
    largest = max(found, key=lambda path: found[path][3])
    rows = [
        [path.replace(newest, "…"), 1000 * usual, 1000 * least, alone / 1000, whole / 1000]
        for path, (usual, least, alone, whole) in sorted(
            found.items(), key=lambda item: -item[1][0]
        )
    ]
    table = Table(
        f"pages: the server's time for {_ASKED} answers, and bytes",
        ["page", "median ms", "fastest", "kB", "kB with all it loads"],
        rows,
    )
    binding = runs == RUNS
    limits = [
        Limit(f"{slowest}, median", found[slowest][0], SECONDS_LIMIT, "s", binding=binding),
        Limit(
            f"{largest}, kB", found[largest][3] / 1000, BYTES_LIMIT / 1000, "kB", binding=binding
        ),
    ]
    return Result("pages", [table], limits, {path: list(each) for path, each in found.items()})


def paths(run: str) -> list[str]:
    """Every page that can be asked for, those of one thing by an example of it."""
    asked = sorted({page.path for page in rooms.PAGES if "GET" in page.methods})
    filled = {**_FILLED, "run_id": run}

    def fill(path: str) -> str:
        path = path.replace("/connectors/<name>", "/connectors/source-files")
        return re.sub("<([a-z_]+)>", lambda name: filled[name[1]], path)

    return [fill(path) for path in asked if not _NO_PAGE.search(path)]


def _seed(cursor: extensions.cursor, runs: int) -> None:
    ledger.connections(cursor)
    cursor.execute(
        "UPDATE pipeline.connection c SET connector = m.connector, executable = m.executable,"
        " config = m.config, document = m.document FROM pipeline.connection m"
        " WHERE m.name = 'model' AND c.name <> 'model'"
    )
    for connection in range(1, ledger.CONNECTIONS + 1):
        cursor.execute("BEGIN")
        for number in range(1, ledger.STREAMS + 1):
            _tables(cursor, f"seeded{connection}", StreamKey(f"stream{number}"))
        cursor.execute("COMMIT")
    ledger.runs(cursor, runs)
    for statement in f"{_MORE};{_ROWS}".split(";\n"):
        cursor.execute(statement)
    cursor.execute("VACUUM (ANALYZE)")
    cursor.execute("CHECKPOINT")


def _tables(cursor: extensions.cursor, connection: str, key: StreamKey) -> None:
    """The tables of a dataset, as a first run makes them."""
    tables = names.tables(cursor, connection, key)
    columns = names.columns(cursor, connection, key, _SCHEMA)
    explore.ensure(cursor, tables)
    chart.ensure(cursor, tables, columns.all, {}, (("id",),))
    navigate.ensure(cursor, tables, columns.all, {}, (("id",),))


def _newest(cursor: extensions.cursor) -> str:
    cursor.execute(
        "SELECT id::text FROM pipeline.run WHERE connection = %s AND status = 'succeeded'"
        " ORDER BY seq DESC LIMIT 1",
        (_THE_ONE,),
    )
    ((found,),) = cursor.fetchall()
    return str(found)


def _log_in(url: str) -> str:
    """The cookie of an admin's session."""
    engine = sa.create_engine(url)
    try:
        with engine.begin() as conn:
            made = users.create(conn, "bench", "admin", actor="bench")
            browser = logins.Browser("127.0.0.1", "bench", timedelta(days=1))
            return "atlas=" + logins.enter(conn, str(made["id"]), "link", browser)
    finally:
        engine.dispose()


class Visitor:
    """Somebody who is logged in, over one connection."""

    def __init__(self, base: str, cookie: str) -> None:
        place = urlsplit(base)
        self._client = HTTPConnection(str(place.hostname), place.port, timeout=60)
        self._headers = {"Cookie": cookie, "Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        self._loaded: dict[str, int] = {}

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def visit(self, path: str) -> tuple[float, float, int, int]:
        """A page's seconds (median and fastest), its bytes, and its bytes with all that it loads.

        Raises:
            BenchError: it is none.
        """
        text = self._get(path)
        times = []
        for _ in range(_ASKED):
            started = time.perf_counter()
            self._get(path)
            times.append(time.perf_counter() - started)
        whole = len(text) + self._all_of(text.decode(), set())
        return median(times), min(times), len(text), whole

    def _all_of(self, text: str, seen: set[str]) -> int:
        """Bytes of the style sheets, scripts, fonts and pictures of a text, and of theirs."""
        size = 0
        for part in re.findall(
            r'(?:href|src)="(/static/[^"]+)"|url\("([^"]+)"\)|"(\./[^"]+)"', text
        ):
            name = part[0] or ("/static/" + part[1] if part[1] else "/static/js/" + part[2][2:])
            if name in seen or part[1].startswith("data:"):
                continue
            seen.add(name)
            body = self._get(name)
            size += len(body)
            if name.endswith((".css", ".js")):
                size += self._all_of(body.decode(), seen)
        return size

    def _get(self, path: str) -> bytes:
        self._client.request("GET", path, headers=self._headers)
        answer = self._client.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise BenchError(f"GET {path}: {answer.status}")
        return body
