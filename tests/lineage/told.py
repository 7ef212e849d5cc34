"""A run of connection ``shop`` that has told its lineage, without having been run."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from atlas.layers import names
from atlas.ledger import lineage, results, runs
from atlas.ledger.database import cursor
from atlas.lineage.datasets import StreamInfo
from atlas.lineage.events import EventType, RunInfo, StageInfo, stage_event
from atlas.lineage.naming import Place
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stage import Stage
from atlas.model.stream import Column, ColumnType, StreamKey
from tests.lineage.validator import validate

USERS = StreamKey("users")
_STAGES = (Stage.EXPLORE, Stage.CHART, Stage.NAVIGATE)


def tell(conn: sa.Connection, *, masked: bool = True) -> str:
    """A new run that moved stream ``users`` from the source to navigate; its id."""
    run_id = runs.create(conn, connection="shop", trigger="cli", selected=None, full_refresh=False)
    conn.execute(sa.text("UPDATE pipeline.run SET status = 'succeeded'"))
    tables = names.tables(cursor(conn), "shop", USERS)
    verdict = Verdict("email", "", "EMAIL_ADDRESS", 1.0, Scope.VALUE, Operator.MASK, 1.0, {})
    stream = StreamInfo(
        "shop",
        "source-faker",
        USERS,
        tables.raw,
        tables.table,
        tables.quarantine,
        columns=(
            Column("id", "id", ColumnType.BIGINT, nullable=False),
            Column("email", "email", ColumnType.TEXT),
        ),
        verdicts=(verdict,) if masked else (),
    )
    at = datetime(2025, 3, 1, 9, tzinfo=UTC)
    run = RunInfo(run_id, "shop", at, "atlas")
    database = conn.execute(sa.text("SELECT current_database()")).scalar_one()
    for number, stage in enumerate(_STAGES):
        info = StageInfo(run, stage, number, 1, None if stage is Stage.EXPLORE else USERS)
        place = Place("db.example", 5433, database)
        event = stage_event(EventType.COMPLETE, info, at, place, (stream,))
        validate(event)
        key = f"{run_id}/{number}/1/COMPLETE"
        assert results.put_event(conn, run_id, key, event)
        assert not results.put_event(conn, run_id, key, event)
        lineage.tell(conn, key)
    return run_id
