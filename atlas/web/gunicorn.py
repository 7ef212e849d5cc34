"""Gunicorn's settings: ``gunicorn -c python:atlas.web.gunicorn 'atlas.web:create_app()'``.

Each with its reason. Address and log level are Atlas's own settings.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from atlas.errors import AtlasError
from atlas.garbage import not_looked_for
from atlas.settings import redis_url as _redis_url
from atlas.settings import settings as _settings
from atlas.web.database import THREADS

try:
    _current = _settings()
    # Here already: two processes that cannot start make gunicorn print a traceback.
    _redis_url(_current)
except AtlasError as _error:
    # One line instead of gunicorn's traceback.
    sys.stderr.write(f"{_error}\n")
    sys.exit(_error.exit_code)

wsgi_app = "atlas.web:create_app()"
_host = f"[{_current.host}]" if ":" in _current.host else _current.host
bind = f"{_host}:{_current.port}"

# A request waits for PostgreSQL most of its time: threads wait well together. Two processes, so
# that the API lives while one is replaced, and a second core is of use.
worker_class = "gthread"
workers = 2
threads = THREADS
# No preload: an engine's connections, made before a fork, would be shared by its children.
preload_app = False
# Processes are renewed when the installation is, not by count: nothing here grows, and a renewal
# costs whoever is connected.
max_requests = 0

# A worker that shows no sign of life for so long is replaced.
timeout = 60
# SIGTERM: requests at work get this long to end. Above the longest that a statement may take.
graceful_timeout = 20
# Idle connections of clients and proxies are held this long for their next request.
keepalive = 15
# Signs of life are a file's times: on a disk that is busy they would come late.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - made privately
# No second way to steer the processes: `atlas up` starts and stops them.
control_socket_disable = True

# atlas.web.answers writes a line a request, without query, headers or keys, under the request's
# id; gunicorn's own would hold the query.
accesslog = None
errorlog = "-"
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "atlas.web.answers.RequestId"}},
    "formatters": {
        "line": {
            "()": "atlas.logs.formatter",
            "kind": _current.log_format,
            "text": "%(asctime)s %(levelname)s %(process)d %(name)s request=%(request_id)s "
            "%(message)s",
        }
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request"],
            "stream": "ext://sys.stderr",
        }
    },
    "root": {"level": _current.log_level, "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {"level": _current.log_level, "handlers": [], "propagate": True},
        # A line for each look at the revision, that is, for each probe.
        "alembic": {"level": "WARNING"},
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
    },
}


# Its processes count their requests in files of this directory, so that each can tell of all. Here,
# before anything imports the library, which looks for the variable only then.
_counted = tempfile.mkdtemp(prefix="atlas-metrics-", dir=worker_tmp_dir)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _counted


def on_exit(server: Any) -> None:
    """In the parent, when all are gone."""
    shutil.rmtree(_counted, ignore_errors=True)


def worker_exit(server: Any, worker: Any) -> None:
    """In a worker that ends: what it did is still told; what it holds is not looked through."""
    from atlas import traces

    traces.stop()
    gc.freeze()


def child_exit(server: Any, worker: Any) -> None:
    """In the parent, when one of its processes is gone: what it held, it holds no more."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def post_worker_init(worker: Any) -> None:
    """In each worker, before it takes requests: import what the first one would wait for.

    A setting that is wrong ends the server here, in one line.
    """
    from gunicorn.arbiter import Arbiter

    from atlas import traces
    from atlas.web.app import warm_up

    traces.start(_current, "web")
    try:
        with not_looked_for():
            warm_up()
    except AtlasError as error:
        worker.log.error("%s", error)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
