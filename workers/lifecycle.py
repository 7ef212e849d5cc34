"""What a worker's processes do at their start and their end.

The parent loads what is slow, so that its children have it by the fork. They die with their parent
and keep the ticks; and learn from it that the worker is to stop, so that they end or hand back what
they do.

Beat and Flower import this module and the tasks too, and know neither ledger nor stages: what only
workers use is imported where they use it, and for good by :func:`import_for_all`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import logging
import mmap
import signal
import sys
import time
from typing import Any

from billiard.util import get_pdeathsig
from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    celeryd_init,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
    worker_shutting_down,
)

from atlas import logs, traces
from atlas.errors import AtlasError, LostKeys, WrongSecretKey
from atlas.garbage import not_looked_for
from atlas.model.stage import Stage
from atlas.settings import secret_key, settings
from atlas.sync.broker import task_name
from atlas.sync.queues import see_that_it_keeps

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_USED = {
    "extract": ("atlas.sync.perform", "atlas.sync.operate", "atlas.stages.explore"),
    "scan": ("atlas.sync.perform", "atlas.stages.pii"),
    "load": (
        "atlas.sync.perform",
        *(f"atlas.stages.{stage}" for stage in ("quality", "chart", "navigate", "lineage")),
    ),
    "control": ("atlas.sync.ticks",),
}
"""By queue, what the tasks of its workers import."""
_WORK = {*(task_name(stage) for stage in Stage), "atlas.scan", "atlas.operation"}
"""Tasks that are about something; the others look whether there is anything to do."""
_queues: set[str] = set()
_node = ""
# A byte that parent and children share. An Event's lock could die with the child that holds it.
_stopping = mmap.mmap(-1, 1)
# What beat and Flower are at their end is looked through for garbage otherwise.
atexit.register(gc.freeze)


def stopping() -> bool:
    """Whether this worker was told to stop."""
    return _stopping[0] != 0


@worker_shutting_down.connect
def tell_children(**_: Any) -> None:
    """In the parent, at the first signal."""
    _stopping[0] = 1


@celeryd_init.connect
def remember_queues(
    sender: str | None = None, options: dict[str, Any] | None = None, **_: Any
) -> None:
    """Before the pool forks: what this worker is called, and which queues it serves."""
    global _node
    _node = sender or ""
    chosen = (options or {}).get("queues") or ""
    names = chosen.split(",") if isinstance(chosen, str) else chosen
    _queues.update(str(name).strip() for name in names)
    with not_looked_for():
        from atlas.ledger.database import name_process
    name_process(",".join(sorted(_queues)))


@celeryd_init.connect
def import_for_all(**_: Any) -> None:
    """Before the pool forks: what its tasks use, once for all children.

    They share the memory, and one that takes the place of another starts at once.
    """
    with not_looked_for():
        from atlas.sync import presence  # noqa: F401

        for queue in _queues & _USED.keys():
            for name in _USED[queue]:
                importlib.import_module(name)
        if settings().otel_endpoint is not None:
            import atlas.traces.export  # noqa: F401
        # In each child billiard tells the kernel something, by a declaration that cffi parses: its
        # parser is slow to import. What is asked for here changes nothing.
        with contextlib.suppress(OSError):
            get_pdeathsig()


@celeryd_init.connect
def refuse_what_it_cannot_work_with(**_: Any) -> None:
    """Before the pool forks: a worker whose file of recognizers is wrong does not start, nor one
    that is to scan and has no model, nor one that is to deliver lineage and is not told where. Its
    children could do nothing but end."""
    from atlas.lineage.sinks import sinks
    from atlas.pii import installed
    from atlas.pii.declared import declared

    try:
        declared(settings().pii_recognizers)
        if "control" in _queues:
            sinks(settings())
        if "scan" in _queues:
            installed.see(settings())
    except AtlasError as error:
        raise SystemExit(f"this worker does not start: {error}") from None


@celeryd_init.connect
def refuse_other_keys(**_: Any) -> None:
    """Before the pool forks: a worker whose secret key is not the one of the data does not start.

    A database that is away is waited for, as always.
    """
    from atlas.ledger.database import classified, engine
    from atlas.ledger.secrets import keys

    for last in (False, True):
        bound = engine(settings(), pool=1)
        try:
            with classified(bound.url.render_as_string()), bound.begin() as conn:
                keys(conn, secret_key(settings()))
        except (WrongSecretKey, LostKeys) as error:
            if last:
                raise SystemExit(f"this worker does not start: {error}") from None
            time.sleep(0.5)  # the key's file may be being replaced
        except AtlasError:
            return
        else:
            return
        finally:
            bound.dispose()


@celeryd_init.connect
def refuse_a_broker_that_loses(**_: Any) -> None:
    """Before the pool forks: a worker does not start on a Redis that may throw messages away.

    One that does not answer is waited for, as always.
    """
    try:
        see_that_it_keeps(settings())
    except AtlasError as error:
        raise SystemExit(f"this worker does not start: {error}") from None


@celeryd_init.connect
def load_for_all(**_: Any) -> None:
    """Before the pool forks: the models. What is there then stays: a collection in a child would
    only copy its pages."""
    with not_looked_for():
        if "scan" in _queues:
            from atlas.stages.pii import warm_up

            try:
                warm_up()
            except AtlasError as error:
                raise SystemExit(f"this worker does not start: {error}") from None


@worker_process_init.connect
def start_child(**_: Any) -> None:
    """In each child of the pool."""
    if sys.platform == "linux":
        # A parent that is killed must not leave children that hold claims nobody supervises.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if "extract" in _queues:
        # A connector's files of a child that was killed hold its secrets.
        from atlas.connectors.workspace import sweep

        sweep(settings())
    # Here, for the thread that sends them would not survive a fork; and before the first engine.
    traces.start(settings(), ",".join(sorted(_queues)))
    from atlas.ledger.database import shared
    from atlas.sync import presence

    presence.start(shared(settings()), _node, _queues)
    if "control" in _queues:
        from atlas.sync import ticks

        ticks.start_keepers(shared(settings()), settings())


@worker_process_shutdown.connect
def tell_the_rest(**_: Any) -> None:
    """In each child of the pool that ends."""
    traces.stop()


@after_setup_logger.connect
@after_setup_task_logger.connect
def write_lines(logger: logging.Logger, format: str, **_: Any) -> None:  # noqa: A002
    """In the parent and in beat: lines are what the settings say, with this worker's name."""
    always = {"worker": _node} if _node else {}
    for handler in logger.handlers:
        handler.setFormatter(logs.formatter(settings().log_format, format, **always))


@task_prerun.connect
def say_which_task(task: Any, task_id: str, **_: Any) -> None:
    """In a child: what is logged from now on is about this task."""
    logs.begin(task=task.name, task_id=task_id)
    if task.name in _WORK:
        traces.begin(f"task {task.name}", traces.Kind.CONSUMER)


@task_postrun.connect
def say_it_is_over(task: Any = None, task_id: str = "", state: str | None = None, **_: Any) -> None:
    """In a child: and from now on not."""
    told = {"messaging.system": "celery", "atlas.task": task_id, "atlas.worker": _node}
    traces.end(told, failed=state == "FAILURE")
    logs.forget()


@after_setup_logger.connect
def quieten(**_: Any) -> None:
    """The ticks of beat come every few seconds; what they find is logged by who finds it."""
    for name in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
        logging.getLogger(name).setLevel(logging.WARNING)
