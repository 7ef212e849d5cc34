"""The connection to the database: how it is made, what it may do, what its errors mean."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import extensions

from atlas.connectors.sources.speak import FailureType, SourceError

_CONNECT_SECONDS = 30
_FILES = {
    "ca_certificate": "sslrootcert",
    "client_certificate": "sslcert",
    "client_key": "sslkey",
}
# How values are written as text, whatever the server, the database or the role say; and no limit
# but that on waiting for a lock that somebody holds who alters the table.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
    "jit": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "300000",
}
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58", "72")
_CONFIG_CLASSES = ("28", "3D", "3F", "42")
_TRANSIENT_CODES = ("25P03", "25P04")
_READ_ONLY = "25006"
_REFUSED = (
    "authentication failed",
    "does not exist",
    "no password supplied",
    "pg_hba.conf",
    "could not translate host name",
    "SSL",
    "certificate",
    "permission denied",
    "is not permitted to log in",
    "invalid",
    "No such file or directory",
)
_FOR_NOW = ("Temporary failure", "starting up", "shutting down", "timeout", "server closed")


def connect(config: dict[str, Any]) -> extensions.connection:
    """Connect, for reading only.

    Raises:
        SourceError: it cannot be connected to.
    """
    ssl = config.get("ssl_mode") or {}
    given: dict[str, Any] = {
        "host": config["host"],
        "port": config.get("port", 5432),
        "dbname": config["database"],
        "user": config["username"],
        "password": config.get("password") or None,
        "sslmode": ssl.get("mode", "prefer"),
        "sslpassword": ssl.get("client_key_password"),
        "connect_timeout": _CONNECT_SECONDS,
        "keepalives_idle": 60,
        "keepalives_interval": 10,
        "keepalives_count": 6,
        "application_name": "atlas source-postgres",
        "client_encoding": "UTF8",
    }
    with tempfile.TemporaryDirectory() as directory:
        for name, option in _FILES.items():
            if ssl.get(name):
                given[option] = _file(Path(directory, name), ssl[name])
        try:
            connection: extensions.connection = psycopg2.connect(
                **{name: value for name, value in given.items() if value is not None}
            )
        except psycopg2.Error as error:
            raise _cannot_connect(error) from error
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    return connection


def _file(path: Path, content: str) -> str:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a descriptor, no path
        file.write(content)
    return str(path)


@contextmanager
def snapshot(connection: extensions.connection) -> Iterator[extensions.cursor]:
    """A transaction that sees the database as it is now, and cannot write."""
    with connection, connection.cursor() as cur:
        cur.execute(
            "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[])"
            " AS given(name, value) JOIN pg_catalog.pg_settings USING (name)",
            (list(_SETTINGS), list(_SETTINGS.values())),
        )
        yield cur


def explain(error: psycopg2.Error, what: str) -> SourceError:
    """``error``, which came while ``what`` was read, as one line and a kind.

    Only messages that name objects are passed on: others may quote a value of a row.
    """
    code = error.pgcode
    if code is None:
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            return SourceError(f"{what}: the connection was lost", "transient_error")
        return SourceError(
            f"{what}: the database driver failed: {type(error).__name__}", "system_error"
        )
    if code == _READ_ONLY:
        return SourceError(f"{what}: reading it would write, which this source never does")
    kind: FailureType = "system_error"
    if code[:2] in _CONFIG_CLASSES:
        kind = "config_error"
    elif code[:2] in _TRANSIENT_CLASSES or code in _TRANSIENT_CODES:
        kind = "transient_error"
    said = error.diag.message_primary if kind != "system_error" else None
    return SourceError(
        f"{what}: {said or type(error).__name__} (SQLSTATE {code})",
        kind,
    )


def _cannot_connect(error: psycopg2.Error) -> SourceError:
    text = " ".join(str(error).split())
    kind: FailureType = "transient_error"
    if any(word in text for word in _REFUSED) and not any(word in text for word in _FOR_NOW):
        kind = "config_error"
    return SourceError(f"cannot connect: {text}", kind)
