"""Since when a connection fails: from the first end that failed, or was blocked, to a success.

What a run that reads no source comes to, and one that somebody cancelled, says nothing of it. It
is written by the ends of runs alone, of which a connection has one at a time.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from atlas.ledger.runs import REMASK, REPROCESS
from atlas.ledger.tables import outage
from atlas.model.stage import Status


class Outage(NamedTuple):
    """A connection fails, or did until now.

    Attributes:
        run_id: the run that failed first.
        over: whether this end is what ended it.
    """

    since: datetime
    run_id: str
    over: bool


def ended(
    conn: sa.Connection, connection_id: int | None, run_id: str, trigger: str, status: Status
) -> Outage | None:
    """A run ended like this; returns the outage that this begins, goes on with or ends."""
    if connection_id is None or trigger in (REMASK, REPROCESS):
        return None
    mine = outage.c.connection_id == connection_id
    if status is Status.SUCCEEDED:
        gone = outage.delete().where(mine).returning(outage.c.since, outage.c.run_id)
        row = conn.execute(gone).one_or_none()
        return None if row is None else Outage(row.since, row.run_id, over=True)
    if status not in (Status.FAILED, Status.BLOCKED):
        return None
    begun = insert(outage).values(connection_id=connection_id, run_id=run_id)
    conn.execute(begun.on_conflict_do_nothing())
    row = conn.execute(sa.select(outage).where(mine)).one()
    return Outage(row.since, row.run_id, over=False)


def forget(conn: sa.Connection, connection_id: int) -> None:
    """The connection is deleted."""
    conn.execute(outage.delete().where(outage.c.connection_id == connection_id))
