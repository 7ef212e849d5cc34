"""The periodic work, and that it is done once in its time whoever is there to do it.

Beat sends a message for each tick. A thread in every process of the control workers looks too, and
does what nobody has done for twice its time: so recovery needs neither beat nor the broker. Who
does a tick takes it from the ledger first, so that two beats do it no oftener than one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from atlas.errors import AtlasError
from atlas.ledger.database import classified, classify
from atlas.ledger.tables import tick
from atlas.settings import Settings
from atlas.sync.delivery import deliver_events
from atlas.sync.dispatch import deliver
from atlas.sync.recovery import recover
from atlas.sync.request import fire
from atlas.sync.subjects import resume

log = logging.getLogger(__name__)

_WORK: dict[str, Callable[[sa.Engine, Settings], object]] = {
    "relay": lambda engine, settings: deliver(engine),
    "recover": recover,
    "fire": lambda engine, settings: fire(engine),
    "deliver": deliver_events,
    "erase": resume,
}

_RARE = frozenset({"recover", "erase"})


def interval(settings: Settings, name: str) -> float:
    """Seconds between two ticks of a kind."""
    return settings.recovery_interval if name in _RARE else settings.relay_interval


def do(engine: sa.Engine, settings: Settings, name: str, *, after: float = 0.5) -> bool:
    """Do a tick's work, unless somebody did so less than ``after`` intervals ago.

    Raises:
        TransientError: PostgreSQL or Redis does not answer; the next tick tries again.
    """
    with classified(engine.url.render_as_string()):
        if not _take(engine, name, after * interval(settings, name)):
            return False
        _WORK[name](engine, settings)
        return True


def _take(engine: sa.Engine, name: str, age: float) -> bool:
    now = sa.func.clock_timestamp()
    limit = now - sa.func.make_interval(0, 0, 0, 0, 0, 0, age)
    # Looked at first: an upsert that changes nothing locks its row all the same, and writes that.
    with engine.connect() as conn:
        looking = conn.execution_options(isolation_level="AUTOCOMMIT")
        if looking.scalar(sa.select(tick.c.at >= limit).where(tick.c.name == name)):
            return False
    statement = insert(tick).values(name=name, at=now)
    with engine.begin() as conn:
        return bool(
            conn.execute(
                statement.on_conflict_do_update(
                    index_elements=[tick.c.name], set_={"at": now}, where=tick.c.at < limit
                ).returning(tick.c.name)
            ).scalar()
        )


def start_keepers(engine: sa.Engine, settings: Settings) -> None:
    """Threads that do every tick that nobody does, as long as this process lives.

    A lineage endpoint may be slow, so what waits for it has a thread of its own; so has what goes
    on with erasures, each of which reads all that a stream has.
    """
    for names in (("relay", "recover", "fire"), ("deliver",), ("erase",)):
        threading.Thread(
            target=_keep, args=(engine, settings, names), name="keeper", daemon=True
        ).start()


def _keep(engine: sa.Engine, settings: Settings, names: tuple[str, ...]) -> None:
    away: set[str] = set()
    while True:
        time.sleep(min(interval(settings, name) for name in names))
        for name in names:
            try:
                do(engine, settings, name, after=2.0)
                away.discard(name)
            except Exception as error:  # noqa: BLE001 - a keeper that ends keeps nothing
                known = isinstance(error, AtlasError)
                if isinstance(error, SQLAlchemyError | psycopg2.Error):
                    error, known = classify(error), True
                if name not in away:
                    log.warning("%s: %s", name, error if known else type(error).__name__)
                away.add(name)
