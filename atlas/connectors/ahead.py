"""Reading ahead: what a connector prints is taken in while what it printed before is stored.

Without it the two would take turns: a connector whose pipe is full stands still, and PostgreSQL has
nothing to do while the connector works.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator


class Ahead:
    """Runs an iterator in a thread, so far ahead that ``most`` bytes wait, and one piece more.

    Iterate it once; what the iterator raises comes after the pieces before it. :meth:`close` it
    before whatever the iterator reads from is closed.
    """

    def __init__(self, pieces: Iterator[bytes], most: int) -> None:
        self._pieces = pieces
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                piece = self._waiting.popleft()
                self._size -= len(piece)
                self._changed.notify_all()
            yield piece
            del piece
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop, and forget what waits. Returns when the iterator is not run any more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            for piece in self._pieces:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or self._size < self._most)
                    if self._closed:
                        return
                    self._waiting.append(piece)
                    self._size += len(piece)
                    self._changed.notify_all()
                del piece
        except BaseException as error:  # noqa: BLE001 - raised where the pieces are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
