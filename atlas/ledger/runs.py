"""Runs and their streams: how they come to be, and what a user reads of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from atlas.errors import ActiveRun, NotFound
from atlas.ledger.prepared import Prepared
from atlas.ledger.tables import run, run_stream, segment, stage_run
from atlas.model.ids import uuid7
from atlas.model.stage import Stage, Status
from atlas.model.stream import ConfiguredStream, Segment, StreamKey, SyncMode

ACTIVE = (Status.QUEUED.value, Status.RUNNING.value)

REMASK = "remask"
"""Trigger of a run that asks no source: it makes the masked layers anew from explore."""

REPROCESS = "reprocess"
"""Trigger of a run that asks no source: it takes rows of a quarantine through the stages again."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its stages need it. ``policy``: that for personal data, as it was when the run was
    made; None where nobody wrote it down."""

    id: str
    connection_id: int | None
    connection: str
    trigger: str
    full_refresh: bool
    selected: list[str] | None
    extracted_at: datetime | None
    created_at: datetime
    retries: int
    error: str | None
    policy: dict[str, Any] | None

    @property
    def remasks(self) -> bool:
        """Whether it makes the masked layers anew from explore, and asks no source."""
        return self.trigger == REMASK

    @property
    def syncs(self) -> bool:
        """Whether it reads its source."""
        return not (self.remasks or self.reprocesses)

    @property
    def reprocesses(self) -> bool:
        """Whether it takes rows of a quarantine through the stages again, and asks no source."""
        return self.trigger == REPROCESS


@dataclass(frozen=True, slots=True)
class RunStream:
    """One stream of a run."""

    id: int
    run_id: str
    configured: ConfiguredStream
    refreshes: bool
    gone: bool
    explored: bool
    rows_explore: int
    rows_carried: int
    rows_erased: int
    carries_refresh: bool
    token_key: int | None

    @property
    def key(self) -> StreamKey:
        """The stream's identity."""
        return self.configured.key

    @property
    def rows(self) -> int:
        """Rows that go through its stages: those read, and those carried along, but for those that
        were erased."""
        return self.rows_explore + self.rows_carried - self.rows_erased

    @property
    def replaces(self) -> bool:
        """Whether its rows are all that the source has, so that what is not among them is gone."""
        return self.refreshes or self.carries_refresh


_CREATE = Prepared(
    sa.text(
        """
        -- The run with its explore stage, which counts as sent: whoever commits this sends it.
        -- Nothing is written where the connection has an active run already, whatever races. With
        -- it goes the policy that it goes by, also when it is retried: the named one with the
        -- connection's own words on top. NULL: there is none of that name.
        PREPARE atlas_create_run (uuid, text, text, text[], boolean, text) AS
        WITH wanted AS (
                SELECT c.id, c.name,
                       CASE WHEN p.id IS NOT NULL OR asked.policy = 'default' THEN
                           jsonb_build_object(
                               'name', asked.policy,
                               'entities', coalesce(p.entities, '{}') || asked.entities,
                               'columns', coalesce(p.columns, '{}') || asked.columns)
                       END AS policy
                  FROM pipeline.connection c
                 CROSS JOIN LATERAL (
                       SELECT coalesce(c.document #>> '{pii,policy}', 'default') AS policy,
                              CASE jsonb_typeof(c.document #> '{pii,entities}')
                                  WHEN 'object' THEN c.document #> '{pii,entities}' ELSE '{}'
                              END AS entities,
                              CASE jsonb_typeof(c.document #> '{pii,columns}')
                                  WHEN 'object' THEN c.document #> '{pii,columns}' ELSE '{}'
                              END AS columns) asked
                  LEFT JOIN pipeline.pii_policy p ON p.name = asked.policy
                 WHERE c.name = $2),
             made AS (
                INSERT INTO pipeline.run
                       (id, connection_id, connection, trigger, selected, full_refresh, policy)
                SELECT $1, id, name, $3, $4, $5, policy FROM wanted
                    ON CONFLICT (connection_id) WHERE status IN ('queued', 'running') DO NOTHING
                RETURNING id),
             explore AS (
                INSERT INTO pipeline.stage_run (run_id, stage, position, dispatched_at, dispatches)
                SELECT id, 'explore', 0, clock_timestamp(), 1 FROM made
                RETURNING run_id),
             told AS (
                INSERT INTO pipeline.audit (actor, action, subject, detail)
                SELECT $6, 'sync.start', $2,
                       jsonb_build_object('run_id', id, 'streams', $4, 'full_refresh', $5)
                  FROM made WHERE $6 IS NOT NULL)
        SELECT (SELECT id FROM wanted) AS connection_id, (SELECT run_id FROM explore) AS run_id
        """
    ),
    sa.text(
        "EXECUTE atlas_create_run (:id, :connection, :trigger, :selected, :full_refresh, :actor)"
    ),
)


def create(
    conn: sa.Connection,
    *,
    connection: str,
    trigger: str,
    selected: list[str] | None,
    full_refresh: bool,
    actor: str | None = None,
) -> str:
    """A new queued run with its explore stage; returns its id.

    Args:
        actor: who starts this sync, for the audit log; None: the caller says it there.

    Raises:
        NotFound: there is no such connection.
        ActiveRun: the connection has one already (the database says so, whatever races).
    """
    run_id = str(uuid7())
    values = {
        "id": run_id,
        "connection": connection,
        "trigger": trigger,
        "selected": selected,
        "full_refresh": full_refresh,
        "actor": actor,
    }
    missing = f"there is no connection {connection}: `atlas connections list` shows those there are"
    while True:
        try:
            row = _CREATE.run(conn, values).one()
        except IntegrityError as error:
            # It was deleted while this waited for its row.
            raise NotFound(missing) from error
        if row.connection_id is None:
            raise NotFound(missing)
        if row.run_id is not None:
            return run_id
        active = active_of(conn, row.connection_id)
        if active is not None:  # else it ended between the two statements: ours may begin
            raise ActiveRun(connection, active)


def active_of(conn: sa.Connection, connection_id: int) -> str | None:
    """The id of the connection's active run."""
    return conn.execute(
        sa.select(run.c.id).where(run.c.connection_id == connection_id, run.c.status.in_(ACTIVE))
    ).scalar()


def active_of_name(conn: sa.Connection, connection: str) -> str | None:
    """The id of the active run of a connection of this name."""
    return conn.execute(
        sa.select(run.c.id).where(run.c.connection == connection, run.c.status.in_(ACTIVE)).limit(1)
    ).scalar()


def seen(conn: sa.Connection, connection: str) -> tuple[int, int]:
    """How many runs a connection of this name has had, and how often any of them was retried: the
    same as before, and none active then or now, means that none has written since."""
    runs, retries = conn.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(run.c.retries), 0)).where(
            run.c.connection == connection
        )
    ).one()
    return int(runs), int(retries)


def add_streams(
    conn: sa.Connection,
    run_id: str,
    streams: list[tuple[ConfiguredStream, bool]],
    stages: list[Stage],
    *,
    gone: bool = False,
) -> None:
    """The streams of a run with their stages after explore; those already there stay as they are.

    Args:
        streams: each with whether it is read from its start (and so replaces what is gone).
        stages: the order of the pipeline, explore first.
        gone: whether they are streams that the source has no more, and is not asked for.
    """
    for configured, refreshes in streams:
        new = conn.execute(
            insert(run_stream)
            .values(
                run_id=run_id,
                namespace=configured.key.namespace or "",
                stream=configured.key.name,
                configured=_document(configured, refreshes=refreshes, gone=gone),
            )
            .on_conflict_do_nothing()
            .returning(run_stream.c.id)
        ).scalar()
        if new is None:
            continue
        conn.execute(
            stage_run.insert(),
            [
                {
                    "run_id": run_id,
                    "run_stream_id": new,
                    "stage": stage.value,
                    "position": position,
                }
                for position, stage in enumerate(stages)
                if position
            ],
        )


def get(conn: sa.Connection, run_id: str) -> Run:
    """The run with this id.

    Raises:
        NotFound: there is none.
    """
    row = row_of(conn, run_id)
    return Run(
        id=row.id,
        connection_id=row.connection_id,
        connection=row.connection,
        trigger=row.trigger,
        full_refresh=row.full_refresh,
        selected=row.selected,
        extracted_at=row.extracted_at,
        created_at=row.created_at,
        retries=row.retries,
        error=row.error,
        policy=row.policy,
    )


def stamp_extraction(conn: sa.Connection, run_id: str) -> datetime:
    """The run's extraction time: set at the first call, the same at each further one, and later
    than that of every earlier run of the connection even if the clock went back."""
    earlier = run.alias()
    latest = (
        sa.select(sa.func.max(earlier.c.extracted_at))
        .where(earlier.c.connection == run.c.connection, earlier.c.id != run.c.id)
        .scalar_subquery()
    )
    stamp: datetime = conn.execute(
        run.update()
        .where(run.c.id == run_id)
        .values(
            extracted_at=sa.func.coalesce(
                run.c.extracted_at,
                sa.func.greatest(
                    sa.func.clock_timestamp(), latest + sa.text("interval '1 microsecond'")
                ),
            )
        )
        .returning(run.c.extracted_at)
    ).scalar_one()
    return stamp


def streams(conn: sa.Connection, run_id: str) -> list[RunStream]:
    """The streams of a run, in the order they were added."""
    rows = conn.execute(
        sa.select(run_stream).where(run_stream.c.run_id == run_id).order_by(run_stream.c.id)
    )
    return [restore(row) for row in rows]


def stream_ids(conn: sa.Connection, run_id: str) -> list[int]:
    """Ids of the streams of a run."""
    return list(
        conn.execute(sa.select(run_stream.c.id).where(run_stream.c.run_id == run_id)).scalars()
    )


def stream(conn: sa.Connection, run_stream_id: int) -> RunStream:
    """One stream of a run."""
    return restore(conn.execute(_STREAM, {"id": run_stream_id}).one())


def rows_explored(conn: sa.Connection, run_stream_ids: Iterable[int]) -> dict[int, int]:
    """How many rows these streams have in explore, by their ids."""
    rows = conn.execute(
        sa.select(run_stream.c.id, run_stream.c.rows_explore).where(
            run_stream.c.id.in_(list(run_stream_ids))
        )
    )
    return {row.id: row.rows_explore for row in rows}


def add_segment(conn: sa.Connection, run_stream_id: int, part: Segment, *, covered: bool) -> None:
    """A committed range of rows, counted into the stream.

    Args:
        covered: whether a state that commits with it covers its rows.
    """
    conn.execute(
        segment.insert().values(
            run_stream_id=run_stream_id,
            first_id=part.first_id,
            last_id=part.last_id,
            rows=part.rows,
            covered=covered,
        )
    )
    conn.execute(
        run_stream.update()
        .where(run_stream.c.id == run_stream_id)
        .values(rows_explore=run_stream.c.rows_explore + part.rows)
    )


def cover(conn: sa.Connection, run_stream_ids: list[int]) -> None:
    """A state that covers all rows of these streams so far commits now."""
    conn.execute(
        segment.update()
        .where(segment.c.run_stream_id.in_(run_stream_ids), segment.c.covered.is_(False))
        .values(covered=True)
    )


def ranges(conn: sa.Connection, run_stream_id: int, *, covered_only: bool = False) -> list[Segment]:
    """The committed rows of a stream of a run, oldest first, in as few ranges as hold nothing else.

    Where checkpoints fell is chance: what is made of the rows must not depend on it.
    """
    rows = conn.execute(
        sa.select(segment)
        .where(segment.c.run_stream_id == run_stream_id)
        .order_by(segment.c.first_id)
    )
    found: list[Segment] = []
    goes_on = False
    for row in rows:
        if covered_only and not row.covered:
            goes_on = False
        elif goes_on:
            found[-1] = Segment(found[-1].first_id, row.last_id, found[-1].rows + row.rows)
        else:
            found.append(Segment(row.first_id, row.last_id, row.rows))
            goes_on = True
    return found


def take_back(conn: sa.Connection, run_stream_id: int, *, all_of_it: bool) -> list[Segment]:
    """Forget the ranges that no state covers (or all): the source will send their rows again.

    Returns:
        The ranges, for the caller to delete their rows in the same transaction.
    """
    which = segment.c.run_stream_id == run_stream_id
    if not all_of_it:
        which = sa.and_(which, segment.c.covered.is_(False))
    gone = [
        Segment(row.first_id, row.last_id, row.rows)
        for row in conn.execute(segment.delete().where(which).returning(segment))
    ]
    if gone:
        conn.execute(
            run_stream.update()
            .where(run_stream.c.id == run_stream_id)
            .values(rows_explore=run_stream.c.rows_explore - sum(part.rows for part in gone))
        )
    return gone


def explored(conn: sa.Connection, run_stream_id: int) -> None:
    """The source has read this stream to its end; its own stages may begin."""
    conn.execute(
        run_stream.update()
        .where(run_stream.c.id == run_stream_id)
        .values(explored_at=sa.func.clock_timestamp())
    )


def count(conn: sa.Connection, run_stream_id: int, **counts: Any) -> None:
    """Set counts of a stream (columns ``rows_*``, ``versions_*``, ``carries_refresh``,
    ``remasked``) or its ``token_key``."""
    conn.execute(run_stream.update().where(run_stream.c.id == run_stream_id).values(**counts))


def lock_runs_of(conn: sa.Connection, run_stream_ids: list[int]) -> None:
    """Lock the runs of these streams until the transaction ends: meanwhile nobody retries them."""
    conn.execute(
        sa.select(run.c.id)
        .where(
            run.c.id.in_(sa.select(run_stream.c.run_id).where(run_stream.c.id.in_(run_stream_ids)))
        )
        .order_by(run.c.id)
        .with_for_update()
    )


def done_with(conn: sa.Connection, run_stream_ids: list[int]) -> list[int]:
    """Those of these streams whose staging table nobody needs any more.

    That is where the stream succeeded or was cancelled, or is not known any more; and where its
    run has ended and cannot be retried, since it is not its connection's latest.
    """
    newer = run.alias("newer")
    needed = set(
        conn.execute(
            sa.select(run_stream.c.id)
            .join(run, run.c.id == run_stream.c.run_id)
            .where(
                run_stream.c.id.in_(run_stream_ids),
                sa.or_(
                    run.c.status.in_(ACTIVE),
                    sa.and_(
                        run_stream.c.status.in_((Status.FAILED.value, Status.BLOCKED.value)),
                        run.c.connection_id.is_not(None),
                        ~sa.exists().where(
                            newer.c.connection_id == run.c.connection_id,
                            newer.c.seq > run.c.seq,
                        ),
                    ),
                ),
            )
        ).scalars()
    )
    return [item for item in run_stream_ids if item not in needed]


def oddities(conn: sa.Connection, run_id: str, *, repaired: int, ignored: int) -> None:
    """Count what the source sent that could not be kept as it was, or was not asked for."""
    conn.execute(
        run.update()
        .where(run.c.id == run_id)
        .values(repaired=run.c.repaired + repaired, ignored=run.c.ignored + ignored)
    )


# Built once: every event of lineage asks for a run and a stream.
_RUN = sa.select(run).where(run.c.id == sa.bindparam("id"))
_STREAM = sa.select(run_stream).where(run_stream.c.id == sa.bindparam("id"))


def row_of(conn: sa.Connection, run_id: str) -> sa.Row[Any]:
    """The row of a run.

    Raises:
        NotFound: there is none.
    """
    try:
        canonical = str(uuid.UUID(run_id))
    except ValueError as error:
        raise NotFound(f"there is no run {run_id!r}: `atlas runs list` shows them") from error
    row = conn.execute(_RUN, {"id": canonical}).one_or_none()
    if row is None:
        raise NotFound(f"there is no run {run_id}: `atlas runs list` shows those there are")
    return row


def _document(configured: ConfiguredStream, *, refreshes: bool, gone: bool) -> dict[str, Any]:
    return {
        "json_schema": configured.json_schema,
        "sync_mode": configured.sync_mode.value,
        "cursor_field": list(configured.cursor_field),
        "primary_key": [list(path) for path in configured.primary_key],
        "refreshes": refreshes,
        "cut": configured.cut,
        "gone": gone,
    }


def restore(row: sa.Row[Any]) -> RunStream:
    """The stream of a run from its row."""
    document = row.configured
    return RunStream(
        id=row.id,
        run_id=row.run_id,
        configured=ConfiguredStream(
            key=StreamKey(row.stream, row.namespace or None),
            json_schema=document["json_schema"],
            sync_mode=SyncMode(document["sync_mode"]),
            cursor_field=tuple(document["cursor_field"]),
            primary_key=tuple(tuple(path) for path in document["primary_key"]),
            cut=document.get("cut", False),
        ),
        refreshes=document["refreshes"],
        gone=document.get("gone", False),
        explored=row.explored_at is not None,
        rows_explore=row.rows_explore,
        rows_carried=row.rows_carried,
        rows_erased=row.rows_erased,
        carries_refresh=row.carries_refresh,
        token_key=row.token_key,
    )
