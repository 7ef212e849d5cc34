"""Log lines: for people, or one JSON object each, with the ids of what they are about.

Whoever begins work says what it is about (:func:`about`); each line that is logged meanwhile by the
same thread, or by one that was started with its context, has it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

_about: ContextVar[Mapping[str, object] | None] = ContextVar("about", default=None)


@contextlib.contextmanager
def about(**ids: object) -> Iterator[None]:
    """What is logged within the block is about these: names and ids, never a value of a row."""
    token = _about.set({**_now(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def note(**ids: object) -> None:
    """What is logged from now on, to the end of the block of :func:`about`, is about these too;
    outside of one nothing is, for nobody would take it back."""
    if _about.get() is not None:
        _about.set({**_now(), **ids})


def begin(**ids: object) -> None:
    """What this thread logs from now on is about these, until :func:`forget`: for those whom
    somebody else calls at the beginning and the end."""
    _about.set(ids)


def forget() -> None:
    """What this thread logs from now on is about nothing."""
    _about.set(None)


def _now() -> Mapping[str, object]:
    return _about.get() or {}


def formatter(kind: str, text: str, **always: object) -> logging.Formatter:
    """What writes lines of ``kind``: ``text``, in that format, or ``json``.

    Args:
        always: what each line of this process has.
    """
    return _Json(always) if kind == "json" else _Text(text)


class _Text(logging.Formatter):
    """The line, and behind it what it is about."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        line = super().formatMessage(record)
        ids = [f"{name}={value}" for name, value in _now().items()]
        return f"{line} [{' '.join(ids)}]" if ids else line


class _Json(logging.Formatter):
    """One object a line; a traceback is in it."""

    def __init__(self, always: Mapping[str, object]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **self._always,
            **_now(),
        }
        request = getattr(record, "request_id", "-")  # as atlas.web.answers puts it there
        if request != "-":
            told["request"] = request
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = record.stack_info
        return json.dumps(told, default=str)
