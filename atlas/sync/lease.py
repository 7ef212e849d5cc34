"""Keeping a claim alive while its work goes on, and noticing when it is lost or to be given up.

A thread of the working process does it, so that it dies, and freezes, with the process.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator

import psycopg2
from sqlalchemy.exc import SQLAlchemyError

from atlas import traces
from atlas.errors import LostClaim
from atlas.ledger.database import classify
from atlas.stages.work import Held

log = logging.getLogger(__name__)

_LOOK = 1.0
_SPARE = 3.0


@contextlib.contextmanager
def kept(
    work: Held,
    name: str,
    *,
    renew: Callable[[], bool],
    held: Callable[[], bool],
    hand_back: Callable[[], None],
    stopping: Callable[[], bool],
    halts: bool = False,
) -> Iterator[None]:
    """Renew the claim until the block ends.

    When it is lost (taken over, or the run was cancelled) the work is told to end. When the worker
    is to stop, work that ``halts`` is broken off at once and its holder hands it back; other work
    gets the time that there is, less what handing it back takes.

    Args:
        name: of the work, for the log.
        renew, held: whether the claim holds; the former also prolongs it.
        hand_back: gives the claim up for another worker to take.
        stopping: whether this worker is to stop.
    """
    ended = threading.Event()
    settings = work.settings
    look = min(_LOOK, settings.lease_seconds / 3)

    def watch() -> None:
        renew_at = time.monotonic() + settings.lease_seconds / 3
        give_up_at: float | None = None
        away = False
        while not ended.wait(look):
            now = time.monotonic()
            if give_up_at is None and stopping():
                give_up_at = now + max(
                    settings.shutdown_seconds - _SPARE, settings.shutdown_seconds / 2
                )
                if halts:
                    work.halt()
            try:
                if give_up_at is not None and now >= give_up_at:
                    hand_back()
                    log.warning("%s was handed back: its worker is to stop", name)
                    work.lose()
                    return
                if now < renew_at:
                    ok = held()
                else:
                    ok = renew()
                    renew_at = now + settings.lease_seconds / 3
            except LostClaim:
                ok = False
            except (SQLAlchemyError, psycopg2.Error) as error:
                # Not lost yet: the fence decides at the next commit.
                if not away:
                    log.warning("lease of %s: %s", name, classify(error))
                away = True
                continue
            away = False
            if not ok and not ended.is_set():
                log.warning("%s is no longer this worker's", name)
                work.lose()
                return

    def unseen() -> None:
        with traces.unseen():
            watch()

    told = contextvars.copy_context()  # its lines are about the same
    thread = threading.Thread(target=told.run, args=(unseen,), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)
