"""What there is to tell of runs: how far one is, changed parts only, and which change their status.

Nothing here knows sockets or threads; the hub asks the ledger once for all watchers and hands on
what this makes of it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from atlas.ledger.progress import Snapshot
from atlas.web.live import told

_WINDOW = 10.0
"""Seconds over which a rate is taken."""


class Rates:
    """Rows a second of one thing, from how many there were within the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, at: float, rows: int) -> float | None:
        """The rate with ``rows`` there at second ``at``; None: nothing to compare with yet."""
        if self._seen and rows < self._seen[-1][1]:
            self._seen.clear()  # an attempt that broke off took its rows back
        self._seen.append((at, rows))
        while len(self._seen) > 2 and self._seen[1][0] <= at - _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        if not rows:
            return 0.0
        return round((rows - before) / (at - since), 1) if at > since else None


class WatchedRun:
    """A run that somebody watches.

    Attributes:
        version: counts the changes.
        digest: of its present state.
        ended: how often on end it was seen to have ended.
    """

    def __init__(self) -> None:
        self.version = 0
        self.digest = ""
        self.ended = 0
        self.lines = 0
        self._head: dict[str, Any] = {}
        self._streams: dict[int, dict[str, Any]] = {}
        self._changed: dict[int, dict[str, Any]] = {}
        self._rates: dict[int | None, Rates] = {}

    def see(self, snapshot: Snapshot, at: float | None = None) -> None:
        """Take note of how far it is at second ``at`` of a steady clock."""
        at = time.monotonic() if at is None else at
        self.lines = snapshot.log_lines
        self.ended = self.ended + 1 if snapshot.ended else 0
        streams = {
            number: {**stream, "rows_per_second": self._rate(number, at, stream, snapshot)}
            for number, stream in snapshot.streams.items()
        }
        rows = {
            name: sum(stream["rows"][name] for stream in snapshot.streams.values())
            for name in ("explore", "promoted", "quarantined")
        }
        head = {
            **snapshot.head,
            "rows": rows,
            "rows_per_second": self._rate(None, at, {"rows": rows}, snapshot),
        }
        changed = {
            number: stream
            for number, stream in streams.items()
            if self._streams.get(number) != stream
        }
        if changed or head != self._head:
            self.version += 1
            self._head, self._streams, self._changed = head, streams, changed
            # Without the rates, which another process has otherwise.
            self.digest = told.digest([snapshot.head, list(snapshot.streams.values())])

    def _rate(
        self, number: int | None, at: float, of: Mapping[str, Any], snapshot: Snapshot
    ) -> float | None:
        if snapshot.ended:
            return None
        return self._rates.setdefault(number, Rates()).add(at, of["rows"]["explore"])

    def progress(self, place: told.Place, version: int | None) -> bytes:
        """The event for a watcher who has seen ``version`` (None: none); empty where nothing has
        changed since."""
        if version == self.version or (version is None and place.digest == self.digest):
            return b""
        whole = version is None or version != self.version - 1
        streams = self._streams if whole else self._changed
        document = {**self._head, "whole": whole, "streams": list(streams.values())}
        return told.event("progress", told.Place(place.line, self.digest).id, document)

    def end(self, place: told.Place) -> bytes:
        """The last event of a run that has ended."""
        known = {name: self._head[name] for name in ("run_id", "status", "finished_at", "error")}
        return told.event(told.END, told.Place(place.line, told.END).id, known)


def lines(place: told.Place, found: list[dict[str, Any]]) -> tuple[bytes, told.Place]:
    """Events for lines of a log, and the place after them."""
    events = [told.event("log", place.at(line["line"]).id, line) for line in found]
    return b"".join(events), place.at(found[-1]["line"]) if found else place
