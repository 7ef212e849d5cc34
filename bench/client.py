"""An HTTP client that costs the machine little, for it shares its cores with what it measures."""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import urlsplit

from bench.stack import BenchError

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to: seconds in all, and those of each answer, in the order they came."""

    seconds: float
    latencies: list[float]
    bodies: list[bytes]


@dataclass(slots=True)
class _Open:
    socket: socket.socket
    sent: float = 0.0
    got: bytes = b""


def post(base: str, paths: Iterable[str], *, at_once: int, key: str | None = None) -> Load:
    """POST an empty body to each path over ``at_once`` kept connections, each of which has one
    request under way at a time.

    Raises:
        BenchError: an answer was not 202, or none came in a minute.
    """
    place = urlsplit(base)
    head = f"Host: {place.netloc}\r\nContent-Length: 0\r\n"
    if key is not None:
        head += f"Authorization: Bearer {key}\r\n"
    waiting = iter([f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() for path in paths])
    latencies: list[float] = []
    bodies: list[bytes] = []
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        opened = [
            _Open(stack.enter_context(socket.create_connection((place.hostname, place.port))))
            for _ in range(at_once)
        ]
        for each in opened:
            each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = perf_counter()
        busy = 0
        # The connections first: zip() takes of the second only when the first gave one.
        for idle, request in zip(opened, waiting, strict=False):
            ready.register(idle.socket, selectors.EVENT_READ, idle)
            _send(idle, request)
            busy += 1
        while busy:
            found = ready.select(_PATIENCE)
            if not found:
                raise BenchError(f"{base} did not answer within {_PATIENCE:.0f} s")
            for event, _ in found:
                one: _Open = event.data
                body = _receive(one)
                if body is None:
                    continue
                latencies.append(perf_counter() - one.sent)
                bodies.append(body)
                following = next(waiting, None)
                if following is None:
                    ready.unregister(one.socket)
                    busy -= 1
                else:
                    _send(one, following)
        return Load(perf_counter() - started, latencies, bodies)


def _send(one: _Open, request: bytes) -> None:
    one.got, one.sent = b"", perf_counter()
    one.socket.sendall(request)


def _receive(one: _Open) -> bytes | None:
    """Take what came; the answer's body once it is whole."""
    came = one.socket.recv(65536)
    one.got += came
    head, found, body = one.got.partition(b"\r\n\r\n")
    if not found:
        if not came:
            raise BenchError("the server closed a connection without an answer")
        return None
    length = _LENGTH.search(head + b"\r\n")
    if head.split(b" ", 2)[1] != b"202" or length is None:
        raise BenchError(f"an answer was not 202: {one.got[:500]!r}")
    return body if len(body) >= int(length[1]) else None
