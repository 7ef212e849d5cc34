"""Reading ahead: in order, bounded, ended with what the iterator ended with."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from atlas.connectors.ahead import Ahead


def _counted(piece: bytes) -> tuple[int, bytes]:
    return len(piece), piece


def test_pieces_come_in_order_and_then_the_error() -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            yield b"%d" % number
        raise OSError("broke off")

    found = []
    ahead = Ahead(pieces(), 10, _counted)
    with pytest.raises(OSError, match="broke off"):
        found.extend(ahead)
    assert found == [b"%d" % number for number in range(1000)]
    ahead.close()


def test_it_works_while_nobody_takes_and_stops_at_its_bound() -> None:
    made = []
    full = threading.Event()

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            if number == 5:
                full.set()
            yield b"x" * 10

    ahead = Ahead(pieces(), 50, _counted)
    # five wait, and the sixth is at hand; nobody has taken one yet
    assert full.wait(20)
    taken = iter(ahead)
    next(taken)
    assert len(made) <= 8
    ahead.close()
    assert len(made) <= 8
    # what waited is forgotten
    assert list(taken) == []


def test_closing_ends_an_iterator_that_waits_for_room() -> None:
    ended = threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            ended.set()

    ahead = Ahead(pieces(), 1, _counted)
    ahead.close()
    del ahead
    assert ended.wait(20)
