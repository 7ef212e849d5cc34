"""The cursor that a scan's texts run by, and what may be told of the errors that they meet."""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions

_QUERY_CANCELED = "57014"
_NOT_ONE_QUERY = "42P11"
# A file that is not there, and more temporary files than the server allows one session: of classes
# that mean a server in trouble (58, 53), but what the query itself asked for.
_ASKED_FOR = ("58P01", "53400")


class OneQuery(extensions.cursor):
    """A cursor for checks: each text is one query. Of several, one could end the transaction that
    can only read and begin another, or run a program beside the database."""

    PREPARE = (
        "CREATE FUNCTION pg_temp._atlas_one_query(text) RETURNS void LANGUAGE plpgsql STABLE AS"
        " 'DECLARE one refcursor; BEGIN OPEN one FOR EXECUTE $1; CLOSE one; END'"
    )

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
        """Execute ``query``, once the server has read it as one query."""
        super().execute("SELECT pg_temp._atlas_one_query(%s)", (query,))
        try:
            super().execute(query, vars)
        except psycopg2.Error as error:
            error.met_rows = True  # type: ignore[attr-defined]
            raise


def met(error: BaseException) -> str:
    """What happened, without what it happened to: a server's message quotes the values it met,
    but for those about names and syntax (class 42), which quote the check; but for those again
    that come as it runs: what a row holds may be taken for a name or for a text with a syntax."""
    code = getattr(error, "pgcode", None)
    if code is None:
        return type(error).__name__
    if code == _NOT_ONE_QUERY:
        return "it has to be one query that reads, not several statements"
    if code.startswith("42") and not hasattr(error, "met_rows"):
        return " ".join(str(error.diag.message_primary).split())  # type: ignore[attr-defined]
    return f"{type(error).__name__}, SQLSTATE {code}"


def canceled(error: BaseException) -> bool:
    return getattr(error, "pgcode", None) == _QUERY_CANCELED


def transient(error: BaseException, connection: Any) -> bool:
    """Whether the database, not the check, is the reason."""
    if connection.closed or isinstance(error, psycopg2.InterfaceError):
        return True
    if not isinstance(error, psycopg2.OperationalError) or canceled(error):
        return False
    # Deadlocks and lost serialisations (40), a server that is full (53), going or gone (57, 08), a
    # disk that fails (58), a table that is locked.
    code = error.pgcode
    if code in _ASKED_FOR:
        return False
    return code is None or code[:2] in ("08", "40", "53", "57", "58") or code == "55P03"
