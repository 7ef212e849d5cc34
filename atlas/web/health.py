"""Whether the process lives, and whether Atlas can work."""

from __future__ import annotations

import functools
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import Response

from atlas.errors import AtlasError
from atlas.ledger.database import classified
from atlas.roles import Role
from atlas.settings import Settings, redis_url
from atlas.web.answers import answer
from atlas.web.database import engine, settings
from atlas.web.models import Health, Readiness
from atlas.web.operations import Operation, Returns
from atlas.web.problems import RETRY_AFTER, Problem

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

_REDIS_PATIENCE = 2.0


def get_health() -> Response:
    """Asks nobody: a process that can answer lives."""
    return answer({"status": "alive"})


def get_readiness() -> Response:
    """Asks PostgreSQL and Redis, now."""
    checks = {"postgresql": _postgresql(), "redis": _redis()}
    missing = [f"{name}: {check['error']}" for name, check in checks.items() if not check["ok"]]
    if missing:
        raise Problem(
            "not-ready",
            "; ".join(missing),
            {"checks": checks},
            {"Retry-After": str(RETRY_AFTER)},
        )
    return answer({"status": "ready", "checks": checks})


def get_metrics() -> Response:
    """Asks PostgreSQL and Redis, now."""
    # Its library takes a while to import; gunicorn's hook has done it by now.
    from atlas.web import metrics

    return Response(metrics.exposition(engine(), settings()), content_type=metrics.CONTENT_TYPE)


@functools.cache
def newest_revision() -> str:
    """The migration that this installation ends with: it changes with the installation only."""
    # Alembic takes a while to import, and only this asks it.
    from atlas.ledger import migrations

    return migrations.head()


def _postgresql() -> dict[str, Any]:
    from atlas.ledger import migrations

    check: dict[str, Any] = {"ok": False, "round_trip_ms": None, "revision": None, "error": None}
    try:
        pool = engine()
        with classified(pool.url.render_as_string(hide_password=True)):
            with pool.connect() as conn:
                conn.execute(sa.text("SELECT 1"))  # begins the transaction, which is not measured
                started = time.perf_counter()
                conn.execute(sa.text("SELECT 1"))
                check["round_trip_ms"] = _milliseconds(started)
            check["revision"] = migrations.current(pool)
        newest = newest_revision()
    except AtlasError as error:
        # Open to everybody: where the server is stands in the log only.
        log.warning("not ready: %s", error)
        return {**check, "error": "does not answer; the log of the web process tells why"}
    if check["revision"] != newest:
        at = check["revision"] or "nothing"
        return {
            **check,
            "error": f"is at migration {at}, not at {newest}: `atlas migrate` brings it there",
        }
    return {**check, "ok": True}


def _redis() -> dict[str, Any]:
    # Like Alembic: slow to import, and the factory must not wait for it.
    from redis.exceptions import RedisError

    check: dict[str, Any] = {"ok": False, "round_trip_ms": None, "error": None}
    try:
        client = _client(os.getpid(), settings())
        started = time.perf_counter()
        client.ping()
    except (AtlasError, RedisError, ValueError, OSError) as error:
        # ValueError: a URL that is none. Its text might quote the password.
        shown = error if isinstance(error, AtlasError) else type(error).__name__
        log.warning("not ready: Redis: %s", shown)
        return {**check, "error": "does not answer; the log of the web process tells why"}
    return {**check, "ok": True, "round_trip_ms": _milliseconds(started)}


@functools.cache
def _client(pid: int, of: Settings) -> Redis:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(
        redis_url(of),
        socket_timeout=_REDIS_PATIENCE,
        socket_connect_timeout=_REDIS_PATIENCE,
        # Once, for a connection that went stale; a probe reports, it does not insist.
        retry=Retry(NoBackoff(), 1),
    )


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


_EXAMPLE = {
    "status": "ready",
    "checks": {
        "postgresql": {"ok": True, "round_trip_ms": 0.2, "revision": "0001", "error": None},
        "redis": {"ok": True, "round_trip_ms": 0.1, "error": None},
    },
}

OPERATIONS = [
    Operation(
        method="GET",
        path="/healthz",
        role=None,
        tag="Health",
        summary="Whether the process lives",
        handler=get_health,
        returns={200: Returns(Health, "It does.", example={"status": "alive"})},
    ),
    Operation(
        method="GET",
        path="/readyz",
        role=None,
        tag="Health",
        summary="Whether Atlas can work",
        about="PostgreSQL answers and is migrated to this version, and Redis answers.",
        handler=get_readiness,
        returns={200: Returns(Readiness, "It can.", example=_EXAMPLE)},
        problems=("not-ready",),
    ),
    Operation(
        method="GET",
        path="/metrics",
        role=Role.VIEWER,
        opened_by="metrics_open",
        tag="Health",
        summary="Measures for Prometheus",
        about="Of the whole installation, whichever web process is asked. Open without a key where "
        "`ATLAS_METRICS_OPEN` is true.",
        handler=get_metrics,
        returns={
            200: Returns(
                None,
                "Prometheus's text format.",
                media_type="text/plain",
                example="atlas_redis_up 1.0\n",
            )
        },
    ),
]
