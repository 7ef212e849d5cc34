"""The tasks: one a stage, and the ticks of beat.

What they do is imported when they do it: beat and Flower need only their names. A worker has
imported it before (:func:`workers.lifecycle.import_for_all`).
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from celery.exceptions import Ignore

from atlas.errors import AtlasError, TransientError
from atlas.model.stage import Stage
from atlas.settings import settings
from atlas.sync import probe
from atlas.sync.broker import app
from workers import lifecycle

log = logging.getLogger(__name__)
_task = app().task
# What comes every few seconds would bury what Flower is watched for, and cost each of its processes
# more than it does itself.
_tick = functools.partial(_task, send_events=False)


def _perform(stage: Stage, **ids: Any) -> None:
    """Do the stage; end the chain here unless what follows may go on."""
    from atlas.ledger.claims import Found
    from atlas.ledger.database import shared
    from atlas.sync.perform import perform

    try:
        found = perform(shared(settings()), settings(), stage, stopping=lifecycle.stopping, **ids)
    except TransientError as error:  # PostgreSQL is gone: recovery sends the stage again
        raise Ignore(str(error)) from error
    if found is not Found.DONE:
        raise Ignore(found.value)


@_task(name="atlas.explore")
def explore(run_id: str) -> None:
    """Read the source into the raw layer."""
    _perform(Stage.EXPLORE, run_id=run_id)


@_task(name="atlas.pii")
def pii(run_stream_id: int) -> None:
    """Find and mask personal data."""
    _perform(Stage.PII, run_stream_id=run_stream_id)


@_task(name="atlas.quality")
def quality(run_stream_id: int) -> None:
    """Check the quality and decide at the gate."""
    _perform(Stage.QUALITY, run_stream_id=run_stream_id)


@_task(name="atlas.chart")
def chart(run_stream_id: int) -> None:
    """Promote what is valid, masked."""
    _perform(Stage.CHART, run_stream_id=run_stream_id)


@_task(name="atlas.navigate")
def navigate(run_stream_id: int) -> None:
    """Write the history."""
    _perform(Stage.NAVIGATE, run_stream_id=run_stream_id)


@_task(name="atlas.lineage")
def lineage(run_stream_id: int) -> None:
    """Tell where the data came from, and tidy up."""
    _perform(Stage.LINEAGE, run_stream_id=run_stream_id)


@_task(name="atlas.scan")
def scan() -> None:
    """Scan or mask the part of a stream that is next."""
    from atlas.ledger.database import shared
    from atlas.sync.perform import perform_part

    try:
        perform_part(shared(settings()), settings(), stopping=lifecycle.stopping)
    except TransientError as error:  # PostgreSQL is gone: recovery sees to the part
        raise Ignore(str(error)) from error


@_task(name="atlas.operation")
def operation(operation_id: str) -> None:
    """Ask a connector, or install it, for somebody who polls."""
    from atlas.ledger.database import shared
    from atlas.sync import operate

    _attempt(
        operate.perform,
        shared(settings()),
        settings(),
        operation_id,
        lifecycle.stopping,
    )


@_tick(name="atlas.tick")
def tick() -> None:
    """Send what waits in the outbox, take up what lost its worker or its message, and request the
    syncs whose time has come."""
    from atlas.ledger.database import shared
    from atlas.sync import ticks

    _attempt(ticks.do_due, shared(settings()), settings())


@_tick(name="atlas.deliver")
def deliver() -> None:
    """Deliver lineage events."""
    from atlas.ledger.database import shared
    from atlas.sync import ticks

    _attempt(ticks.do, shared(settings()), settings(), "deliver")


@_tick(name="atlas.notify")
def notify() -> None:
    """Deliver what webhooks are told."""
    from atlas.ledger.database import shared
    from atlas.sync import ticks

    _attempt(ticks.do, shared(settings()), settings(), "notify")


@_tick(name=probe.TASK)
def answer_probe(question: str, node: str) -> None:
    """Show that this worker works."""
    _attempt(probe.answer, settings(), question, node)


def _attempt(work: Any, *args: Any) -> None:
    """What could not be done now is left to its next time."""
    try:
        work(*args)
    except AtlasError as error:
        log.warning("%s", error)
        raise Ignore(str(error)) from error
