"""What is counted for monitoring. Each count commits with what it counts, and so is exact whoever
dies: no process keeps a number that its end would lose, and none counts what was rolled back.

A count is a row of its own, for a total that is written where work ends would have every worker
wait for it. A tick sums them up; who reads takes both together.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from atlas.model.stage import Stage

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Upper bounds of the buckets, in seconds where it is seconds that are counted."""

STAGE_SECONDS = "stage_seconds"
RUNS = "runs"
ROWS = "rows"
OPERATION_SECONDS = "operation_seconds"
CONNECTOR_START_SECONDS = "connector_start_seconds"
FINDINGS = "findings"

_BATCH = 20_000

_PUT = sa.text(
    """
    INSERT INTO pipeline.measurement (name, labels, value)
    SELECT :name, jsonb_strip_nulls(CAST(:labels AS jsonb)), :value
    """
).bindparams(sa.bindparam("labels", type_=sa.JSON))


def put(conn: sa.Connection, name: str, value: float, **labels: str) -> None:
    """Count something in the transaction of the deed.

    Args:
        name: of the measure, one of this module's.
        value: how many, or how long in seconds.
        labels: what tells it from others of the name; few values each, none of them personal.
    """
    conn.execute(_PUT, {"name": name, "labels": labels, "value": value})


_PUT_STAGE = {
    Stage.PII: """
    SELECT 'findings', jsonb_build_object('entity_type', entity_type), count(*)
      FROM pipeline.finding WHERE run_stream_id = :id GROUP BY entity_type
    """,
    Stage.CHART: """
    SELECT 'rows', jsonb_build_object('outcome', 'superseded'), rows_superseded
      FROM pipeline.run_stream WHERE id = :id AND rows_superseded > 0
    """,
    Stage.NAVIGATE: """
    SELECT 'rows', jsonb_build_object('outcome', told.outcome), told.rows
      FROM pipeline.run_stream,
           LATERAL (VALUES ('opened', versions_opened), ('closed', versions_closed))
                AS told (outcome, rows)
     WHERE id = :id AND told.rows > 0
    """,
}


def put_stage(conn: sa.Connection, stage: Stage, run_stream_id: int) -> None:
    """Count what a stage that succeeds has written down of its stream, where only it knows."""
    if stage in _PUT_STAGE:
        into = "INSERT INTO pipeline.measurement (name, labels, value)"
        conn.execute(sa.text(into + _PUT_STAGE[stage]), {"id": run_stream_id})


# The buckets are cumulative, as Prometheus has them.
_SUMMED = f"""
    SELECT name, labels, count(*) AS count, sum(value) AS sum,
           ARRAY[{", ".join(f"count(*) FILTER (WHERE value <= {bound})" for bound in BOUNDS)}]
           AS buckets
"""

_SUM_UP = sa.text(
    f"""
    WITH gone AS (
      DELETE FROM pipeline.measurement WHERE id IN (
        SELECT id FROM pipeline.measurement ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED)
      RETURNING name, labels, value),
    added AS (
      INSERT INTO pipeline.measurement_total AS t (name, labels, count, sum, buckets)
      {_SUMMED} FROM gone GROUP BY name, labels ORDER BY name, labels
      ON CONFLICT (name, labels) DO UPDATE
         SET count = t.count + excluded.count, sum = t.sum + excluded.sum,
             buckets = ARRAY(SELECT a + b FROM unnest(t.buckets, excluded.buckets)
                               WITH ORDINALITY AS u(a, b, at) ORDER BY at))
    SELECT count(*) FROM gone
    """  # noqa: S608 - of this module
)


def sum_up(engine: sa.Engine) -> None:
    """Bring what was counted into the totals, in short transactions."""
    while True:
        with engine.begin() as conn:
            if conn.execute(_SUM_UP, {"batch": _BATCH}).scalar_one() < _BATCH:
                return


@dataclass(frozen=True, slots=True)
class Total:
    """All that was counted under a name and labels.

    Attributes:
        buckets: how many were at most each of :data:`BOUNDS`.
    """

    labels: dict[str, str]
    count: int
    sum: float
    buckets: list[int]


_TOTALS = sa.text(
    f"""
    SELECT name, labels, count, sum, buckets FROM pipeline.measurement_total
    UNION ALL
    ({_SUMMED} FROM pipeline.measurement GROUP BY name, labels)
    """  # noqa: S608 - of this module
)


def totals(conn: sa.Connection) -> dict[str, list[Total]]:
    """What was counted up to now, by name: summed up or not, as of one moment."""
    found: dict[str, dict[tuple[tuple[str, str], ...], Total]] = defaultdict(dict)
    for row in conn.execute(_TOTALS):
        key = tuple(sorted(row.labels.items()))
        known = found[row.name].get(key)
        new = Total(row.labels, row._mapping["count"], row.sum, list(row.buckets))
        found[row.name][key] = new if known is None else _both(known, new)
    return {name: list(each.values()) for name, each in found.items()}


def _both(one: Total, other: Total) -> Total:
    return Total(
        one.labels,
        one.count + other.count,
        one.sum + other.sum,
        [a + b for a, b in zip(one.buckets, other.buckets, strict=True)],
    )


# One statement, so that all are of one moment; each part reads an index, or a table that is small.
_STATE = sa.text(
    """
    SELECT 'runs_active' AS name, status AS label, count(*)::float8 AS value
      FROM pipeline.run WHERE status IN ('queued', 'running') GROUP BY status
    UNION ALL
    SELECT 'leases', stage, count(*) FILTER (WHERE lease_until >= clock_timestamp())
      FROM pipeline.stage_run WHERE status = 'running' AND NOT parked GROUP BY stage
    UNION ALL
    SELECT 'leases_dead', NULL, count(*) FROM pipeline.stage_run
     WHERE status = 'running' AND NOT parked AND lease_until < clock_timestamp()
    UNION ALL
    SELECT 'outbox', NULL, count(*) FROM pipeline.outbox WHERE due_at <= clock_timestamp()
    UNION ALL
    SELECT 'outbox_oldest', NULL,
           coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)
      FROM pipeline.outbox WHERE due_at <= clock_timestamp()
    UNION ALL
    SELECT 'lineage_waiting', NULL, count(*) FROM pipeline.lineage_event WHERE delivered_at IS NULL
    UNION ALL
    SELECT 'lineage_oldest', NULL,
           coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
      FROM pipeline.lineage_event WHERE delivered_at IS NULL
    UNION ALL
    -- Also those that Atlas disabled for it: nobody is told until somebody enables them.
    SELECT 'webhooks_failing', NULL, count(*) FROM pipeline.webhook
     WHERE failing_since IS NOT NULL AND (enabled OR reason IS NOT NULL)
    UNION ALL
    -- Neither what is still gathered nor what quiet hours hold is late.
    SELECT 'webhooks_oldest', NULL,
           coalesce(extract(epoch FROM clock_timestamp() - min(d.created_at)), 0)
      FROM pipeline.webhook_delivery d JOIN pipeline.webhook w ON w.id = d.webhook_id
     WHERE d.settled_at IS NULL AND w.enabled
       AND (w.failing_since IS NOT NULL OR w.next_attempt_at <= clock_timestamp())
       AND (d.status = 'waiting'
            OR d.created_at <= clock_timestamp() - make_interval(secs => w.group_seconds))
    UNION ALL
    SELECT 'schedule_lag', NULL,
           coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)
      FROM pipeline.connection c
     WHERE due_at <= clock_timestamp()
       -- One that waits for the end of a run, as it was told to, is not late.
       AND NOT ((coalesce(c.document #>> '{schedule,overlap}', '') = 'queue'
                 OR coalesce(c.document #>> '{schedule,catch_up}', '') = 'all')
                AND EXISTS (SELECT FROM pipeline.run r WHERE r.connection_id = c.id
                               AND r.status IN ('queued', 'running')))
    UNION ALL
    SELECT 'tick_age', name, extract(epoch FROM clock_timestamp() - at) FROM pipeline.tick
    UNION ALL
    SELECT 'workers', queue, count(*) FROM pipeline.worker, unnest(queues) AS queue
     WHERE beat_at > clock_timestamp() - make_interval(secs => :dead) GROUP BY queue
    UNION ALL
    SELECT 'sessions', coalesce(nullif(application_name, ''), 'other') || '|' ||
           coalesce(state, 'other'), count(*)
      FROM pg_stat_activity WHERE datname = current_database() GROUP BY application_name, state
    UNION ALL
    SELECT 'database_sessions_waiting', NULL, count(*)
      FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    UNION ALL
    SELECT 'database_sessions_limit', NULL, current_setting('max_connections')::float8
    UNION ALL
    SELECT 'database_bytes', NULL, pg_database_size(current_database())
    """
)


def state(conn: sa.Connection, *, dead: float) -> dict[str, dict[str | None, float]]:
    """How things stand, by name and label.

    Args:
        dead: seconds without a sign after which a worker does not count.
    """
    found: dict[str, dict[str | None, float]] = defaultdict(dict)
    for row in conn.execute(_STATE, {"dead": dead}):
        found[row.name][row.label] = row.value
    return dict(found)


_CONNECTIONS = sa.text(
    """
    -- An index a part, of each connection its last rows.
    SELECT c.name, last.status, extract(epoch FROM fresh.extracted_at)::float8 AS fresh,
           scored.score
      FROM pipeline.connection c
      LEFT JOIN LATERAL (
           SELECT r.status FROM pipeline.run r
            WHERE r.connection = c.name AND r.status NOT IN ('queued', 'running')
            ORDER BY r.seq DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (
           SELECT r.extracted_at FROM pipeline.run r
            WHERE r.connection = c.name AND r.status = 'succeeded'
              AND r.trigger NOT IN ('remask', 'reprocess')
            ORDER BY r.seq DESC LIMIT 1) fresh ON true
      LEFT JOIN LATERAL (
           SELECT min(q.score)::float8 AS score
             FROM (SELECT r.id, r.seq FROM pipeline.run r
                    WHERE r.connection = c.name AND r.trigger <> 'reprocess'
                    ORDER BY r.seq DESC LIMIT 20) r
             JOIN pipeline.run_stream s ON s.run_id = r.id
             JOIN pipeline.quality_score q ON q.run_stream_id = s.id AND q.dimension = 'overall'
            GROUP BY r.seq ORDER BY r.seq DESC LIMIT 1) scored ON true
     ORDER BY c.name
     LIMIT :most
    """
)


def connections(conn: sa.Connection, most: int) -> list[Any]:
    """How each connection stands: rows of ``(name, status, fresh, score)``: how its last run ended,
    the time of extraction of the last that succeeded (seconds of Unix time), and the lowest score
    of a stream in the last run that was checked; each None where there is none."""
    return list(conn.execute(_CONNECTIONS, {"most": most}))
