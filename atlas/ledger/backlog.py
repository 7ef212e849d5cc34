"""What earlier runs of a stream left undone: rows that never came to chart, history not written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from atlas.ledger import runs
from atlas.ledger.tables import run, run_stream, segment, stage_run
from atlas.model.stage import Stage, Status
from atlas.model.stream import Segment, StreamKey

_NO_STREAM_YET = 2**63 - 1
"""In the place of the id of a stream of a run: after all that there are."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Rows of earlier runs that a run takes along.

    Attributes:
        parts: ranges of rows by the id of their run, oldest run first.
        replaces: whether they begin with all that the source had, so that what chart holds
            beside them is gone.
    """

    parts: dict[str, list[Segment]]
    replaces: bool

    @property
    def rows(self) -> int:
        """How many rows these are."""
        return sum(segment.rows for found in self.parts.values() for segment in found)


def unpromoted(conn: sa.Connection, connection: str, key: StreamKey, run_stream_id: int) -> Carried:
    """Rows that runs before this one left in explore with their state, and that never came to
    chart, because a gate was closed or a stage failed. The source will not send them again."""
    parts: dict[str, list[Segment]] = {}
    replaces = False
    for stream in _since_promoted(conn, connection, key, run_stream_id):
        if stream.refreshes and not stream.explored:
            continue  # it broke off, and its state was not kept: it will be read again
        if stream.refreshes:
            parts, replaces = {}, True
        found = runs.ranges(conn, stream.id, covered_only=not stream.refreshes)
        if found:
            parts[str(stream.run_id)] = found
    return Carried(parts, replaces)


def left_behind(
    conn: sa.Connection, connection: str, key: StreamKey, run_stream_id: int
) -> dict[str, list[Segment]]:
    """All rows of runs before this one that never came to chart, whether a run takes them along or
    not: ranges by the id of their run."""
    return {
        str(stream.run_id): found
        for stream in _since_promoted(conn, connection, key, run_stream_id)
        if (found := runs.ranges(conn, stream.id))
    }


def first_left(conn: sa.Connection, connection: str, key: StreamKey) -> int | None:
    """Id of the first raw row of the stream that has not come to chart and may yet; None: all of
    them have."""
    left = left_behind(conn, connection, key, _NO_STREAM_YET)
    return min((part.first_id for parts in left.values() for part in parts), default=None)


def _since_promoted(
    conn: sa.Connection, connection: str, key: StreamKey, run_stream_id: int
) -> list[runs.RunStream]:
    """The stream in the runs before this one, oldest first, since one brought it to chart."""
    of_stream = sa.and_(
        run.c.connection == connection,
        run_stream.c.stream == key.name,
        run_stream.c.namespace == (key.namespace or ""),
        run_stream.c.id < run_stream_id,
    )
    promoted = (
        sa.select(sa.func.coalesce(sa.func.max(run_stream.c.id), 0))
        .join(run, run.c.id == run_stream.c.run_id)
        .where(of_stream, _promoted())
        .scalar_subquery()
    )
    earlier = conn.execute(
        sa.select(run_stream)
        .join(run, run.c.id == run_stream.c.run_id)
        .where(of_stream, run_stream.c.id > promoted)
        .order_by(run_stream.c.id)
    )
    return [runs.restore(row) for row in earlier]


def _promoted() -> sa.ColumnElement[bool]:
    """Condition that a run brought to chart what there was of the stream to bring; one that only
    masked anew what was there, or took some rows of its quarantine there, has left the rest."""
    return sa.and_(
        run.c.trigger.not_in((runs.REMASK, runs.REPROCESS)),
        sa.exists().where(
            stage_run.c.run_stream_id == run_stream.c.id,
            stage_run.c.stage == Stage.CHART.value,
            stage_run.c.status == Status.SUCCEEDED.value,
        ),
    )


def promoted(conn: sa.Connection, connection: str) -> list[runs.RunStream]:
    """The streams of a connection that have come to chart, each as it was when it last did."""
    rows = conn.execute(
        sa.select(run_stream)
        .join(run, run.c.id == run_stream.c.run_id)
        .where(run.c.connection == connection, _promoted())
        .distinct(run_stream.c.namespace, run_stream.c.stream)
        .order_by(run_stream.c.namespace, run_stream.c.stream, run_stream.c.id.desc())
    )
    return [runs.restore(row) for row in rows]


def replaced(conn: sa.Connection, connection: str, key: StreamKey) -> int:
    """Id of the last raw row that the last complete refresh in chart has replaced, whatever it was;
    0: none did. What the refresh itself has read comes after it."""
    of_stream = sa.and_(
        run.c.connection == connection,
        run_stream.c.stream == key.name,
        run_stream.c.namespace == (key.namespace or ""),
    )
    refreshes = run_stream.c.configured["refreshes"].as_boolean()
    streams = sa.select(sa.func.max(run_stream.c.id)).join(run, run.c.id == run_stream.c.run_id)
    brought = streams.where(
        of_stream, _promoted(), sa.or_(refreshes, run_stream.c.carries_refresh)
    ).scalar_subquery()
    # It read it itself, or carried what one before it had read.
    read = streams.where(
        of_stream, refreshes, run_stream.c.explored_at.is_not(None), run_stream.c.id <= brought
    ).scalar_subquery()
    return int(
        conn.execute(
            sa.select(sa.func.coalesce(sa.func.max(segment.c.last_id), 0))
            .join(run_stream, run_stream.c.id == segment.c.run_stream_id)
            .join(run, run.c.id == run_stream.c.run_id)
            .where(of_stream, run_stream.c.id < read)
        ).scalar_one()
    )


def unapplied(conn: sa.Connection, connection: str, key: StreamKey) -> dict[str, datetime]:
    """Runs whose chart stage succeeded for this stream while its history is still to be written:
    the present one, and earlier ones whose navigate never succeeded. Run id to extraction time."""
    chart, navigate = stage_run.alias("chart"), stage_run.alias("navigate")
    rows = conn.execute(
        sa.select(run.c.id, run.c.extracted_at)
        .join(run_stream, run_stream.c.run_id == run.c.id)
        .join(
            chart,
            sa.and_(
                chart.c.run_stream_id == run_stream.c.id,
                chart.c.stage == Stage.CHART.value,
                chart.c.status == Status.SUCCEEDED.value,
            ),
        )
        .join(
            navigate,
            sa.and_(
                navigate.c.run_stream_id == run_stream.c.id,
                navigate.c.stage == Stage.NAVIGATE.value,
                navigate.c.status != Status.SUCCEEDED.value,
            ),
        )
        .where(
            run.c.connection == connection,
            run_stream.c.stream == key.name,
            run_stream.c.namespace == (key.namespace or ""),
        )
    )
    return {row.id: row.extracted_at for row in rows if row.extracted_at is not None}


def removed_rows(conn: sa.Connection, connection: str, key: StreamKey, run_ids: list[str]) -> bool:
    """Whether any of these runs took rows of the stream out of chart."""
    return bool(
        conn.execute(
            sa.select(sa.func.coalesce(sa.func.sum(run_stream.c.rows_deleted), 0)).where(
                run_stream.c.run_id.in_(run_ids),
                run_stream.c.stream == key.name,
                run_stream.c.namespace == (key.namespace or ""),
            )
        ).scalar_one()
    )
