"""Whether a text is a value of a type, asked within a statement and without raising.

PostgreSQL has a function for that since 16. On 15, `atlas migrate` makes one of the same answers,
which costs a subtransaction a value: slower, and as right.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from psycopg2 import extensions
from psycopg2.sql import Composable

NATIVE = 160000
"""Server version number of PostgreSQL 16, the first that has ``pg_input_is_valid``."""

# What the types' own input functions say no with: data that do not fit, or are too large. All else,
# a cancelled statement above all, is no answer and goes on as the error that it is.
_FUNCTION = """
    CREATE OR REPLACE FUNCTION pipeline.input_is_valid(value text, kind text) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT AS $$
    DECLARE
        a numeric; b date; c timestamptz; d timetz; e timestamp; f time; g jsonb; h bigint;
        i boolean;
    BEGIN
        CASE kind
            WHEN 'numeric' THEN a := value;
            WHEN 'date' THEN b := value;
            WHEN 'timestamptz', 'timestamp with time zone' THEN c := value;
            WHEN 'timetz', 'time with time zone' THEN d := value;
            WHEN 'timestamp without time zone' THEN e := value;
            WHEN 'time without time zone' THEN f := value;
            WHEN 'jsonb' THEN g := value;
            WHEN 'bigint' THEN h := value;
            WHEN 'boolean' THEN i := value;
            WHEN 'text' THEN NULL;
        END CASE;
        RETURN true;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN false;
    END $$
"""


class _Valid(Composable):
    """The function's name at the server that a statement is for: what takes (text, type's name)."""

    def __init__(self) -> None:
        super().__init__(None)

    def as_string(self, context: Any) -> str:
        """The name, as the server of this connection or cursor knows it."""
        conn = context if isinstance(context, extensions.connection) else context.connection
        return "pg_input_is_valid" if conn.server_version >= NATIVE else "pipeline.input_is_valid"


VALID = _Valid()


def ensure(conn: sa.Connection, version: int) -> None:
    """Make the function where the server, of that version number, has none of its own."""
    if version < NATIVE:
        make(conn)


def make(conn: sa.Connection) -> None:
    """Make the function, or replace it by this version's."""
    conn.execute(sa.text(_FUNCTION))
