"""JSON answers, and what every answer carries: the request's id and headers against misuse."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from flask import Flask, Response, g, has_request_context, request

from atlas import traces
from atlas.traces import Kind
from atlas.web import cursors

log = logging.getLogger(__name__)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    # What a key may read is not for a cache between.
    "Cache-Control": "no-store",
}
_PROBES = {"/healthz", "/readyz"}
_UNTRACED = {*_PROBES, "/metrics"}


def answer(
    document: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
    encode: Callable[[Any], bytes] = orjson.dumps,
) -> Response:
    """``document`` as a JSON response; ``encode``: msgspec's where parts of it are raw."""
    response = Response(encode(cursors.marked(document)), status, content_type=media_type)
    response.headers.update(headers or {})
    return response


def install(app: Flask) -> None:
    """Have every request of ``app`` named and logged, and every answer given its headers."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.request_id = str(uuid.uuid4())
    g.started = time.monotonic()
    if request.path not in _UNTRACED and not request.path.startswith("/static/"):
        traces.begin(
            f"{request.method} {_route()}",
            Kind.SERVER,
            holds=True,
            links=traces.linked(request.headers.get("traceparent")),
        )


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    response.headers.update(g.get("rate_headers", {}))
    # All at once: werkzeug's setdefault() makes and drops an error for each that is missing.
    given = set(response.headers.keys(lower=True))
    response.headers.extend(pair for pair in _HEADERS.items() if pair[0].lower() not in given)
    key = g.get("key")
    seconds = time.monotonic() - g.started
    _observe(response.status_code, seconds)
    traces.end(
        {
            "http.request.method": request.method,
            "http.route": _route(),
            "http.response.status_code": response.status_code,
            "atlas.request": g.request_id,
        },
        failed=response.status_code >= 500,
    )
    log.log(
        # Probes come every few seconds and say nothing while all is well.
        logging.DEBUG if request.path in _PROBES and response.status_code < 400 else logging.INFO,
        # No query, no header, no body: they may hold what a log must not.
        "%s %s %d %.1f ms key=%s",
        request.method,
        quote(request.path)[:200],
        response.status_code,
        seconds * 1000,
        key.id if key else "-",
    )
    return response


def _observe(status: int, seconds: float) -> None:
    # Its library takes a while to import; gunicorn's hook has done it by now.
    from atlas.web import metrics

    metrics.observe(request.method, _route(), status, seconds)


def _route() -> str:
    """The template of the path, never the path, which may hold names."""
    return request.url_rule.rule if request.url_rule is not None else "none"


class RequestId(logging.Filter):
    """Gives every log record the id of the request that it belongs to (``%(request_id)s``)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never holds a record back."""
        record.request_id = g.get("request_id", "-") if has_request_context() else "-"
        return True
