"""Retention: of all that grows by itself, what is older than the settings say goes, in short steps.

Each step is a transaction of its own: whoever dies between two of them has done what he said he
did, and two who do it at once do it no further.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from atlas.errors import ActiveRun, AtlasError
from atlas.layers import database, expiry, names
from atlas.ledger import audit, backlog, datasets, erasures, retention
from atlas.ledger.database import classified, cursor
from atlas.settings import Settings
from atlas.sync import quarantine

log = logging.getLogger(__name__)

STEP = 10_000
"""Most rows that one transaction deletes."""

_PATIENCE = 600.0
"""Seconds of one round; what is left then is the next one's."""


class Kept(NamedTuple):
    """What a round has deleted, in rows.

    Attributes:
        left: what could not be seen to, and why; it is another time.
    """

    explore: int
    quarantine: int
    run_log: int
    lineage_events: int
    left: list[str]


def maintain(engine: sa.Engine, settings: Settings, *, patience: float = _PATIENCE) -> Kept:
    """Delete what is older than the settings say, oldest first.

    Args:
        patience: seconds after which no further step begins.

    Raises:
        TransientError: PostgreSQL does not answer.
    """
    round_ = _Round(engine, time.monotonic() + patience)
    # What is set aside first, while its raw rows are there.
    aside = round_.datasets("quarantine", settings.quarantine_days, _expire)
    raw = round_.datasets("explore", settings.explore_days, _forget)
    lines = round_.steps("run_log", settings.run_log_days, retention.forget_logs)
    events = round_.steps("lineage_events", settings.lineage_days, retention.forget_events)
    return Kept(raw, aside, lines, events, round_.left)


class _Round:
    """Steps until nothing is left to do, or the time is over."""

    def __init__(self, engine: sa.Engine, until: float) -> None:
        self._engine = engine
        self._until = until
        self.left: list[str] = []

    def datasets(self, what: str, days: int | None, step: Callable[..., int]) -> int:
        """Do ``step`` for each dataset; one that cannot be seen to keeps no other from being."""
        if days is None:
            return 0
        with classified(self._engine.url.render_as_string()), self._engine.begin() as conn:
            found = datasets.all_names(conn)
        return sum(
            self._repeat(f"{what} of {name}", functools.partial(step, name=name, days=days))
            for name in found
        )

    def steps(self, what: str, days: int | None, step: Callable[..., int]) -> int:
        """Do ``step`` of the ledger."""
        if days is None:
            return 0
        return self._repeat(what, functools.partial(step, days=days, most=STEP))

    def _repeat(self, what: str, step: Callable[[sa.Connection], int]) -> int:
        """How many rows went; what keeps others from going is told."""
        done = 0
        try:
            while time.monotonic() < self._until:
                with classified(self._engine.url.render_as_string()), self._engine.begin() as conn:
                    conn.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
                    found = step(conn)
                done += found
                if found < STEP:
                    break
        except ActiveRun as error:
            self._leave(f"{what}: nothing goes before run {error.run_id} ends")
        except AtlasError as error:
            self._leave(f"{what}: {error}")
        return done

    def _leave(self, why: str) -> None:
        log.warning("%s", why)
        self.left.append(why)


def _expire(conn: sa.Connection, name: str, days: int) -> int:
    return quarantine.expire(conn, name, days, most=STEP)


class _ErasureFirst(AtlasError):
    """Raw rows are needed by an erasure that was begun."""


def _forget(conn: sa.Connection, name: str, days: int) -> int:
    """Delete raw rows up to the first one that is still needed: since it has not come to chart, and
    the next run alone has it, or since its row is in quarantine and may be put right; what came
    after it may say that the row is gone, or what it is."""
    connection, key = datasets.find(conn, name)
    cur = cursor(conn)
    tables = names.stored(cur, connection, key)
    if tables is None or not database.exists(cur, "explore", tables.raw):
        return 0
    quarantine.see_idle(conn, connection, before="raw rows are deleted")
    if erasures.waits_for(conn, connection, key):
        raise _ErasureFirst("a person's data are to be erased first, who are found by raw rows")
    bounds = (
        backlog.first_left(conn, connection, key),
        expiry.first_aside(cur, tables),
    )
    before = min((each for each in bounds if each is not None), default=None)
    gone = expiry.forget(cur, tables, days, before=before, most=STEP)
    if gone.rows:
        retention.forget_segments(conn, key, gone.run_ids, gone.last)
        detail = {"rows": gone.rows, "days": days}
        audit.put(conn, "atlas", "explore.expire", name, detail)
    return gone.rows
