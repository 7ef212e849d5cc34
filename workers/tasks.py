"""The tasks: one a stage, and the ticks of beat."""

from __future__ import annotations

import logging
from typing import Any

from celery.exceptions import Ignore

from atlas.errors import AtlasError, TransientError
from atlas.ledger.claims import Found
from atlas.ledger.database import classified, shared
from atlas.model.stage import Stage
from atlas.settings import settings
from atlas.sync.broker import app
from atlas.sync.delivery import deliver_events
from atlas.sync.dispatch import deliver
from atlas.sync.perform import perform
from atlas.sync.recovery import recover
from atlas.sync.request import fire

log = logging.getLogger(__name__)
_task = app().task


def _perform(stage: Stage, **ids: Any) -> None:
    """Do the stage; end the chain here unless what follows may go on."""
    try:
        found = perform(shared(settings()), settings(), stage, **ids)
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


@_task(name="atlas.relay")
def relay() -> None:
    """Send what waits in the outbox."""
    _tick(deliver, shared(settings()))


@_task(name="atlas.recover")
def recover_lost() -> None:
    """Take up what lost its worker or its message."""
    _tick(recover, shared(settings()), settings())


@_task(name="atlas.deliver")
def deliver_lineage() -> None:
    """Deliver lineage events."""
    _tick(deliver_events, shared(settings()), settings())


@_task(name="atlas.fire")
def fire_schedules() -> None:
    """Request the syncs whose time has come."""
    _tick(fire, shared(settings()))


def _tick(work: Any, *args: Any) -> None:
    """A periodic task that could not do its work now leaves it to its next tick."""
    try:
        with classified(shared(settings()).url.render_as_string()):
            work(*args)
    except AtlasError as error:
        log.warning("%s", error)
        raise Ignore(str(error)) from error
