"""Runs asked for through the API, many at once, and what the ledger says of them afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench import client
from bench.stack import BenchError, Stack

_POLL = 0.02
_ACTIVE = "SELECT count(*) FROM pipeline.run WHERE id = ANY(%s::uuid[]) AND finished_at IS NULL"
_ENDED = """
    SELECT r.id::text, r.connection, r.status, r.error, extract(epoch FROM r.created_at)::float8,
           extract(epoch FROM r.finished_at)::float8,
           (SELECT coalesce(sum(rows_promoted), 0) FROM pipeline.run_stream WHERE run_id = r.id)
      FROM pipeline.run AS r WHERE r.id = ANY(%s::uuid[])
"""
_STAGES = """
    SELECT s.run_id::text, s.stage, extract(epoch FROM s.started_at)::float8,
           extract(epoch FROM s.finished_at)::float8,
           (SELECT count(*) FROM pipeline.attempt AS a
             WHERE a.stage_run_id = s.id AND a.outcome IN ('lost', 'retry', 'failed'))
      FROM pipeline.stage_run AS s WHERE s.run_id = ANY(%s::uuid[]) ORDER BY s.run_id, s.position
"""


@dataclass(slots=True)
class Run:
    """A run that has ended, with one stream; times in seconds, by the database's clock.

    Attributes:
        waits: before each stage, since the one before it ended (explore: since the request).
        stages: of each stage.
        rows: rows promoted.
        mishaps: attempts at its stages that failed or lost their worker.
    """

    connection: str
    status: str
    error: str | None
    begin: float
    end: float
    rows: int
    mishaps: int = 0
    waits: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From its request to its end."""
        return self.end - self.begin


def together(atlas: Stack, key: str, names: Sequence[str], *, patience: float = 900.0) -> list[Run]:
    """Ask for a sync of each of ``names`` at once, and wait until the last has ended.

    Raises:
        BenchError: one was not accepted, or not all had ended after ``patience`` seconds.
    """
    paths = [f"/api/v1/connections/{name}/syncs" for name in names]
    load = client.post(atlas.api_url, paths, at_once=len(paths), key=key)
    ids = [json.loads(body)["run_id"] for body in load.bodies]
    end = time.monotonic() + patience
    with atlas.admin() as cursor:
        while _one(cursor, _ACTIVE, ids):
            if time.monotonic() > end:
                raise BenchError(f"{_one(cursor, _ACTIVE, ids)} runs have not ended")
            time.sleep(_POLL if len(ids) == 1 else _POLL * 10)
        cursor.execute(_ENDED, (ids,))
        found = {row[0]: Run(*row[1:]) for row in cursor.fetchall()}
        cursor.execute(_STAGES, (ids,))
        for run_id, stage, started, finished, mishaps in cursor.fetchall():
            run = found[run_id]
            run.mishaps += mishaps
            if started is None or finished is None:
                continue
            before = run.begin + sum(run.waits.values()) + sum(run.stages.values())
            run.waits[stage], run.stages[stage] = started - before, finished - started
    return list(found.values())


def must_succeed(runs: Sequence[Run]) -> None:
    """Raises BenchError when one did not succeed, each stage at once: no figure of it counts."""
    for run in runs:
        if run.status != "succeeded" or run.mishaps:
            raise BenchError(
                f"sync {run.connection}: {run.status} after {run.mishaps} mishaps: {run.error}"
            )


def by_stage(runs: Sequence[Run]) -> dict[str, tuple[float, float]]:
    """Medians of the wait before each stage, and of its seconds."""
    return {
        stage: (median(run.waits[stage] for run in runs), median(run.stages[stage] for run in runs))
        for stage in runs[0].stages
    }


def _one(cursor: Any, query: str, ids: list[str]) -> int:
    cursor.execute(query, (ids,))
    return int(cursor.fetchone()[0])
