"""Handing work to the workers: messages out of the outbox, a chain of tasks per stream."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from celery import Celery, chain
from kombu.connection import Connection
from kombu.exceptions import ChannelError, KombuError
from redis.exceptions import RedisError

from atlas import traces
from atlas.errors import AtlasError, TransientError
from atlas.ledger import outbox, parts
from atlas.ledger.database import classified
from atlas.ledger.tables import stage_run
from atlas.model.stage import Stage, Status
from atlas.stages import ORDER
from atlas.sync.broker import app, task_name

log = logging.getLogger(__name__)


_MOST_LOOKS = 1_000
# Redis takes the smallest first: a stream's first look, and all of a small one, goes before the
# many parts of large ones.
_LATER = 6
_PUT_OFF = 60.0
_BUSY = 10.0
"""Seconds to wait for one of this process's connections to the broker."""


def waiting() -> tuple[list[Stage], int]:
    """What the broker has: the stages for which no message waits, and how many looks for parts do.

    If it does not answer, no stage and one look: nothing is to be sent again then.
    """
    queues = app().conf.task_routes
    counts: dict[str, int] = {}
    try:
        # One that is kept: this is asked every few seconds, and a new one costs more than that.
        with app().pool.acquire(block=True, timeout=_BUSY) as connection:
            for stage in ORDER:
                queue = queues[task_name(stage)]["queue"]
                if queue not in counts:
                    counts[queue] = _length(connection, queue)
            looks = _looks(connection)
    except (KombuError, RedisError, OSError) as error:
        log.warning("Redis does not answer (%s)", type(error).__name__)
        return [], 1
    return [stage for stage in ORDER if not counts[queues[task_name(stage)]["queue"]]], looks


def _length(connection: Connection, queue: str) -> int:
    try:
        declared = connection.default_channel.queue_declare(  # type: ignore[no-untyped-call]
            queue, passive=True
        )
        return int(declared.message_count)
    except ChannelError:
        return 0  # an empty queue is none, to Redis


def _looks(connection: Connection) -> int:
    """Looks that wait: of a queue, Redis has a list a priority."""
    channel: Any = connection.default_channel
    queue = app().conf.task_routes["atlas.scan"]["queue"]
    return int(channel.client.llen(channel._q_for_pri(queue, _LATER)))


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
            try:
                _send(conn, message)
            except AtlasError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's
                log.error("message %s %s: %s", message.kind, message.ref, type(error).__name__)
                outbox.put_off(conn, message, _PUT_OFF)
                continue
            outbox.sent(conn, message)
            count += 1


def start(engine: sa.Engine, run_ids: Iterable[str]) -> None:
    """Send new runs, which are committed; those that the broker does not take wait in the outbox.

    Whoever dies before this leaves a stage that nobody takes up, which recovery sends again. So a
    request writes no message that it would delete at once.
    """
    for run_id in run_ids:
        traces.join(run_id)
        try:
            _send_run(run_id)
        except Exception as error:  # noqa: BLE001 - the run is committed: it must not look undone
            log.warning("run %s waits in the outbox: %s", run_id, type(error).__name__)
            with contextlib.suppress(AtlasError), classified(), engine.begin() as conn:
                outbox.put(conn, "run", run_id)


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


def _send_run(run_id: str) -> None:
    args = (run_id,)
    app().send_task(
        task_name(Stage.EXPLORE),
        args,
        # A request waits for this. Celery would look through the arguments for what is long or goes
        # round in circles, and see that the queue is declared, which who takes from it does.
        argsrepr=repr(args),
        kwargsrepr="{}",
        declare=(),
    )


def _send(conn: sa.Connection, message: outbox.Message) -> None:
    application = app()
    try:
        if message.kind == "run":
            _send_run(message.ref)
        elif message.kind == "scan":
            # One says no more than "look": whoever gets it takes the part that is next then.
            with application.connection_for_write() as connection:
                there = _looks(connection)
            for _ in range(min(parts.claimable(conn) - there, _MOST_LOOKS)):
                application.signature("atlas.scan").apply_async(priority=_LATER)
        elif message.kind == "operation":
            application.send_task("atlas.operation", (message.ref,))
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
