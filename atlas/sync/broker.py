"""The Celery application, shared by who sends messages and who works on them."""

from __future__ import annotations

from functools import cache

from celery import Celery


@cache
def app() -> Celery:
    """The application with the settings of celeryconfig; the tasks themselves are in workers."""
    application = Celery("atlas", set_as_current=False)
    application.config_from_object("celeryconfig")
    return application
