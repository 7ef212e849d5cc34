"""The Celery application, shared by who sends messages and who works on them."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import before_task_publish
from kombu.connection import Connection

from atlas.model.stage import Stage

SENT_AT = "atlas_sent_at"
"""Header of each message: when it was sent, in seconds of Unix time."""

_LONGEST_WAIT = 3.0


class _Connection(Connection):
    """A connection that looks often whether its broker is back.

    kombu waits two seconds longer after each try, up to thirty, and Celery does not pass on
    another bound: work would stand still for that long after the end of an outage.
    """

    def _ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["interval_max"] = _LONGEST_WAIT
        return super()._ensure_connection(*args, **kwargs)  # type: ignore[no-untyped-call]


class _Amqp(AMQP):  # type: ignore[misc]
    Connection = _Connection


def _done_is_done() -> None:
    """Let a message that was worked on free its place, whether or not Redis takes that it was.

    Where Redis did not answer for a moment, kombu logs that a message could not be acknowledged and
    has it in hand for ever. A worker that lost as many acknowledgements as it has processes would
    take no message any more.
    """
    from kombu.transport import redis

    class QoS(redis.QoS):
        def ack(self, delivery_tag: str) -> None:
            try:
                super().ack(delivery_tag)  # type: ignore[no-untyped-call]
            finally:
                self._quick_ack(delivery_tag)

        def reject(self, delivery_tag: str, requeue: bool = False) -> None:
            try:
                super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]
            finally:
                self._quick_ack(delivery_tag)

    redis.Channel.QoS = QoS


def task_name(stage: Stage) -> str:
    """Name of the task that wraps ``stage``."""
    return f"atlas.{stage.value}"


@before_task_publish.connect  # type: ignore[untyped-decorator]
def _stamp(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """So that it can be told how long what is in a queue waits."""
    if headers is not None:
        headers[SENT_AT] = time.time()


@cache
def app() -> Celery:
    """The application with the settings of celeryconfig; the tasks themselves are in workers."""
    _done_is_done()
    application = Celery("atlas", set_as_current=False, amqp=_Amqp)
    application.config_from_object("celeryconfig")
    return application
