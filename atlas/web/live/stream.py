"""How a request becomes a watcher: its socket is handed to the hub, its thread is free again.

gunicorn gives an application the socket of the request it answers (``gunicorn.socket``). Another
one takes its place, whose other end is closed, so that what gunicorn does to end the request does
nothing to the stream. Where there is no such socket (another server, TLS in the process), or the
process has as many watchers as it takes, the answer says what there is to say now and ends, and the
client's EventSource comes back for more.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from flask import Response

from atlas.ledger import progress, run_log
from atlas.settings import Settings
from atlas.web.database import engine, settings
from atlas.web.live import told
from atlas.web.live.hub import LINES, MOST, OVERLAP, Hub, Watcher, all_runs
from atlas.web.live.watched import WatchedRun, lines

MEDIA_TYPE = "text/event-stream"

_making = threading.Lock()


@functools.cache
def _hub(pid: int, of: Settings) -> Hub:
    return Hub(of)


def hub() -> Hub:
    """The watchers of this process."""
    with _making:
        return _hub(os.getpid(), settings())


class EventStream(Response):
    """The answer to somebody who watches run ``run_id``, or all of them, from a place on."""

    def __init__(
        self, run_id: str | None, place: told.Place | None, at: datetime | None = None
    ) -> None:
        super().__init__(status=200, content_type=MEDIA_TYPE)
        # No proxy is to gather what is told.
        self.headers["X-Accel-Buffering"] = "no"
        self._run_id = run_id
        self._place = place or told.Place(0)
        self._at = at

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Hand the socket over, or give the short answer."""
        if environ["REQUEST_METHOD"] == "GET":
            taken = environ.get("gunicorn.socket")
            watchers = hub()
            # Exactly: one that encrypts is another kind, with a state that cannot be handed over.
            if type(taken) is socket.socket and len(watchers) < MOST:
                watchers.add(self._watcher(_take(taken)))
                self.close()  # what waits for the answer to be on its way
                raise StopIteration  # what ends a request in gunicorn without an answer of its own
            self.set_data(told.LATER + self._now())
        return super().__call__(environ, start_response)

    def _watcher(self, taken: socket.socket) -> Watcher:
        headers = "".join(
            f"{name}: {value}\r\n"
            for name, value in self.headers.items()
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}
        )
        head = f"HTTP/1.1 200 OK\r\n{headers}Connection: close\r\n\r\n".encode("latin-1")
        return Watcher(taken, self._run_id, self._place, self._at, head + told.RETRY)

    def _now(self) -> bytes:
        """What there is to tell now, at once."""
        with engine().connect() as conn:
            if self._run_id is None:
                now = progress.now(conn)
                ended = progress.ended_since(conn, self._at - OVERLAP) if self._at else {}
                return all_runs(now, ended | progress.active(conn)) or told.BEAT
            found = progress.snapshots(conn, [self._run_id]).get(self._run_id)
            if found is None:
                return told.BEAT
            behind = (self._run_id, self._place.line)
            logs = run_log.since(conn, [behind], LINES).get(behind, [])
        run = WatchedRun()
        run.see(found)
        event = run.progress(self._place, None)
        more, place = lines(told.Place(self._place.line, run.digest), logs)
        if run.ended and place.line >= run.lines:
            more += run.end(place)
        return event + more or told.BEAT


def _take(given: socket.socket) -> socket.socket:
    """The connection of ``given``, which is left with one that leads nowhere."""
    taken = given.dup()
    here, there = socket.socketpair()
    with here, there:
        os.dup2(here.fileno(), given.fileno())
    return taken
