"""Lineage: the stream's way is told to its end, and its staging table goes."""

from __future__ import annotations

from atlas.layers import staging
from atlas.ledger.database import cursor
from atlas.stages.work import Work


def run(work: Work) -> None:
    """End the stream; if it was the last, the run, whose own event goes with it.

    The events of the stages were written with their work; here is the last of them. Delivery is
    the outbox's: an endpoint that is away holds up no sync.
    """
    stream = work.stream()
    with work.transaction() as conn:
        staging.drop(cursor(conn), stream.id)
        work.finish(conn, rows=stream.rows)
