"""Reading ahead: what a connector prints is taken in, and taken apart, while what it printed before
is stored.

Without it the two would take turns: a connector whose pipe is full stands still, and PostgreSQL has
nothing to do while the connector works.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Runs an iterator in a thread, so far ahead that ``most`` bytes wait, and one piece more;
    gives what ``prepare`` makes of each piece, in the same thread, with the bytes that it takes.

    Iterate it once; what the iterator raises comes after the pieces before it. :meth:`close` it
    before whatever the iterator reads from is closed.
    """

    def __init__(
        self, pieces: Iterator[bytes], most: int, prepare: Callable[[bytes], tuple[int, T]]
    ) -> None:
        self._pieces = pieces
        self._most = most
        self._prepare = prepare
        self._waiting: deque[tuple[int, T]] = deque()
        self._size = 0
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                size, prepared = self._waiting.popleft()
                self._size -= size
                self._changed.notify_all()
            yield prepared
            del prepared
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
                size, prepared = self._prepare(piece)
                del piece
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or self._size < self._most)
                    if self._closed:
                        return
                    self._waiting.append((size, prepared))
                    self._size += size
                    self._changed.notify_all()
                del prepared
        except BaseException as error:  # noqa: BLE001 - raised where the pieces are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
