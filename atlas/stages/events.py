"""Lineage events of runs and stages, written with the work that they tell of.

What an event says is read back from the ledger in the same transaction, so it tells what is
committed and nothing else.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from atlas.connectors.located import Files, Table, located
from atlas.layers import chart, names, staging
from atlas.ledger import claims, connections, dataset_notes, lineage, results, runs
from atlas.ledger.claims import Claim
from atlas.ledger.database import Recording, cursor
from atlas.ledger.lineage import Node
from atlas.lineage import events
from atlas.lineage.datasets import Step, StreamInfo
from atlas.lineage.events import EventType, RunInfo, StageInfo
from atlas.lineage.naming import Identity, Place, files_identity, place, table_identity
from atlas.model.stage import Layer, Stage, Status
from atlas.settings import Settings, database_url

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from atlas.ledger.connections import Told
    from atlas.ledger.runs import Run, RunStream
    from atlas.model.connection import Connection
    from atlas.model.stream import StreamKey

_MOVES = re.compile("INSERT |UPDATE |DELETE |CREATE TEMP TABLE ")
_CHANGES = re.compile(r'(?P<change>CREATE|ALTER) TABLE "(?P<schema>\w+)"\."(?P<table>\w+)"')
_NOW = sa.select(sa.func.clock_timestamp())
_LONGEST = 100_000
"""Characters of statements that an event takes; longer ones are left out as a whole."""


def stage_started(conn: sa.Connection, settings: Settings, claim: Claim) -> None:
    """An attempt at a stage began; the first one of a run also begins the run.

    Attempts before it that lost their worker could not tell their own end: it is told here.
    """
    run = runs.get(conn, claim.run_id)
    _lost(conn, settings, claim, run)
    if claim.stage is Stage.EXPLORE or run.retries:
        # Of a run that a user resumed, whatever stage comes first begins it anew.
        results.put_event(
            conn,
            run.id,
            f"{run.id}/START{_again(run)}",
            events.run_event(
                EventType.START,
                _run_info(settings, run, connections.told(conn, run.connection_id)),
                _now(conn),
            ),
        )
    _put(conn, settings, claim, run, EventType.START)


def stage_running(conn: sa.Connection, settings: Settings, claim: Claim) -> None:
    """An attempt at a stage is still at work; told once, however often this is called."""
    _put(conn, settings, claim, runs.get(conn, claim.run_id), EventType.RUNNING)


def attempts_lost(conn: sa.Connection, settings: Settings, claim: Claim) -> None:
    """ABORT for each attempt at the stage of ``claim`` whose holder was lost."""
    _lost(conn, settings, claim, runs.get(conn, claim.run_id))


def _lost(conn: sa.Connection, settings: Settings, claim: Claim, run: Run) -> None:
    for fence in claims.lost_fences(conn, claim.stage_run_id):
        lost = dataclasses.replace(claim, since=fence)
        _put(conn, settings, lost, run, EventType.ABORT, error="its worker was lost")


def stage_ended(
    conn: sa.Connection,
    settings: Settings,
    claim: Claim,
    status: Status,
    error: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """An attempt at a stage ended.

    Args:
        detail: what only the stage knows: fields of :class:`StreamInfo`.
    """
    run = runs.get(conn, claim.run_id)
    _put(conn, settings, claim, run, events.ENDS[status], error=error, detail=detail)


def done_by(cur: Recording) -> dict[str, Any]:
    """What a stage's statements say of it, for its ``detail``: those that moved its data, and which
    tables they made or altered."""
    moved = [text for text in cur.statements if _MOVES.match(text)]
    changes: dict[str, str] = {}
    for text in cur.statements:
        if found := _CHANGES.match(text):
            changes.setdefault(f"{found['schema']}.{found['table']}", found["change"])
    sql = ";\n".join(moved)
    return {"sql": sql if 0 < len(sql) <= _LONGEST else None, "changes": changes}


def located_by(connection: Connection, streams: Iterable[StreamKey]) -> dict[str, Any]:
    """Which tables and files a config says that ``streams`` are, for ``explore``'s ``detail``."""
    identities: dict[StreamKey, Identity] = {}
    for stream in streams:
        match located(connection.connector, connection.config, stream):
            case Table(host, port, database, schema, name):
                identities[stream] = table_identity(host, port, database, schema, name)
            case Files(path):
                identities[stream] = files_identity(path)
    return {"identities": identities}


def run_ended(conn: sa.Connection, settings: Settings, run_id: str, status: Status) -> None:
    """A run ended; one that never began has no end to tell."""
    run = runs.get(conn, run_id)
    kind = events.ENDS[status]
    at = results.moment_after(conn, f"{run.id}/START{_again(run)}")
    if at is None:
        return
    results.put_event(
        conn,
        run.id,
        f"{run.id}/{kind.value}{_again(run)}",
        events.run_event(
            kind,
            _run_info(settings, run, connections.told(conn, run.connection_id)),
            at,
            error=run.error,
        ),
    )


def _again(run: Run) -> str:
    return f"/{run.retries}" if run.retries else ""


def _put(
    conn: sa.Connection,
    settings: Settings,
    claim: Claim,
    run: Run,
    kind: EventType,
    *,
    error: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    begins = kind is EventType.START
    at = _now(conn) if begins else results.moment_after(conn, _key(claim, EventType.START))
    if at is None:
        return  # lost before it could tell its start, it has no end to tell
    if claim.run_stream_id is None:
        streams = runs.streams(conn, run.id)
    else:
        streams = [runs.stream(conn, claim.run_stream_id)]
    connection = connections.told(conn, run.connection_id)
    info = StageInfo(
        run=_run_info(settings, run, connection),
        stage=claim.stage,
        stage_run_id=claim.stage_run_id,
        fence=claim.since,
        stream=streams[0].key if claim.run_stream_id is not None else None,
    )
    # One that masks anew asks no source and checks nothing: no data went through these. Nor does
    # one ask a source that takes up a quarantine. Nor did any of a stream that its source has no
    # more.
    idle = (run.remasks and claim.stage in (Stage.EXPLORE, Stage.QUALITY)) or (
        run.reprocesses and claim.stage is Stage.EXPLORE
    )
    told = [] if idle else [item for item in streams if not item.gone]
    here = place(database_url(settings))
    about = _About(run, claim.stage, kind, here, _source(connection), detail or {})
    event = events.stage_event(
        kind,
        info,
        at,
        here,
        tuple(_stream_info(conn, about, item) for item in told),
        error=error,
    )
    key = _key(claim, kind)
    whole = kind is EventType.COMPLETE
    # What explore read before it broke off is committed, and its streams go on from it.
    drawn = whole or (claim.stage is Stage.EXPLORE and kind in events.ENDS.values())
    if results.put_event(conn, run.id, key, event) and drawn:
        lineage.tell(conn, key, whole=whole)


def _key(claim: Claim, kind: EventType) -> str:
    return f"{claim.run_id}/{claim.stage_run_id}/{claim.since}/{kind.value}"


@dataclasses.dataclass(frozen=True, slots=True)
class _About:
    """What an event says of all its streams alike; ``detail`` is what only the stage knows."""

    run: Run
    stage: Stage
    kind: EventType
    here: Place
    connector: str
    detail: dict[str, Any]


def _stream_info(conn: sa.Connection, about: _About, stream: RunStream) -> StreamInfo:
    cur = cursor(conn)
    run, stage = about.run, about.stage
    tables = names.tables(cur, run.connection, stream.key)
    columns = names.columns(cur, run.connection, stream.key, stream.configured.json_schema)
    counted: dict[str, Any] = {}
    if staging.there(cur, stream.id):
        masked = {column: twin.type for column, twin in staging.twins(cur, stream.id).items()}
    else:
        masked = chart.masked_types(cur, tables)
    if stage is Stage.EXPLORE and about.kind is not EventType.START:
        # So far: they are counted at each checkpoint.
        counted = {"rows_read": stream.rows_explore, "rows_written": stream.rows_explore}
    elif stage in (Stage.PII, Stage.QUALITY) and about.kind in events.ENDS.values():
        counted = {"rows_read": stream.rows_explore}
    said = dataset_notes.of_table(conn, tables.table)
    return StreamInfo(
        connection=run.connection,
        connector=about.connector,
        stream=stream.key,
        raw_name=tables.raw,
        table_name=tables.table,
        quarantine_name=tables.quarantine,
        columns=columns.all,
        masked_types=masked,
        verdicts=tuple(results.findings(conn, stream.id)),
        standing=_standing(conn, about, stream, tables) if stage is Stage.CHART else {},
        owner=said.owner,
        tags=said.tags,
        **(counted | about.detail),
    )


def _standing(
    conn: sa.Connection, about: _About, stream: RunStream, tables: names.Tables
) -> dict[str, tuple[Step, ...]]:
    """How rows of earlier runs are masked, where this one adds to them: it masks alike, also where
    it finds nothing to mask."""
    if stream.replaces or about.run.remasks:
        return {}
    table = Node(about.here.namespace, about.here.name(Layer.CHART, tables.table))
    found = lineage.standing(conn, about.run.id, table, stream.key.namespace, stream.key.name)
    return {
        column: tuple(
            Step(step["subtype"], masking=True, description=step.get("description"))
            for step in steps
        )
        for column, steps in found.items()
    }


def _source(connection: Told) -> str:
    return connection.connector or Path(connection.executable or "unknown").name


def _run_info(settings: Settings, run: Run, connection: Told) -> RunInfo:
    return RunInfo(
        run_id=run.id,
        connection=run.connection,
        created_at=run.created_at,
        namespace=settings.openlineage_namespace,
        source_code=connection.source_code,
    )


def _now(conn: sa.Connection) -> datetime:
    # The database's clock, as for every other time that is stored.
    moment: datetime = conn.execute(_NOW).scalar_one()
    return moment
