"""Handing work to the workers: messages out of the outbox, a chain of tasks per stream."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import sqlalchemy as sa
from celery import Celery, chain
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from atlas.errors import AtlasError, TransientError
from atlas.ledger import outbox
from atlas.ledger.database import classified
from atlas.ledger.tables import stage_run
from atlas.model.stage import Stage, Status
from atlas.stages import ORDER
from atlas.sync.broker import app

log = logging.getLogger(__name__)


def task_name(stage: Stage) -> str:
    """Name of the Celery task that wraps ``stage``."""
    return f"atlas.{stage.value}"


def deliver(engine: sa.Engine, ids: list[int] | None = None) -> int:
    """Send what is due in the outbox (only ``ids``, if given); returns how many were sent.

    Raises:
        TransientError: the broker took none or not all of them; the rest stays for next time.
    """
    count = 0
    while True:
        # One a transaction: what the broker took stays taken when it refuses the next.
        with engine.begin() as conn:
            message = next(outbox.due(conn, limit=1, ids=ids), None)
            if message is None:
                return count
            _send(conn, message)
            outbox.sent(conn, message)
            count += 1


def try_deliver(engine: sa.Engine, ids: list[int]) -> None:
    """Send these messages now if that can be done; if not, the relay does it later.

    What made them necessary is committed: nothing that goes wrong here may make it look undone.
    """
    try:
        with classified():
            deliver(engine, ids)
    except AtlasError as error:
        log.warning("%s: the message waits in the outbox", error)
    except Exception as error:  # noqa: BLE001 - see above
        log.error("a message waits in the outbox: %s", type(error).__name__)


def _send(conn: sa.Connection, message: outbox.Message) -> None:
    application = app()
    try:
        if message.kind == "run":
            application.signature(task_name(Stage.EXPLORE), (message.ref,)).apply_async()
        else:
            remaining = _remaining(conn, int(message.ref))
            if remaining:
                _chain(application, int(message.ref), remaining).apply_async()
    except (KombuError, RedisError, OSError) as error:
        raise TransientError(
            f"Redis did not take a message ({type(error).__name__}): is it running, "
            "and is ATLAS_REDIS_URL right?"
        ) from error


def _chain(application: Celery, run_stream_id: int, stages: Iterable[Stage]) -> chain:
    # Immutable: no stage hands its result to the next, they meet in the ledger.
    return chain(
        *(
            application.signature(task_name(stage), (run_stream_id,), immutable=True)
            for stage in stages
        ),
        app=application,
    )


def _remaining(conn: sa.Connection, run_stream_id: int) -> list[Stage]:
    done = set(
        conn.execute(
            sa.select(stage_run.c.stage).where(
                stage_run.c.run_stream_id == run_stream_id,
                stage_run.c.status == Status.SUCCEEDED.value,
            )
        ).scalars()
    )
    return [stage for stage in ORDER[1:] if stage.value not in done]
