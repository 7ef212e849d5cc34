"""The web process's own pool to PostgreSQL: a connection a thread, and short patience."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from flask import current_app

from atlas.ledger import database
from atlas.settings import Settings

THREADS = 8
"""Requests that one web process answers at once; each uses at most one connection at a time."""

PATIENCE = 8.0
"""Seconds after which no other column of a table is looked at: somebody waits."""

# Somebody waits at the other end: better to say soon that it cannot be done now.
_STATEMENT_TIMEOUT = 10.0
_LOCK_TIMEOUT = 5.0


@functools.cache
def _engine(pid: int, settings: Settings) -> sa.Engine:
    made = database.engine(
        replace(
            settings,
            statement_timeout=min(settings.statement_timeout, _STATEMENT_TIMEOUT),
            lock_timeout=min(settings.lock_timeout, _LOCK_TIMEOUT),
        ),
        pool=THREADS,
        name="web",
    )
    # Its library takes a while to import; gunicorn's hook has done it by now.
    from atlas.web import metrics

    metrics.watch_pool(made, THREADS + database.OVERFLOW)
    return made


def settings() -> Settings:
    """The settings of the application that answers this request."""
    value: Settings = current_app.config["ATLAS_SETTINGS"]
    return value


def engine() -> sa.Engine:
    """The pool, made at its first use in this process (a fork must not inherit connections).

    Raises:
        AtlasError: no database is known.
    """
    return _engine(os.getpid(), settings())


@functools.cache
def _url(pool: sa.Engine) -> str:
    return pool.url.render_as_string(hide_password=True)


@contextlib.contextmanager
def transaction() -> Iterator[sa.Connection]:
    """A transaction that commits at the end of the block.

    Raises:
        TransientError: PostgreSQL cannot do it now. TerminalError: it refused.
    """
    pool = engine()
    with database.classified(_url(pool)), pool.begin() as conn:
        yield conn


@contextlib.contextmanager
def single() -> Iterator[sa.Connection]:
    """A connection on which each statement is a transaction of its own: one round trip, not three.

    Raises:
        TransientError: PostgreSQL cannot do it now. TerminalError: it refused.
    """
    pool = engine()
    with database.classified(_url(pool)), pool.connect() as conn:
        driver: Any = conn.connection.dbapi_connection
        # The driver's own switch, which asks the server nothing; SQLAlchemy's option would set the
        # session's isolation level, and set it back.
        driver.autocommit = True
        try:
            yield conn
        finally:
            if not driver.closed:
                driver.autocommit = False
