"""The Celery application, shared by who sends messages and who works on them."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import before_task_publish
from kombu.connection import Connection, ConnectionPool, PooledConnection

from atlas.model.stage import Stage

SENT_AT = "atlas_sent_at"
"""Header of each message: when it was sent, in seconds of Unix time."""

_LONGEST_WAIT = 3.0


class _Ours:
    """What connections of ours do otherwise than kombu's: they go by our own transport, and look
    often whether their broker is back.

    kombu waits two seconds longer after each try, up to thirty, and Celery does not pass on
    another bound: work would stand still for that long after the end of an outage.
    """

    def get_transport_cls(self) -> Any:
        return _transport()

    def _ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["interval_max"] = _LONGEST_WAIT
        return super()._ensure_connection(*args, **kwargs)  # type: ignore[misc]


class _Connection(_Ours, Connection):
    def Pool(self, limit: int | None = None, **kwargs: Any) -> ConnectionPool:  # noqa: N802
        return _Pool(self, limit, **kwargs)  # type: ignore[no-untyped-call]


class _Pooled(_Ours, PooledConnection):
    pass


class _Pool(ConnectionPool):
    def new(self) -> Connection:
        return _Pooled(self, **dict(self.connection._info(resolve=False)))  # type: ignore[no-untyped-call]


class _Amqp(AMQP):  # type: ignore[misc]
    Connection = _Connection


@cache
def _transport() -> Any:
    """kombu's transport by Redis, with what it does not do by itself."""
    # Slow to import, for those who send nothing.
    from kombu.transport import redis

    class Hands(redis.QoS):
        """Lets a message that was worked on free its place, whether or not Redis takes that it was.

        Where Redis did not answer for a moment, kombu logs that a message could not be acknowledged
        and has it in hand for ever. A worker that lost as many acknowledgements as it has processes
        would take no message any more.
        """

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

    class Line(redis.Channel):
        """Keeps its client: to make one costs more than to send a message with it."""

        QoS = Hands
        _kept: Any = None

        def _create_client(self, asynchronous: bool = False) -> Any:
            if asynchronous:
                return super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
            # Of the pool that there is now: a channel that lost its broker makes itself another.
            if self._kept is None or self._kept.connection_pool is not self.pool:
                self._kept = super()._create_client()  # type: ignore[no-untyped-call]
            return self._kept

    class Transport(redis.Transport):
        Channel = Line

    return Transport


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
    application = Celery("atlas", set_as_current=False, amqp=_Amqp)
    application.config_from_object("celeryconfig")
    return application
