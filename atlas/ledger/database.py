"""Connections to PostgreSQL: how they are made, bounded, and how their errors are classified."""

from __future__ import annotations

import contextlib
import functools
import os
import select
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import psycopg2
import sqlalchemy as sa
from psycopg2.sql import Composable
from sqlalchemy.exc import DBAPIError, DisconnectionError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from atlas import traces
from atlas.errors import AtlasError, TerminalError, TransientError
from atlas.ledger import traced
from atlas.settings import Settings
from atlas.settings import database_url as resolve_url

OLDEST = 150000
"""Server version number of PostgreSQL 15, the oldest that Atlas is run on."""

OVERFLOW = 2
"""Connections that a pool opens beyond its size when it is pressed."""

_TRANSIENT_CLASSES = {
    "08",  # connection
    "40",  # serialization, deadlock
    "53",  # resources: disk full, too many connections
    "57",  # the operator or a timeout intervened
    "58",  # the system below the server
}
# Not the statement's doing: the server is away, full, or only lets read.
_OUTAGE_CODES = {"53100", "53300", "57P01", "57P02", "57P03", "25006", "58030"}
_MEANINGS = {
    "25006": "it only lets read now (a standby since a failover?)",
    "25P03": "a transaction waited too long for its process",
    "25P04": "a transaction took longer than its transaction_timeout",
    "40001": "transactions met",
    "40P01": "transactions waited for each other",
    "53100": "its disk is full: free space there",
    "53200": "it is out of memory",
    "53300": "all its connections are in use: raise its max_connections, or run fewer processes",
    "53400": "a statement needs more temporary space than its temp_file_limit",
    "55P03": "a lock was not had within ATLAS_LOCK_TIMEOUT",
    "57014": "a statement was cancelled, or took longer than ATLAS_STATEMENT_TIMEOUT",
    "57P01": "it ended the connection",
    "57P02": "it crashed and recovers",
    "57P03": "it takes no connections now",
    "57P05": "it ended a connection that it held to be idle",
    "58030": "it cannot read or write its disk",
}
"""What may pass by itself or by an operator's hand, in words; each is transient."""


def where(url: str) -> str:
    """``url`` without user, password and parameters: what an error may name."""
    parts = urlsplit(url)
    host = parts.hostname or "a local socket"
    return f"{host}:{parts.port}" if parts.port else host


_process = "atlas"


def name_process(name: str) -> None:
    """Have PostgreSQL show the sessions that this process opens from now on as ``atlas <name>``."""
    global _process
    _process = f"atlas {name}"


def limits(
    *, name: str, statement: float, lock: float, idle: float, options: str = ""
) -> dict[str, Any]:
    """What every session of Atlas is opened with, as parameters of libpq.

    Given with the connection itself, so that no statement runs without them.

    Args:
        name: application_name; no secret, for every role of the database may read it.
        statement: longest time of a statement in seconds.
        lock: longest wait for a lock in seconds.
        idle: longest wait of a transaction for its client in seconds.
        options: command-line options for the server that the user's URL has.
    """
    settings = {
        "statement_timeout": int(statement * 1000),
        "lock_timeout": int(lock * 1000),
        "idle_in_transaction_session_timeout": int(idle * 1000),
        # The server notices a client that died in the midst of a long statement, which would
        # hold its locks until the statement's end,
        "client_connection_check_interval": 1000,
        # and one whose host or network is gone: what the keepalives below are to the client.
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "timezone": "UTC",
    }
    ours = " ".join(f"-c {key}={value}" for key, value in settings.items())
    return {
        "options": f"{options} {ours}".strip(),
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "application_name": name,
    }


def engine(
    settings: Settings, *, url: str | None = None, pool: int = 2, name: str | None = None
) -> sa.Engine:
    """A pool of ``pool`` connections, two more when it is pressed, with the limits of the settings.

    Args:
        url: the database; None: that of the settings.
        name: what PostgreSQL calls its sessions, after ``atlas``; None: the process's name.

    Raises:
        AtlasError: no database is known (nothing is connected to yet).
    """
    resolved = sa.make_url(
        (url or resolve_url(settings)).replace("postgres://", "postgresql://", 1)
    )
    given = resolved.query.get("options", ())
    made = sa.create_engine(
        resolved,
        pool_size=pool,
        max_overflow=OVERFLOW,
        pool_timeout=30,
        hide_parameters=True,
        connect_args=limits(
            name=f"atlas {name}" if name else _process,
            statement=settings.statement_timeout,
            lock=settings.lock_timeout,
            # A worker that is frozen in a transaction must not hold its locks for ever.
            idle=max(settings.lease_seconds * 4, 60),
            options=given if isinstance(given, str) else " ".join(given),
        )
        | ({"cursor_factory": traced.Cursor} if traces.on() else {}),
    )
    if traces.on():
        traced.watch(made)
    sa.event.listen(made, "checkout", _still_open)
    return made


def _still_open(connection: Any, *_: Any) -> None:
    """Instead of a round trip before each transaction: an idle connection has nothing to be read
    but its end. One that is cut without a word fails at its first statement, as a ping would."""
    waiting = select.poll()
    if not connection.closed:
        waiting.register(connection.fileno(), select.POLLIN)
    if connection.closed or waiting.poll(0):
        raise DisconnectionError


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
    server = f"PostgreSQL at {where(url)}" if url else "PostgreSQL"
    if isinstance(original, PoolTimeout):
        return TransientError("all connections to PostgreSQL are in use; it is tried again")
    if isinstance(original, psycopg2.OperationalError) and not code:
        return TransientError(f"{server} cannot be reached: {_reason(original)}", outage=True)
    outage = code[:2] == "08" or code in _OUTAGE_CODES
    if code in _MEANINGS:
        return TransientError(f"{server}: {_MEANINGS[code]} ({name}, {code})", outage=outage)
    if code[:2] in _TRANSIENT_CLASSES:
        return TransientError(f"{server} could not do it now ({name}, {code})", outage=outage)
    if code[:2] == "XX":
        # Its internal errors: two changes of a catalog row that met pass, a damaged page does not.
        return TransientError(f"{server} failed ({name}, {code}): see its log", max_attempts=2)
    if code in ("42P01", "3F000"):
        return TerminalError(
            "the database lacks Atlas's tables: run `atlas migrate`, or start `atlas up`"
        )
    if not code and (
        # PendingRollbackError: an earlier statement broke the connection, and that was passed over.
        isinstance(original, psycopg2.InterfaceError | PendingRollbackError)
        # What the driver says when the connection ends within a COPY: of no class of its own.
        or type(original) is psycopg2.DatabaseError
    ):
        return TransientError("the connection to PostgreSQL broke", outage=True)
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


class Recording(traced.Cursor):
    """A cursor that remembers the composed statements it executed, without the values bound to
    them. Of the layers' own, these hold names, run ids and times; no value of a row."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.statements: list[str] = []

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
        """Execute ``query``, and remember it."""
        if isinstance(query, Composable):
            self.statements.append(query.as_string(self))
        super().execute(query, vars)


def recording(conn: sa.Connection) -> Recording:
    """As :func:`cursor`; what it executes can be told."""
    return cast(Recording, conn.connection.cursor(cursor_factory=Recording))


def round_trip(engine: sa.Engine) -> None:
    """Ask the database for nothing; raises when it does not answer."""
    with engine.connect() as conn:
        conn.execute(sa.text("SELECT 1"))
