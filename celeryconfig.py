"""Celery's settings, each with its reason. The ledger is the truth; a message is only a wake-up.

So every choice here is for messages that come at least once, soon, and to a worker that lives:
twice or late costs nothing, for the stage's claim decides who works.
"""

from __future__ import annotations

from kombu import Exchange, Queue

from atlas import settings as _settings

_current = _settings.settings()


def _broker(url: str) -> str:
    # kombu's name for a Redis socket differs from redis-py's.
    if url.startswith("unix:"):
        path, _, query = url.removeprefix("unix:").removeprefix("//").partition("?")
        database = dict(part.split("=", 1) for part in query.split("&") if "=" in part).get("db", 0)
        return f"redis+socket://{path}?virtual_host={database}"
    if url.startswith("rediss:") and "ssl_cert_reqs=" not in url:
        # kombu would take any certificate where redis-py takes none that it cannot verify.
        return url + ("&" if "?" in url else "?") + "ssl_cert_reqs=required"
    return url


broker_url = _broker(_settings.redis_url(_current))

# A worker waits for its broker for as long as it takes; it must not give up and stay idle.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# Without it a worker that lost Redis for a moment cancels tasks whose ledger claim is alive.
worker_cancel_long_running_tasks_on_connection_loss = False
broker_transport_options = {
    # The smallest first; of one list a priority, for the parts of large streams can wait.
    "priority_steps": [0, 6],
    # Above the longest a stage may take. A duplicate would find the live claim and be ignored,
    # and work that lost its worker is found by recovery within seconds, not by this.
    "visibility_timeout": 24 * 3600,
    "unacked_restore_interval": 10,
    # A half-open connection (a cut network, a frozen Redis) must be noticed, not waited on.
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": not broker_url.startswith("redis+socket:"),
    "health_check_interval": 15,
    # The same for the connection itself, which kombu would otherwise try for seconds.
    "max_retries": 0,
}
# A request answers whether or not Redis does: what is not sent now waits in the outbox.
task_publish_retry = False

# JSON only: a message is a few ids, and nobody may make a worker unpickle anything.
task_serializer = "json"
accept_content = ["json"]
# Status is read from the ledger; nobody waits for a result, nor for a result backend.
task_ignore_result = True
task_store_errors_even_if_ignored = False

# Acknowledged when done, and given back when the process that worked on it died.
task_acks_late = True
task_reject_on_worker_lost = True
task_acks_on_failure = True
task_acks_on_timeout = True
# One message at a time: a long stage must not sit on others that a free worker could take.
worker_prefetch_multiplier = 1

# And a queue a worker, for the question whether it consumes (atlas/sync/probe.py).
worker_direct = True

# A queue a kind of work: `extract` waits on others, `scan` burns CPU, `load` waits on SQL, and
# `control` must always be free.
task_default_queue = "control"
# As Celery would make them by itself when they are first used; Flower shows those named here.
task_queues = tuple(
    Queue(name, Exchange(name), routing_key=name) for name in ("extract", "scan", "load", "control")
)
task_routes = {
    "atlas.explore": {"queue": "extract"},
    "atlas.operation": {"queue": "extract"},
    "atlas.pii": {"queue": "scan"},
    "atlas.scan": {"queue": "scan"},
    "atlas.quality": {"queue": "load"},
    "atlas.chart": {"queue": "load"},
    "atlas.navigate": {"queue": "load"},
    "atlas.lineage": {"queue": "load"},
    "atlas.*": {"queue": "control"},
}

# On SIGTERM (a warm shutdown) our tasks end, or hand themselves back, within this time; SIGQUIT
# waits as long before it cuts them off, and then what was cut off is taken up from its last commit.
worker_soft_shutdown_timeout = _current.shutdown_seconds
# With the default of four seconds a busy machine would kill each replacement of a child that died,
# for ever.
worker_proc_alive_timeout = 120.0
# Models and libraries grow a little with every document: a child is renewed now and then. The new
# one has what is loaded from its parent (workers.lifecycle).
worker_max_tasks_per_child = 500
# Our own logging format, without the message's arguments.
worker_hijack_root_logger = True
worker_log_format = "%(asctime)s %(levelname)s %(processName)s %(message)s"
# Which task it is stands behind each line (atlas.logs).
worker_task_log_format = worker_log_format
# What Flower shows.
worker_send_task_events = True
# A second message for each; the ledger tells what waits.
task_send_sent_event = False

timezone = "UTC"
enable_utc = True
# An expired tick is worthless: the next one does its work. One message for all that is quick, since
# each costs more than a look whether there is anything to do.
_tick = min(_current.relay_interval, _current.recovery_interval)
beat_schedule = {
    "tick": {
        "task": "atlas.tick",
        "schedule": _tick,
        "options": {"expires": _tick * 2},
    },
    "deliver": {
        "task": "atlas.deliver",
        "schedule": _current.relay_interval,
        "options": {"expires": _current.relay_interval * 2},
    },
    # Apart from lineage: a receiver may be slow.
    "notify": {
        "task": "atlas.notify",
        "schedule": _current.relay_interval,
        "options": {"expires": _current.relay_interval * 2},
    },
}
