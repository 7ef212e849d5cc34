"""``/metrics`` for Prometheus. One place tells of the whole installation, for the ledger knows it:
whichever web process is asked, and however many workers there are on however many hosts.

Only what the web processes alone know, the requests, is counted in them; they share those numbers
by files (:mod:`atlas.web.gunicorn` makes the directory).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import prometheus_client as prometheus
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import event

from atlas import __version__
from atlas.ledger import measures
from atlas.ledger.overview import DEAD
from atlas.sync.queues import info, queues

if TYPE_CHECKING:
    import sqlalchemy as sa

    from atlas.settings import Settings

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
CONNECTIONS = 1000
"""Most connections of which each has series of its own."""

_SHARED = "PROMETHEUS_MULTIPROC_DIR" in os.environ
_own = prometheus.CollectorRegistry()
# With files, whoever is asked reads those of all processes; a registry would tell of one.
_registry = None if _SHARED else _own

_REQUESTS = prometheus.Counter(
    "atlas_http_requests",
    "Requests answered.",
    ["method", "route", "status"],
    registry=_registry,
)
_SECONDS = prometheus.Histogram(
    "atlas_http_request_seconds",
    "Time until a request was answered.",
    ["method", "route"],
    registry=_registry,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

_POOL_USED = prometheus.Gauge(
    "atlas_web_pool_used",
    "Connections to PostgreSQL that the pools of the web processes have given out.",
    registry=_registry,
    multiprocess_mode="livesum",
)
_POOL_LIMIT = prometheus.Gauge(
    "atlas_web_pool_limit",
    "Connections that they hold at most.",
    registry=_registry,
    multiprocess_mode="livesum",
)
_POOL_OPENED = prometheus.Counter(
    "atlas_web_pool_opened",
    "Connections that they opened: beyond their size, each is for one use.",
    registry=_registry,
)


def watch_pool(engine: sa.Engine, limit: int) -> None:
    """Have it counted how the pool of this process is used.

    Args:
        limit: connections that it holds at most.
    """
    given: set[int] = set()  # by record: a stale connection is replaced within one checkout

    def out(_: Any, record: Any, __: Any) -> None:
        given.add(id(record))
        _POOL_USED.set(len(given))

    def back(_: Any, record: Any) -> None:
        given.discard(id(record))
        _POOL_USED.set(len(given))

    event.listen(engine, "checkout", out)
    event.listen(engine, "checkin", back)
    event.listen(engine, "connect", lambda *_: _POOL_OPENED.inc())
    _POOL_USED.set(0)
    _POOL_LIMIT.set(limit)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that was answered.

    Args:
        route: template of its path; never the path, which may hold names.
    """
    _REQUESTS.labels(method, route, str(status)).inc()
    _SECONDS.labels(method, route).observe(seconds)


def exposition(engine: sa.Engine, settings: Settings) -> bytes:
    """Everything, in Prometheus's text format.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: PostgreSQL cannot be asked; half of it would be taken for
            all.
    """
    registry = prometheus.CollectorRegistry()
    registry.register(_Told(list(ledger(engine))))
    registry.register(_Told(list(broker(settings))))
    if _SHARED:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return prometheus.generate_latest(registry)
    return prometheus.generate_latest(registry) + prometheus.generate_latest(_own)


class _Told:
    """What was measured already, as a registry asks for it."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def ledger(engine: sa.Engine) -> Iterator[Metric]:
    """What the ledger knows."""
    with engine.connect() as conn:
        totals = measures.totals(conn)
        state = measures.state(conn, dead=DEAD)
        connections = measures.connections(conn, CONNECTIONS)
    yield _gauge("build_info", "The version of Atlas.", {(__version__,): 1.0}, "version")
    yield from _counted(totals)
    yield from _standing(state)
    yield from _by_connection(connections)


def _counted(totals: dict[str, list[measures.Total]]) -> Iterator[Metric]:
    yield _counter(
        "runs",
        "Runs that ended, by how they were started and how they ended.",
        totals.get(measures.RUNS, []),
        ("trigger", "status"),
    )
    yield _counter(
        "rows",
        "Rows, by the layer that they came to or were kept from, and what became of them.",
        [_in_layer(each) for each in totals.get(measures.ROWS, [])],
        ("layer", "outcome"),
    )
    yield _counter(
        "findings",
        "Places in which stages that ended found personal data, by what it is.",
        totals.get(measures.FINDINGS, []),
        ("entity_type",),
    )
    yield _histogram(
        "stage_seconds",
        "Attempts at stages, by what became of them, and how long they took.",
        totals.get(measures.STAGE_SECONDS, []),
        ("stage", "outcome"),
    )
    lost = [each for each in totals.get(measures.STAGE_SECONDS, []) if _lost(each)]
    recoveries = CounterMetricFamily(
        "atlas_recoveries", "Attempts whose worker was lost.", labels=["stage"]
    )
    for each in lost:
        recoveries.add_metric([each.labels["stage"]], each.count)
    yield recoveries
    yield _histogram(
        "operation_seconds",
        "Questions to connectors and installations of them, and how long they took.",
        totals.get(measures.OPERATION_SECONDS, []),
        ("kind", "outcome"),
    )
    yield _histogram(
        "connector_start_seconds",
        "From the start of a connector's process to its first message, by what it was asked.",
        totals.get(measures.CONNECTOR_START_SECONDS, []),
        ("command",),
    )


_LAYERS = {"explore": "explore", "opened": "navigate", "closed": "navigate"}


def _in_layer(total: measures.Total) -> measures.Total:
    outcome = total.labels["outcome"]
    return replace(total, labels={"layer": _LAYERS.get(outcome, "chart"), "outcome": outcome})


def _lost(total: measures.Total) -> bool:
    return total.labels["outcome"] == "lost"


_STANDING = (
    ("runs_active", "Runs that have not ended.", "status"),
    ("leases", "Stages that a worker holds.", "stage"),
    ("leases_dead", "Stages whose worker gives no sign, not yet taken up by recovery.", None),
    ("outbox", "Messages that wait to be sent to the broker.", None),
    ("outbox_oldest", "Age of the oldest of them.", None),
    ("lineage_waiting", "Lineage events that a sink has yet to get.", None),
    ("lineage_oldest", "Age of the oldest of them.", None),
    ("webhooks_failing", "Receivers that take nothing now, or were disabled for it.", None),
    ("webhooks_oldest", "Age of the oldest message that is due to a receiver.", None),
    ("schedule_lag", "How long the schedule that waits longest has been due.", None),
    ("tick_age", "Time since a tick was done last.", "tick"),
    ("workers", "Workers that live, by the queue that they serve.", "queue"),
    ("database_sessions_waiting", "Sessions that wait for a lock of another one.", None),
    ("database_sessions_limit", "Sessions that PostgreSQL takes at most.", None),
    ("database_bytes", "Size of the database.", None),
)
_IN_SECONDS = {"outbox_oldest", "lineage_oldest", "webhooks_oldest", "schedule_lag", "tick_age"}


def _standing(state: dict[str, dict[str | None, float]]) -> Iterator[Metric]:
    for name, about, label in _STANDING:
        full = f"{name}_seconds" if name in _IN_SECONDS else name
        found = state.get(name, {})
        if label is None:
            yield _gauge(full, about, {(): found.get(None, 0.0)})
        else:
            yield _gauge(full, about, {(str(key),): value for key, value in found.items()}, label)
    sessions = {
        tuple(str(key).rsplit("|", 1)): value for key, value in state.get("sessions", {}).items()
    }
    yield _gauge(
        "database_sessions",
        "Sessions on the database, by who opened them and what they do.",
        sessions,
        "application",
        "state",
    )


def _by_connection(rows: list[Any]) -> Iterator[Metric]:
    yield _gauge(
        "connection_last_run",
        "1 for how a connection's last run ended.",
        {(row.name, row.status): 1.0 for row in rows if row.status is not None},
        "connection",
        "status",
    )
    yield _gauge(
        "connection_fresh_timestamp_seconds",
        "When the last run of a connection that succeeded read its source.",
        {(row.name,): row.fresh for row in rows if row.fresh is not None},
        "connection",
    )
    yield _gauge(
        "quality_score",
        "The lowest score of a stream in the last run of a connection that was checked, 0 to 1.",
        {(row.name,): row.score for row in rows if row.score is not None},
        "connection",
    )


def broker(settings: Settings) -> Iterator[Metric]:
    """What waits in the broker, and how Redis is; when it is away only that."""
    items, server = queues(settings)["items"], info(settings)
    up = items is not None and server is not None
    yield _gauge("redis_up", "Whether Redis answers.", {(): float(up)})
    if items is None or server is None:
        return
    yield _gauge("redis_clients", "Connections to Redis.", {(): server["connected_clients"]})
    most: dict[tuple[str, ...], float] = {(): server["maxclients"]}
    yield _gauge("redis_clients_limit", "Connections that Redis takes at most.", most)
    refused = CounterMetricFamily(
        "atlas_redis_refused_clients", "Connections that Redis refused, for it had too many."
    )
    refused.add_metric([], server["rejected_connections"])
    yield refused
    yield _gauge("redis_memory_bytes", "What Redis holds in memory.", {(): server["used_memory"]})
    evicted = CounterMetricFamily(
        "atlas_redis_evicted_keys", "Keys that Redis threw away for want of memory."
    )
    evicted.add_metric([], server["evicted_keys"])
    yield evicted
    yield _gauge(
        "queue_messages",
        "Messages that wait for a worker.",
        {(each["queue"],): each["depth"] for each in items},
        "queue",
    )
    yield _gauge(
        "queue_oldest_seconds",
        "Age of the oldest message that waits, 0 where none does.",
        {(each["queue"],): each["oldest_seconds"] or 0.0 for each in items},
        "queue",
    )


def _gauge(
    name: str, about: str, values: dict[tuple[str, ...], float], *labels: str
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"atlas_{name}", about, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _counter(
    name: str, about: str, totals: list[measures.Total], labels: tuple[str, ...]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"atlas_{name}", about, labels=labels)
    for total in totals:
        family.add_metric([total.labels[label] for label in labels], total.sum)
    return family


def _histogram(
    name: str, about: str, totals: list[measures.Total], labels: tuple[str, ...]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"atlas_{name}", about, labels=labels)
    for total in totals:
        bounds = list(zip(map(str, measures.BOUNDS), total.buckets, strict=True))
        family.add_metric(
            [total.labels[label] for label in labels],
            [*bounds, ("+Inf", total.count)],
            total.sum,
        )
    return family
