"""The periodic work, and that it is done once in its time whoever is there to do it.

Beat sends messages for the ticks. A thread in every process of the control workers looks too, and
does what nobody has done for twice its time: so recovery needs neither beat nor the broker. Who
does a tick takes it from the ledger first, so that two beats do it no oftener than one.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from atlas.errors import AtlasError
from atlas.ledger import measures
from atlas.ledger.database import classified, classify
from atlas.ledger.tables import tick
from atlas.ledger.ticks import interval
from atlas.settings import Settings
from atlas.sync.delivery import deliver_events
from atlas.sync.dispatch import deliver
from atlas.sync.maintenance import maintain
from atlas.sync.recovery import recover
from atlas.sync.request import fire
from atlas.sync.subjects import resume
from atlas.sync.webhooks import deliver_webhooks

log = logging.getLogger(__name__)

_WORK: dict[str, Callable[[sa.Engine, Settings], object]] = {
    "relay": lambda engine, settings: deliver(engine),
    "recover": recover,
    "fire": lambda engine, settings: fire(engine),
    "deliver": deliver_events,
    "notify": deliver_webhooks,
    "erase": resume,
    "expire": maintain,
    "measure": lambda engine, settings: measures.sum_up(engine),
}

# A lineage endpoint or a webhook may be slow, so what waits for it holds up nothing else; nor does
# what goes on with erasures, each of which reads all that a stream has.
_QUICK = ("relay", "recover", "fire", "measure")
_LANES = (_QUICK, ("deliver",), ("notify",), ("erase",), ("expire",))


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


def do_due(engine: sa.Engine, settings: Settings) -> None:
    """Do those of the quick ticks whose time has come; one that fails holds up no other.

    Raises:
        TransientError: PostgreSQL does not answer.
    """
    due = _older(engine, settings, 0.75)
    for name in _QUICK:
        if name in due:
            try:
                do(engine, settings, name, after=0.75)
            except AtlasError as error:
                log.warning("%s: %s", name, error)


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
    """A thread that sees to every tick that nobody does, as long as this process lives."""
    threading.Thread(target=_keep, args=(engine, settings), name="keeper", daemon=True).start()


def _keep(engine: sa.Engine, settings: Settings) -> None:
    lanes = [_Lane(engine, settings, names) for names in _LANES]
    away = False
    while True:
        time.sleep(min(settings.relay_interval, settings.recovery_interval))
        try:
            found = _older(engine, settings, 2.0)
        except Exception as error:  # noqa: BLE001 - a keeper that ends keeps nothing
            if not away:
                log.warning("ticks: %s", _told(error))
            away = True
            continue
        away = False
        for lane in lanes:
            lane.do(found)


def _older(engine: sa.Engine, settings: Settings, after: float) -> set[str]:
    """Ticks that nobody has done for ``after`` of their intervals, all asked for at once."""
    age = sa.extract("epoch", sa.func.clock_timestamp() - tick.c.at)
    with classified(engine.url.render_as_string()), engine.connect() as conn:
        looking = conn.execution_options(isolation_level="AUTOCOMMIT")
        ages = dict(looking.execute(sa.select(tick.c.name, age)).tuples().all())
    return {n for n in _WORK if ages.get(n, math.inf) > after * interval(settings, n)}


class _Lane:
    """Ticks that wait for each other, in a thread that is there only while one is done."""

    def __init__(self, engine: sa.Engine, settings: Settings, names: tuple[str, ...]) -> None:
        self._engine = engine
        self._settings = settings
        self._names = names
        self._thread: threading.Thread | None = None
        self._away: set[str] = set()

    def do(self, neglected: set[str]) -> None:
        """Begin with those of them that are this lane's, unless it is still at work."""
        due = [name for name in self._names if name in neglected]
        if due and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(
                target=self._work, args=(due,), name=f"keeper-{due[0]}", daemon=True
            )
            self._thread.start()

    def _work(self, due: list[str]) -> None:
        for name in due:
            try:
                do(self._engine, self._settings, name, after=2.0)
                self._away.discard(name)
            except Exception as error:  # noqa: BLE001 - its next time comes
                if name not in self._away:
                    log.warning("%s: %s", name, _told(error))
                self._away.add(name)


def _told(error: Exception) -> object:
    if isinstance(error, SQLAlchemyError | psycopg2.Error):
        error = classify(error)
    return error if isinstance(error, AtlasError) else type(error).__name__
