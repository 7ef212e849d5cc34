"""Bringing lineage events from the ledger to where they are wanted. Never fails a sync."""

from __future__ import annotations

import contextlib
import logging
import time

import sqlalchemy as sa

from atlas.errors import AtlasError, TransientError
from atlas.ledger import results
from atlas.lineage.deliver import Delivery
from atlas.settings import Settings

log = logging.getLogger(__name__)

_ROUND = 5.0
"""Seconds after which a round ends: other periodic work waits for the same processes."""


def deliver_events(engine: sa.Engine, settings: Settings) -> int:
    """Deliver what is due, oldest first; returns how many events were taken.

    An event that could not be delivered is kept and tried again later, with growing delays. When
    the endpoint does not answer, or is slow, the rest waits for the next round; when it refuses one
    event, the others go on. A process that dies in here delivers some of them twice.
    """
    count = 0
    until = time.monotonic() + _ROUND
    with engine.begin() as conn:
        events = results.undelivered(conn)
        if not events:
            return 0
        with contextlib.closing(Delivery(settings)) as delivery:
            for event in events:
                try:
                    delivery.deliver(event.event)
                except AtlasError as error:
                    log.warning("lineage: %s", error)
                    delay = min(5.0 * 2 ** min(event.attempts, 10), 3600.0)
                    results.not_delivered(conn, event.id, str(error), delay)
                    if isinstance(error, TransientError):
                        break
                    continue
                results.delivered(conn, event.id)
                count += 1
                if time.monotonic() > until:
                    break
    return count
