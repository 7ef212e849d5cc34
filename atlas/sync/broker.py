"""The Celery application, shared by who sends messages and who works on them."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu.connection import Connection

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


@cache
def app() -> Celery:
    """The application with the settings of celeryconfig; the tasks themselves are in workers."""
    application = Celery("atlas", set_as_current=False, amqp=_Amqp)
    application.config_from_object("celeryconfig")
    return application
