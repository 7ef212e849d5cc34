"""Dropping all tables of a connection, and the mappings that lead to them."""

from __future__ import annotations

import psycopg2.errors
from psycopg2 import extensions
from psycopg2.sql import SQL, Identifier

from atlas.errors import Conflict


def drop(cur: extensions.cursor, connection: str) -> list[str]:
    """Drop what the streams of ``connection`` became, and forget the names; returns the tables,
    as ``schema.table``. Nobody may be writing them.

    Raises:
        Conflict: something else in the database depends on one of them.
    """
    cur.execute(
        "DELETE FROM pipeline.stream_table WHERE connection = %s"
        " RETURNING table_name, raw_name, quarantine_name",
        (connection,),
    )
    wanted = sorted(
        (schema, name)
        for table, raw, quarantine in cur.fetchall()
        for schema, name in (
            ("explore", raw),
            ("chart", table),
            ("chart", quarantine),
            ("navigate", table),
        )
    )
    cur.execute("DELETE FROM pipeline.stream_column WHERE connection = %s", (connection,))
    dropped = []
    for schema, name in wanted:
        cur.execute("SELECT to_regclass(format('%%I.%%I', %s, %s)) IS NULL", (schema, name))
        row = cur.fetchone()
        if row is None or row[0]:
            continue
        try:
            cur.execute(SQL("DROP TABLE {}").format(Identifier(schema, name)))
        except psycopg2.errors.DependentObjectsStillExist as error:
            raise Conflict(
                f"table {schema}.{name} cannot be dropped: something in the database, such as a "
                "view, depends on it; drop that first"
            ) from error
        dropped.append(f"{schema}.{name}")
    return dropped
