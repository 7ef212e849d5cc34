"""Writing down what a connector says while it is read: in batches, beside the reading.

Nothing here holds the reading up. A thread of its own writes what has gathered, once a second at
most; where more comes than is kept, the newest stays and what was left out is counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from atlas.ledger import run_log
from atlas.ledger.run_log import Line, level_of
from atlas.stages.work import Work

log = logging.getLogger(__name__)

_MOST = 500
"""Lines that one batch holds."""

_INTERVAL = 1.0


class ConnectorLog:
    """Takes a connector's lines from any thread, and writes them to the log of its run.

    A context manager: what is left is written at its end, within a few seconds or not at all.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._lines: deque[Line] = deque()
        self._left_out = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="run-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def __call__(self, level: str, text: str) -> None:
        """Take a line, redacted; never waits for the ledger."""
        line = Line(level_of(level), text, datetime.now(UTC))
        with self._lock:
            self._lines.append(line)
            if len(self._lines) > _MOST:
                self._lines.popleft()
                self._left_out += 1

    def _run(self) -> None:
        while not self._ended.wait(_INTERVAL):
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            lines, left_out = list(self._lines), self._left_out
            self._lines.clear()
            self._left_out = 0
        if left_out:
            more = f"{left_out} lines of the connector were left out here: they came too fast"
            lines.insert(0, Line("warning", more, lines[0].at))
        if not lines:
            return
        try:
            with self._work.engine.begin() as conn:
                # Whoever ends the run holds its row for a moment; nobody does for long.
                conn.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
                conn.execute(sa.text("SET LOCAL statement_timeout = '5s'"))
                keep = self._work.settings.run_log_lines
                run_log.add(conn, self._work.claim, lines, keep=keep)
            self._away = False
        except Exception as error:  # noqa: BLE001 - the reading goes on without its log
            if not self._away:
                name = type(error).__name__
                log.warning("run %s: its log: %s", self._work.claim.run_id, name)
            self._away = True
            self._take_back(lines, left_out)

    def _take_back(self, lines: list[Line], left_out: int) -> None:
        """What could not be written is tried again, before what has come since."""
        if left_out:
            lines = lines[1:]
        with self._lock:
            every = [*lines, *self._lines]
            self._lines = deque(every[-_MOST:])
            self._left_out += left_out + max(len(every) - _MOST, 0)
