"""A collector of OpenTelemetry: takes spans by OTLP over HTTP and keeps them, or misbehaves."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Got:
    """A span as it came."""

    name: str
    trace: str
    id: str
    parent: str
    failed: bool
    about: dict[str, Any]
    process: dict[str, Any]
    links: list[tuple[str, str]]
    began: int
    ended: int
    raw: bytes = field(repr=False)


class Collector:
    """What came, and how it answers from now on."""

    def __init__(self) -> None:
        self.spans: list[Got] = []
        self.headers: list[dict[str, str]] = []
        self.paths: set[str] = set()
        self.answer = "takes"
        self.asked = threading.Event()
        self.released = threading.Event()
        self.url = ""

    def trace(self, run_id: str) -> list[Got]:
        """The spans of a run's trace."""
        wanted = run_id.replace("-", "")
        return [span for span in list(self.spans) if span.trace == wanted]

    def take(self, body: bytes) -> None:
        """Keep what a request brings."""
        request = ExportTraceServiceRequest.FromString(body)
        for of_process in request.resource_spans:
            process = {item.key: _value(item.value) for item in of_process.resource.attributes}
            for scope in of_process.scope_spans:
                for span in scope.spans:
                    assert not span.status.message
                    assert not span.events
                    self.spans.append(
                        Got(
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.status.code == Status.STATUS_CODE_ERROR,
                            {item.key: _value(item.value) for item in span.attributes},
                            process,
                            [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            span.SerializeToString(),
                        )
                    )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


class _Handler(BaseHTTPRequestHandler):
    collector: ClassVar[Collector]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector = self.collector
        answer = collector.answer
        collector.asked.set()
        if answer == "hangs":
            collector.released.wait()
            self.close_connection = True
            return
        if answer == "garbage":
            self.wfile.write(b"\x00\x01 no answer at all\r\n\r\n")
            self.close_connection = True
            return
        if answer == "breaks off":
            self.close_connection = True
            return
        if answer == "leads elsewhere":
            collector.paths.add(self.path)
            self.send_response(200 if self.path == "/elsewhere" else 307)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if answer == "takes":
            collector.headers.append(dict(self.headers))
            collector.paths.add(self.path)
            collector.take(gzip.decompress(body))
        told = b"" if answer == "takes" else b"pl4nted answer of a collector"
        self.send_response({"takes": 200, "refuses": 400, "is busy": 503}[answer])
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
        """Says nothing."""


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector at work."""
    collector = Collector()
    handler = type("Handler", (_Handler,), {"collector": collector})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            collector.released.set()
            server.shutdown()
            thread.join()
