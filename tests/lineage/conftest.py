"""An endpoint for lineage events that misbehaves as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Endpoint:
    """A server on the loopback that answers as it is told and remembers what it got."""

    url: str = ""
    status: int = 201
    location: str | None = None
    silent: bool = False
    refuses: bytes | None = None
    """Bodies with this in them are answered 422."""
    got: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.got.append((self.command, self.path, self.headers.get("Authorization"), body))
            if state.silent:
                state.release.wait(30)
                return
            refuses = state.refuses is not None and state.refuses in body
            self.send_response(422 if refuses else state.status)
            if state.location is not None:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield state
    state.release.set()
    server.shutdown()
    thread.join()
    server.server_close()
