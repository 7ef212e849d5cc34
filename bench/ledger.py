"""A ledger in which much has happened: connections, datasets and runs that nobody worked on.

Made by SQL in the shapes that syncs leave behind, in seconds, so that what reads the ledger can be
measured at sizes that a stack reaches in months.
"""

from __future__ import annotations

from psycopg2 import extensions

CONNECTIONS = 100
STREAMS = 10
"""Streams of each connection: a dataset each."""

_CONNECTIONS = """
INSERT INTO pipeline.connection (name, connector, config, document, fingerprint)
SELECT format('seeded%%s', c), 'source-faker', '', '{"schedule": null, "streams": null}', c::text
  FROM generate_series(1, %(connections)s) c;
INSERT INTO pipeline.stream_table (connection, stream, table_name, raw_name, quarantine_name)
SELECT format('seeded%%s', c), format('stream%%s', s), t, t || '_raw', t || '_quarantine'
  FROM generate_series(1, %(connections)s) c, generate_series(1, %(streams)s) s,
       format('seeded%%s_stream%%s', c, s) t
"""
# One run in twenty failed; they are spread over the last thirty days, the last of them just now.
_RUNS = """
CREATE TEMP TABLE seeded ON COMMIT DROP AS
SELECT gen_random_uuid() AS id, n, 1 + n %% %(connections)s AS c,
       CASE WHEN n %% 20 = 7 THEN 'failed' ELSE 'succeeded' END AS status,
       clock_timestamp() - (%(runs)s - n) * (interval '30 days' / %(runs)s) AS at
  FROM generate_series(1, %(runs)s) n;
INSERT INTO pipeline.run (id, connection_id, connection, trigger, status, error, created_at,
       started_at, extracted_at, finished_at, rows_explore, rows_promoted, rows_quarantined)
SELECT s.id, c.id, c.name, 'schedule', s.status,
       CASE s.status WHEN 'failed' THEN 'stream1: the source refused it' END,
       s.at - interval '9 s', s.at - interval '8 s', s.at - interval '7 s', s.at,
       %(streams)s * 1000, %(streams)s * 990, %(streams)s * 10
  FROM seeded s JOIN pipeline.connection c ON c.name = format('seeded%%s', s.c)
 ORDER BY s.n;
INSERT INTO pipeline.stage_run (run_id, stage, position, status, attempt, started_at, finished_at)
SELECT id, 'explore', 0, 'succeeded', 1, at - interval '8 s', at - interval '5 s' FROM seeded;
INSERT INTO pipeline.run_stream (run_id, stream, configured, status, explored_at, rows_explore,
       rows_promoted, rows_quarantined)
SELECT s.id, format('stream%%s', k),
       '{"sync_mode": "incremental", "refreshes": false, "json_schema": {"type": "object"},
         "cursor_field": ["id"], "primary_key": [["id"]], "gone": false, "cut": null}',
       s.status, s.at - interval '5 s', 1000, 990, 10
  FROM seeded s, generate_series(1, %(streams)s) k ORDER BY s.n, k;
INSERT INTO pipeline.stage_run (run_id, run_stream_id, stage, position, status, attempt,
       started_at, finished_at, rows)
SELECT s.id, r.id, stage, position, s.status, 1, s.at - interval '4 s', s.at, 1000
  FROM seeded s JOIN pipeline.run_stream r ON r.run_id = s.id,
       unnest(ARRAY['pii', 'quality', 'chart', 'navigate', 'lineage'])
       WITH ORDINALITY AS t(stage, position);
INSERT INTO pipeline.quality_score (run_stream_id, dimension, score)
SELECT r.id, dimension, 0.9 + r.id %% 10 / 100.0
  FROM seeded s JOIN pipeline.run_stream r ON r.run_id = s.id,
       unnest(ARRAY['overall', 'completeness', 'uniqueness', 'validity']) AS dimension
 WHERE s.status = 'succeeded'
"""


def connections(cursor: extensions.cursor) -> None:
    """:data:`CONNECTIONS` connections of :data:`STREAMS` datasets each."""
    cursor.execute(_CONNECTIONS, {"connections": CONNECTIONS, "streams": STREAMS})


def runs(cursor: extensions.cursor, count: int, *, streams: int = STREAMS) -> None:
    """``count`` runs that have ended, of ``streams`` streams each, newer than all before them;
    nothing is left to the server to do about them afterwards."""
    values = {"runs": count, "connections": CONNECTIONS, "streams": streams}
    # One statement to the driver, so that the temporary table lasts.
    cursor.execute(f"BEGIN; {_RUNS}; COMMIT", values)
    cursor.execute("VACUUM (ANALYZE)")
    cursor.execute("CHECKPOINT")
