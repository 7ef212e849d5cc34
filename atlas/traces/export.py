"""Spans on their way to a collector, by OTLP over HTTP: in a thread of their own, in batches.

A collector that is away, slow or answers nonsense costs spans and nothing else: what cannot be sent
is dropped, of what waits only so much is kept, and who makes a span never waits.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence
from urllib.parse import unquote

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from atlas import __version__
from atlas.settings import Settings
from atlas.traces import Kind, Span

log = logging.getLogger(__name__)

MOST = 8192
"""Spans that wait to be sent, of a process, at most; then the oldest are dropped."""
_BATCH = 512
_EVERY = 1000.0
_PATIENCE = 5.0

_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_SCOPE = InstrumentationScope("atlas", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Export:
    """Sends the spans of a process."""

    def __init__(self, settings: Settings, process: str) -> None:
        # It logs each failure, with what the collector answered and where it is.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        session = requests.Session()
        session.max_redirects = 0  # whoever it leads to would get the headers, which are secret
        self._resource = Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or "atlas",
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
                "atlas.process": process,
            }
        )
        self._batches = BatchSpanProcessor(
            _Patient(
                OTLPSpanExporter(
                    endpoint=settings.otel_endpoint,
                    headers=dict(map(_header, settings.otel_headers)),
                    timeout=_PATIENCE,
                    compression=Compression.Gzip,
                    session=session,
                )
            ),
            max_queue_size=MOST,
            schedule_delay_millis=_EVERY,
            max_export_batch_size=_BATCH,
        )

    def put(self, span: Span) -> None:
        """Have a span sent soon."""
        parent = None if span.parent is None else _context(span.trace, span.parent)
        self._batches.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.trace, span.id),
                parent=parent,
                resource=self._resource,
                attributes=span.attributes,
                links=[Link(_context(*each)) for each in span.links],
                kind=_KINDS[span.kind],
                # Without a description: that is where texts of errors would go.
                status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
                start_time=span.began,
                end_time=max(span.ended, span.began),
                instrumentation_scope=_SCOPE,
            )
        )

    def stop(self, seconds: float) -> None:
        """Send what waits, for so long at most."""
        ending = threading.Thread(target=self._batches.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(seconds)


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, unquote(value)


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=_SAMPLED)


class _Patient(SpanExporter):
    """Says once that the collector takes nothing, and once that it does again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._dropped = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; one that cannot be sent is dropped."""
        why = "it refuses them"
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said, and spans are lost
            result, why = SpanExportResult.FAILURE, type(error).__name__
        if result is SpanExportResult.SUCCESS:
            if self._dropped:
                log.info("traces: the collector takes spans again; %d were lost", self._dropped)
            self._dropped = 0
            return result
        if not self._dropped:
            log.warning(
                "traces: the collector of ATLAS_OTEL_ENDPOINT takes no spans (%s): they are "
                "dropped until it does; nothing else waits for it",
                why,
            )
        self._dropped += len(spans)
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()
