"""A whole run as workers do it, stage by stage, in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from atlas.errors import AtlasError
from atlas.ledger import claims, parts, runs
from atlas.model.stage import Stage, Status
from atlas.stages import ORDER, chart, lineage, navigate, pii, quality
from atlas.stages.work import PartWork, Work, begin, finish
from tests.stages.conftest import Source

STAGES: dict[Stage, Callable[[Work], None]] = {
    Stage.PII: pii.run,
    Stage.QUALITY: quality.run,
    Stage.CHART: chart.run,
    Stage.NAVIGATE: navigate.run,
    Stage.LINEAGE: lineage.run,
}


def ready(shop: Source, database_url: str) -> None:
    """Let the connection have what its later stages need."""
    url = database_url.replace("postgresql+psycopg2://", "postgresql://")
    shop.settings = dataclasses.replace(shop.settings, database_url=url)


def perform(shop: Source, run_stream_id: int, stage: Stage) -> None:
    """One stage of a stream, with its parts."""
    claim = claims.claim(shop.engine, stage, run_stream_id=run_stream_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)
    work = Work(claim, shop.engine, shop.settings, lambda _: None)
    try:
        with work.transaction() as conn:
            begin(conn, shop.settings, claim)
        STAGES[stage](work)
    except AtlasError as error:
        with work.transaction() as conn:
            finish(conn, shop.settings, claim, Status.FAILED, error=str(error))
        raise
    if work.parked:
        while part := parts.claim(shop.engine, holder="t", lease=60, max_attempts=3):
            pii.run_part(PartWork(part, "t", shop.engine, shop.settings, lambda _: None))
        perform(shop, run_stream_id, stage)


def stages(shop: Source, run_id: str, *, until: Stage = Stage.LINEAGE) -> None:
    """All stages after explore, stream by stream."""
    with shop.engine.begin() as conn:
        streams = runs.streams(conn, run_id)
    for stream in streams:
        for stage in ORDER[1 : ORDER.index(until) + 1]:
            perform(shop, stream.id, stage)


def sync(shop: Source, *, full_refresh: bool = False) -> dict[str, Any]:
    """A whole run; returns the row counts of stream users."""
    run_id = shop.begin(full_refresh=full_refresh)
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    assert shop.value("SELECT status FROM pipeline.run WHERE id = :r", r=run_id) == "succeeded"
    with shop.engine.connect() as conn:
        found = conn.execute(
            sa.text("SELECT * FROM pipeline.run_stream WHERE run_id = :r AND stream = 'users'"),
            {"r": run_id},
        ).one()
    return dict(found._mapping)
