"""Erasures of a person's data: what was asked for, what of it is left to do.

What is sought is kept encrypted until the erasure ends, so that whoever finds it unfinished can go
on with it; then it is wiped. What stays are keyed hashes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.ledger.runs import RunStream, restore
from atlas.ledger.secrets import encrypt, hold, reader
from atlas.ledger.tables import (
    erasure,
    erasure_stream,
    run,
    run_stream,
    scan_part,
    stream_table,
)
from atlas.model.stream import StreamKey


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that has not ended.

    Attributes:
        request: what is sought.
    """

    id: int
    actor: str
    subjects: tuple[str, ...]
    request: dict[str, Any] = field(repr=False)


def streams(conn: sa.Connection, connection: str | None) -> list[tuple[str, StreamKey]]:
    """Connection and key of every stream that has tables, or those of one connection."""
    query = sa.select(stream_table).order_by(
        stream_table.c.connection, stream_table.c.namespace, stream_table.c.stream
    )
    if connection is not None:
        query = query.where(stream_table.c.connection == connection)
    return [
        (row.connection, StreamKey(row.stream, row.namespace or None))
        for row in conn.execute(query)
    ]


def latest(conn: sa.Connection, connection: str, key: StreamKey) -> RunStream | None:
    """The stream as the latest run had it; None: no run is known."""
    row = conn.execute(
        sa.select(run_stream)
        .join(run, run.c.id == run_stream.c.run_id)
        .where(run.c.connection == connection, *_named(key))
        .order_by(run_stream.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else restore(row)


def run_streams(conn: sa.Connection, connection: str, key: StreamKey) -> list[int]:
    """Ids of the stream in all runs."""
    return list(
        conn.execute(
            sa.select(run_stream.c.id)
            .join(run, run.c.id == run_stream.c.run_id)
            .where(run.c.connection == connection, *_named(key))
        ).scalars()
    )


def _named(key: StreamKey) -> list[sa.ColumnElement[bool]]:
    return [run_stream.c.namespace == (key.namespace or ""), run_stream.c.stream == key.name]


_DISCOUNT = sa.text(
    """
    -- Segments say how many rows there are in a range: so many less. What had come to chart is told
    -- as it was; elsewhere the rows are still to be accounted for, and these are by being erased.
    WITH own AS (
            SELECT s.id, s.run_stream_id, count(*) AS gone
              FROM unnest(CAST(:ids AS bigint[]), CAST(:runs AS uuid[])) AS g(id, run_id)
              JOIN pipeline.run_stream AS r
                ON r.run_id = g.run_id AND r.namespace = :namespace AND r.stream = :stream
              JOIN pipeline.segment AS s
                ON s.run_stream_id = r.id AND g.id BETWEEN s.first_id AND s.last_id
             GROUP BY s.id, s.run_stream_id),
         less AS (
            UPDATE pipeline.segment AS s SET rows = s.rows - own.gone
              FROM own WHERE own.id = s.id)
    UPDATE pipeline.run_stream AS r SET rows_erased = r.rows_erased + own.gone
      FROM (SELECT run_stream_id, sum(gone) AS gone FROM own GROUP BY run_stream_id) AS own
     WHERE own.run_stream_id = r.id
       AND NOT EXISTS (SELECT FROM pipeline.stage_run AS c WHERE c.run_stream_id = r.id
                          AND c.stage = 'chart' AND c.status = 'succeeded')
    """
)


def discount(conn: sa.Connection, key: StreamKey, gone: list[tuple[int, str]]) -> None:
    """Raw rows of a stream were deleted: id, and the run that had read it."""
    if gone:
        conn.execute(
            _DISCOUNT,
            {
                "ids": [number for number, _ in gone],
                "runs": [run_id for _, run_id in gone],
                "namespace": key.namespace or "",
                "stream": key.name,
            },
        )


def discount_carried(conn: sa.Connection, run_stream_id: int, rows: int) -> None:
    """Rows that a stream of a run carries along were deleted."""
    if rows:
        conn.execute(
            run_stream.update()
            .where(run_stream.c.id == run_stream_id)
            .values(rows_carried=run_stream.c.rows_carried - rows)
        )


def forget_parts(conn: sa.Connection, run_stream_ids: list[int]) -> None:
    """Have streams of ended runs cut anew, should anybody take them up: their rows are fewer."""
    conn.execute(scan_part.delete().where(scan_part.c.run_stream_id.in_(run_stream_ids)))


def begin(
    conn: sa.Connection,
    secret: bytes,
    *,
    actor: str,
    subjects: tuple[str, ...],
    request: dict[str, Any],
    within: list[tuple[str, StreamKey]],
) -> int:
    """Write down an erasure with the streams it has to do with; returns its id. One that was asked
    for in the same words and has not ended is gone on with."""
    hold(conn)
    same = [each for each in unfinished(conn, secret) if each.request == request]
    number = _keep_open(conn, same[0].id) if same else None
    if number is None:
        number = conn.execute(
            erasure.insert()
            .values(actor=actor, subjects=list(subjects), request=encrypt(conn, secret, request))
            .returning(erasure.c.id)
        ).scalar_one()
    for connection, key in within:
        conn.execute(
            insert(erasure_stream)
            .values(
                erasure_id=number,
                connection=connection,
                namespace=key.namespace or "",
                stream=key.name,
            )
            .on_conflict_do_update(
                index_elements=["erasure_id", "connection", "namespace", "stream"],
                set_={"done_at": None, "rows": sa.null()},
            )
        )
    return int(number)


def _keep_open(conn: sa.Connection, erasure_id: int) -> int | None:
    """Lock an erasure, so that nobody ends it until the transaction does; None: it has ended."""
    return conn.execute(
        sa.select(erasure.c.id)
        .where(erasure.c.id == erasure_id, erasure.c.finished_at.is_(None))
        .with_for_update(key_share=True)
    ).scalar()


def any_left(conn: sa.Connection, older: float) -> bool:
    """Whether an erasure that was begun more than so many seconds ago has not ended."""
    return bool(conn.execute(sa.select(sa.exists().where(*_open(older)))).scalar())


def _open(older: float | None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [erasure.c.finished_at.is_(None)]
    if older is not None:
        before = sa.func.clock_timestamp() - timedelta(seconds=older)
        conditions.append(erasure.c.at < before)
    return conditions


def unfinished(conn: sa.Connection, secret: bytes, *, older: float | None = None) -> list[Erasure]:
    """Erasures that have not ended, oldest first; ``older``: than so many seconds."""
    decrypt = reader(conn, secret)
    query = sa.select(erasure).where(*_open(older)).order_by(erasure.c.id)
    return [
        Erasure(row.id, row.actor, tuple(row.subjects), decrypt(bytes(row.request)))
        for row in conn.execute(query)
    ]


def left(conn: sa.Connection, erasure_id: int) -> list[tuple[str, StreamKey]]:
    """Connection and key of the streams that are still to be done."""
    rows = conn.execute(
        sa.select(erasure_stream)
        .where(erasure_stream.c.erasure_id == erasure_id, erasure_stream.c.done_at.is_(None))
        .order_by(erasure_stream.c.id)
    )
    return [(row.connection, StreamKey(row.stream, row.namespace or None)) for row in rows]


def waits_for(conn: sa.Connection, connection: str, key: StreamKey) -> bool:
    """Whether an erasure that was begun has this stream still to do."""
    waiting = sa.exists().where(
        erasure.c.finished_at.is_(None),
        erasure_stream.c.erasure_id == erasure.c.id,
        erasure_stream.c.done_at.is_(None),
        *_in(connection, key),
    )
    return bool(conn.execute(sa.select(waiting)).scalar())


def take(conn: sa.Connection, erasure_id: int, connection: str, key: StreamKey) -> bool:
    """Lock a stream of an erasure until the transaction ends; False: it is done, or somebody else
    does it now."""
    return bool(
        conn.execute(
            sa.select(erasure_stream.c.id)
            .where(*_of(erasure_id, connection, key), erasure_stream.c.done_at.is_(None))
            .with_for_update(skip_locked=True)
        ).scalar()
    )


def done(
    conn: sa.Connection,
    erasure_id: int,
    connection: str,
    key: StreamKey,
    rows: dict[str, int],
) -> None:
    """A stream of an erasure is done."""
    conn.execute(
        erasure_stream.update()
        .where(*_of(erasure_id, connection, key))
        .values(rows=rows, done_at=sa.func.clock_timestamp())
    )


def _of(erasure_id: int, connection: str, key: StreamKey) -> list[sa.ColumnElement[bool]]:
    return [erasure_stream.c.erasure_id == erasure_id, *_in(connection, key)]


def _in(connection: str, key: StreamKey) -> list[sa.ColumnElement[bool]]:
    return [
        erasure_stream.c.connection == connection,
        erasure_stream.c.namespace == (key.namespace or ""),
        erasure_stream.c.stream == key.name,
    ]


def finish(conn: sa.Connection, erasure_id: int) -> bool:
    """End an erasure of which nothing is left to do, and forget what was sought; whether it ended
    now."""
    # First, and in a statement of its own: who adds streams to it at this moment has it locked.
    if _keep_open(conn, erasure_id) is None:
        return False
    open_ = sa.exists().where(
        erasure_stream.c.erasure_id == erasure_id, erasure_stream.c.done_at.is_(None)
    )
    return bool(
        conn.execute(
            erasure.update()
            .where(erasure.c.id == erasure_id, ~open_)
            .values(finished_at=sa.func.clock_timestamp(), request=None)
        ).rowcount
    )


def found(conn: sa.Connection, erasure_id: int) -> dict[str, Any] | None:
    """The erasure of this number as :func:`document` has it; None: there is none."""
    known = (
        0 < erasure_id < 2**63
        and conn.execute(sa.select(erasure.c.id).where(erasure.c.id == erasure_id)).scalar()
    )
    return document(conn, erasure_id) if known else None


def document(conn: sa.Connection, erasure_id: int) -> dict[str, Any]:
    """An erasure with its streams, as its user reads it."""
    row = conn.execute(sa.select(erasure).where(erasure.c.id == erasure_id)).one()
    parts = conn.execute(
        sa.select(erasure_stream)
        .where(erasure_stream.c.erasure_id == erasure_id)
        .order_by(erasure_stream.c.id)
    )
    return {
        "id": row.id,
        "actor": row.actor,
        "at": row.at,
        "finished_at": row.finished_at,
        "subjects": list(row.subjects),
        "streams": [
            {
                "connection": part.connection,
                "stream": part.stream,
                "namespace": part.namespace or None,
                "rows": part.rows,
                "done_at": part.done_at,
            }
            for part in parts
        ],
    }
