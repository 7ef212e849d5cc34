"""The watchers of this process: one thread, one connection to the ledger, however many they are.

The thread asks the ledger once a second for what all watchers together want to know, and writes to
each what it has not got. Nobody's part is kept for him: a watcher who is slow gets, once his
socket has taken what was written before, whatever the ledger has for him then; one whose socket
takes nothing for half a minute is dropped. Streams end after some minutes, so that who watches
shows his key or session again.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from atlas.ledger import database, progress, run_log
from atlas.settings import Settings
from atlas.web.live import told
from atlas.web.live.watched import WatchedRun, lines

log = logging.getLogger(__name__)

MOST = 500
"""Watchers of one process; who comes beyond them gets a short answer and comes back."""

LINES = 200
"""Most lines of a log that are read for a watcher at once."""

OVERLAP = timedelta(seconds=60)
"""What ended so long before a watcher's place is told again: its commit may have come later."""

_INTERVAL = 1.0
_BEAT = 15.0
_STUCK = 30.0
_LIFE = 600.0
_STATEMENT_TIMEOUT = 5.0


@dataclass(eq=False, slots=True)
class Watcher:
    """One who watches.

    Attributes:
        run_id: the run that he watches; None: the status of all.
        place: where he stands, of a run.
        at: where he stands, of all.
        version: the progress that he has; None: none, or nobody knows.
        out: what his socket has not taken yet.
        written: when it last took something, in seconds of a steady clock.
        over: whether his stream ends with that.
    """

    socket: socket.socket
    run_id: str | None
    place: told.Place
    at: datetime | None
    out: bytes
    version: int | None = None
    since: float = field(default_factory=time.monotonic)
    written: float = field(default_factory=time.monotonic)
    over: bool = False


class Hub:
    """The watchers of a process. Its thread starts with the first of them."""

    def __init__(self, settings: Settings) -> None:
        self._engine = database.engine(
            replace(
                settings,
                statement_timeout=min(settings.statement_timeout, _STATEMENT_TIMEOUT),
                lock_timeout=min(settings.lock_timeout, _STATEMENT_TIMEOUT),
            ),
            pool=1,
            name="web events",
        )
        self._lock = threading.Lock()
        self._new: list[Watcher] = []
        self._watchers: set[Watcher] = set()
        self._runs: dict[str, WatchedRun] = {}
        self._active: dict[str, dict[str, object]] | None = None
        self._looked: datetime | None = None
        self._away = False
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._watchers) + len(self._new)

    def add(self, watcher: Watcher) -> None:
        """Take a watcher over, with his socket, to whom the head of the answer is still to be
        written."""
        watcher.socket.setblocking(False)
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="events", daemon=True)
                thread.start()  # it may not; then the next watcher tries again
                self._thread = thread
            self._new.append(watcher)
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            # Those who watch come back, to a new thread.
            log.exception("events: the thread of the watchers failed")
        for watcher in list(self._watchers):
            self._drop(watcher)
        with self._lock:
            new, self._new, self._thread = self._new, [], None
        for watcher in new:
            watcher.socket.close()

    def _serve(self) -> None:
        looked = beat = 0.0
        while True:
            busy = bool(self._watchers or self._new)
            wait = max(looked + _INTERVAL - time.monotonic(), 0.0) if busy else None
            for key, mask in self._selector.select(wait):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        self._woken.recv(4096)
                elif mask & selectors.EVENT_READ and not self._listens(key.data):
                    self._drop(key.data)
                elif mask & selectors.EVENT_WRITE:
                    self._flush(key.data)
            self._take_new()
            now = time.monotonic()
            if now < looked + _INTERVAL or not self._watchers:
                continue
            self._look()
            # A ledger that takes long to answer is asked less often.
            looked = time.monotonic() + min(4 * (time.monotonic() - now), 10.0)
            if now >= beat + _BEAT:
                beat = now
                self._each(lambda watcher: told.BEAT)
            self._part(now)

    def _take_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        self._watchers.update(new)
        for watcher in new:
            self._selector.register(watcher.socket, selectors.EVENT_READ, watcher)
            self._flush(watcher)

    def _listens(self, watcher: Watcher) -> bool:
        """Whether the other end is still there; what it may send is of no interest."""
        try:
            return bool(watcher.socket.recv(4096))
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False

    def _flush(self, watcher: Watcher) -> None:
        try:
            while watcher.out:
                sent = watcher.socket.send(watcher.out)
                watcher.out = watcher.out[sent:]
                watcher.written = time.monotonic()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(watcher)
            return
        if watcher.over and not watcher.out:
            self._drop(watcher)
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if watcher.out else 0)
        self._selector.modify(watcher.socket, mask, watcher)

    def _drop(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)
            with contextlib.suppress(KeyError):  # one that had only just come
                self._selector.unregister(watcher.socket)
            watcher.socket.close()

    def _each(self, tell: Callable[[Watcher], bytes]) -> None:
        """Write to every watcher whose socket has taken all that was written before."""
        for watcher in list(self._watchers):
            if watcher.out or watcher.over:
                continue
            watcher.out = tell(watcher)
            if watcher.out or watcher.over:
                watcher.written = time.monotonic()
                self._flush(watcher)

    def _part(self, now: float) -> None:
        """Part with those who take nothing, and with those who have been here for long."""
        for watcher in list(self._watchers):
            stuck = watcher.out and now - watcher.written > _STUCK
            if stuck or (not watcher.out and now - watcher.since > _LIFE):
                self._drop(watcher)

    def _look(self) -> None:
        try:
            with self._engine.connect() as conn:
                looking = conn.execution_options(isolation_level="AUTOCOMMIT")
                self._look_at_runs(looking)
                self._look_at_all(looking)
            self._away = False
        except Exception as error:  # noqa: BLE001 - whoever watches goes on watching
            if not self._away:
                log.warning("events: the ledger cannot be asked: %s", type(error).__name__)
            self._away = True

    def _look_at_runs(self, conn: sa.Connection) -> None:
        wanted = {each.run_id for each in self._watchers if each.run_id is not None}
        self._runs = {run_id: self._runs.get(run_id) or WatchedRun() for run_id in wanted}
        if not wanted:
            return
        found = progress.snapshots(conn, wanted)
        for run_id, snapshot in found.items():
            self._runs[run_id].see(snapshot)
        behind = [
            (each.run_id, each.place.line)
            for each in self._watchers
            if each.run_id is not None
            and each.run_id in found
            and not each.out
            and each.place.line < found[each.run_id].log_lines
        ]
        logs = run_log.since(conn, behind, LINES)

        def tell(watcher: Watcher) -> bytes:
            if watcher.run_id is None:
                return b""
            if watcher.run_id not in found:
                watcher.over = True  # it was deleted, with its connection's data
                return b""
            run = self._runs[watcher.run_id]
            event = run.progress(watcher.place, watcher.version)
            watcher.version = run.version
            place = told.Place(watcher.place.line, run.digest)
            more, watcher.place = lines(place, logs.get((watcher.run_id, place.line), []))
            if run.ended > 1 and watcher.place.line >= run.lines:
                watcher.over = True
                more += run.end(watcher.place)
            return event + more

        self._each(tell)

    def _look_at_all(self, conn: sa.Connection) -> None:
        """Tell which runs have another status, and who has just come all that are active."""
        watching = [each for each in self._watchers if each.run_id is None]
        if not watching:
            self._active = None
            return
        now = progress.now(conn)
        active = progress.active(conn)
        before = self._active
        if before is None:
            changes = {}
        else:
            gone = progress.briefs(conn, before.keys() - active.keys())
            changes = gone | {
                run_id: brief for run_id, brief in active.items() if before.get(run_id) != brief
            }
        last = self._looked if before is not None else None
        self._active, self._looked = active, now
        missed = [each.at for each in watching if each.at not in (None, last) and not each.out]
        ended = progress.ended_since(conn, min(filter(None, missed)) - OVERLAP) if missed else {}

        def tell(watcher: Watcher) -> bytes:
            if watcher.run_id is not None:
                return b""
            known = watcher.at is not None and watcher.at == last
            events = all_runs(now, changes if known else ended | active)
            watcher.at = now
            return events

        self._each(tell)


def all_runs(at: datetime, briefs: dict[str, dict[str, object]]) -> bytes:
    """Events for runs in brief, the oldest first."""
    identity = told.moment_id(at)
    ordered = sorted(briefs.values(), key=lambda each: str(each["created_at"]))
    return b"".join(told.event("run", identity, each) for each in ordered)
