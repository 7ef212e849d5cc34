"""Bringing lineage events from the ledger to where they are wanted. Never fails a sync."""

from __future__ import annotations

import contextlib
import logging
import time

import sqlalchemy as sa

from atlas import traces
from atlas.errors import AtlasError, TransientError, UsageError
from atlas.ledger import deliveries
from atlas.lineage.deliver import Delivery
from atlas.lineage.sinks import Sink, sinks
from atlas.settings import Settings
from atlas.traces import Kind

log = logging.getLogger(__name__)

_ROUND = 5.0
"""Seconds after which a sink's turn ends: others wait for the same process."""


def deliver_events(engine: sa.Engine, settings: Settings) -> int:
    """Deliver to each sink what is due, oldest first; returns how many deliveries that were.

    One that cannot be reached gets everything later and holds up no other. A process that dies in
    here delivers some events twice.

    Raises:
        UsageError: what says where events go is wrong; none is lost.
    """
    wanted = sinks(settings)
    with engine.begin() as conn:
        deliveries.use(conn, {sink.name: sink.target for sink in wanted})
    count = 0
    for sink in wanted:
        try:
            count += _deliver(engine, sink)
        except AtlasError as error:
            log.warning("lineage: %s", error)
    return count


def _deliver(engine: sa.Engine, sink: Sink) -> int:
    count = 0
    refused: set[str] = set()
    until = time.monotonic() + _ROUND
    with engine.begin() as conn:
        events = deliveries.waiting(conn, sink.name) if deliveries.take(conn, sink.name) else []
        if not events:
            return 0
        try:
            way = Delivery(sink)
        except UsageError as error:  # of what is set for it: nothing of it gets anywhere
            log.warning("lineage: %s", error)
            deliveries.away(conn, sink.name, str(error))
            return 0
        with contextlib.closing(way) as delivery:
            for event in events:
                if event.run_id in refused:
                    continue
                try:
                    about = {"atlas.sink": sink.name}
                    with traces.span(
                        "deliver lineage", about, Kind.CLIENT, run_id=str(event.run_id)
                    ):
                        delivery.deliver(event.event)
                except TransientError as error:
                    log.warning("lineage: %s", error)
                    deliveries.away(conn, sink.name, str(error))
                    break
                except AtlasError as error:
                    log.warning("lineage: %s", error)
                    deliveries.refused(conn, sink.name, event, str(error))
                    if event.failed_attempts + 1 < deliveries.HELD:
                        refused.add(event.run_id)
                    continue
                deliveries.delivered(conn, sink.name, event.id)
                count += 1
                if time.monotonic() > until:
                    break
    return count
