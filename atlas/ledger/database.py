"""Connections to PostgreSQL: how they are made, bounded, and how their errors are classified."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from atlas.errors import AtlasError, TerminalError, TransientError
from atlas.settings import Settings
from atlas.settings import database_url as resolve_url

OLDEST = 160000
"""Server version number of PostgreSQL 16, the oldest that has ``pg_input_is_valid``."""

_TRANSIENT_CLASSES = {
    "08",  # connection
    "40",  # serialization, deadlock
    "53",  # resources: disk full, too many connections
    "57",  # the operator or a timeout intervened
    "58",  # the system below the server
}
_TRANSIENT_CODES = {
    "55P03",  # lock not available within lock_timeout
    "25P03",  # idle-in-transaction timeout
}


def where(url: str) -> str:
    """``url`` without user, password and parameters: what an error may name."""
    parts = urlsplit(url)
    host = parts.hostname or "a local socket"
    return f"{host}:{parts.port}" if parts.port else host


def engine(settings: Settings, *, url: str | None = None, pool: int = 2) -> sa.Engine:
    """A pool of at most ``pool`` connections with the timeouts of the settings, in UTC.

    Raises:
        AtlasError: no database is known (nothing is connected to yet).
    """
    resolved = (url or resolve_url(settings)).replace("postgres://", "postgresql://", 1)
    statement = int(settings.statement_timeout * 1000)
    lock = int(settings.lock_timeout * 1000)
    # A worker that is frozen in a transaction must not hold its locks for ever.
    idle = int(max(settings.lease_seconds * 4, 60) * 1000)
    options = (
        f"-c statement_timeout={statement} -c lock_timeout={lock} "
        f"-c idle_in_transaction_session_timeout={idle} -c timezone=UTC"
    )
    return sa.create_engine(
        resolved,
        pool_size=pool,
        max_overflow=2,
        pool_pre_ping=True,
        pool_timeout=30,
        hide_parameters=True,
        connect_args={
            "options": options,
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "application_name": "atlas",
        },
    )


@functools.cache
def _shared(pid: int, settings: Settings) -> sa.Engine:
    return engine(settings)


def shared(settings: Settings) -> sa.Engine:
    """The engine of this process (a fork makes its own: connections must not be inherited)."""
    return _shared(os.getpid(), settings)


def classify(error: BaseException, url: str = "") -> AtlasError:
    """The error of the driver as one of Atlas's, without statement, parameters or values."""
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    code: str = getattr(original, "pgcode", None) or ""
    name = type(original).__name__
    if isinstance(original, PoolTimeout):
        return TransientError("all connections to PostgreSQL are in use; it is tried again")
    if isinstance(original, psycopg2.OperationalError) and not code:
        return TransientError(f"PostgreSQL at {where(url)} cannot be reached: {_reason(original)}")
    if code[:2] in _TRANSIENT_CLASSES or code in _TRANSIENT_CODES:
        return TransientError(f"PostgreSQL could not do it now ({name}, {code})")
    if code in ("42P01", "3F000"):
        return TerminalError(
            "the database lacks Atlas's tables: run `atlas migrate`, or start `atlas up`"
        )
    if isinstance(original, psycopg2.InterfaceError):
        return TransientError("the connection to PostgreSQL broke")
    return TerminalError(f"PostgreSQL refused a statement of Atlas ({name}, {code or 'no code'})")


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    for sign, meaning in (
        ("password authentication failed", "it refused the password in ATLAS_DATABASE_URL"),
        ("no password supplied", "it wants a password: put one into ATLAS_DATABASE_URL"),
        ("does not exist", "the user or database in ATLAS_DATABASE_URL does not exist there"),
        ("could not translate host name", "its host name in ATLAS_DATABASE_URL is unknown"),
        ("Connection refused", "nothing listens there: start it or correct ATLAS_DATABASE_URL"),
        ("No such file", "nothing listens there: start it with `atlas up`"),
        ("starting up", "it is starting up"),
        ("shutting down", "it is shutting down"),
        ("timeout", "it did not answer in time"),
    ):
        if sign in text:
            return meaning
    return "the connection failed"


@contextlib.contextmanager
def classified(url: str = "") -> Iterator[None]:
    """Errors of the driver that enter here leave as Atlas's own.

    Raises:
        TransientError: trying again can help. TerminalError: it cannot.
    """
    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise classify(error, url) from error


def cursor(conn: sa.Connection) -> Any:
    """A psycopg2 cursor inside the transaction of ``conn``, for the SQL of the data plane."""
    return conn.connection.cursor()


def round_trip(engine: sa.Engine) -> None:
    """Ask the database for nothing; raises when it does not answer."""
    with engine.connect() as conn:
        conn.execute(sa.text("SELECT 1"))
