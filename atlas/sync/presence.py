"""That workers live: each writes now and then into the ledger that it does.

The processes of its pool do, not their parent: it is they who work, and a parent that opened
connections would hand them down to each child it forks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from atlas.ledger.tables import worker

log = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two signs of life of a process."""

_FORGOTTEN = 24 * 3600.0
"""Seconds after which a worker that gave no sign is forgotten."""


def beat(engine: sa.Engine, name: str, queues: Iterable[str]) -> bool:
    """Write that worker ``name`` lives; False: another of its processes has just done so."""
    now = sa.func.clock_timestamp()
    lately = now - _seconds(INTERVAL / 2)
    # Looked at first: an upsert that changes nothing locks its row all the same, and writes that.
    with engine.connect() as conn:
        looking = conn.execution_options(isolation_level="AUTOCOMMIT")
        if looking.scalar(sa.select(worker.c.beat_at >= lately).where(worker.c.name == name)):
            return False
    values = {"queues": sorted(queues), "beat_at": now}
    with engine.begin() as conn:
        conn.execute(
            insert(worker)
            .values(name=name, **values)
            .on_conflict_do_update(index_elements=[worker.c.name], set_=values)
        )
        conn.execute(worker.delete().where(worker.c.beat_at < now - _seconds(_FORGOTTEN)))
    return True


def _seconds(count: float) -> sa.Function[object]:
    return sa.func.make_interval(0, 0, 0, 0, 0, 0, count)


def start(engine: sa.Engine, name: str, queues: Iterable[str]) -> None:
    """A thread that says that the worker lives, as long as this process does."""
    threading.Thread(
        target=_keep, args=(engine, name, sorted(queues)), name="presence", daemon=True
    ).start()


def _keep(engine: sa.Engine, name: str, queues: list[str]) -> None:
    away = False
    while True:
        try:
            beat(engine, name, queues)
            away = False
        except (SQLAlchemyError, psycopg2.Error) as error:
            if not away:
                log.warning("this worker's sign of life: %s", type(error).__name__)
            away = True
        time.sleep(INTERVAL)
