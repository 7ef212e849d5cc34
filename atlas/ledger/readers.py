"""The role of those who read: ``atlas_reader`` sees chart and navigate, and nothing else.

It has no login: ``GRANT atlas_reader TO somebody`` lets a login of the server's own read. Roles
belong to the whole server, so databases of several Atlas share it; what it may read is each one's.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from psycopg2 import errorcodes
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

ROLE = "atlas_reader"

_GRANTS = """
    -- What is there, and (for tables that this role of Atlas's makes) what will be.
    GRANT USAGE ON SCHEMA chart, navigate TO atlas_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA chart, navigate TO atlas_reader;
    ALTER DEFAULT PRIVILEGES IN SCHEMA chart, navigate GRANT SELECT ON TABLES TO atlas_reader
"""


def ensure(conn: sa.Connection) -> bool:
    """Make the role, if it is not there, and let it read. Returns whether it may.

    Where Atlas's own role may not make roles, somebody else has to; the log says so.
    """
    if not exists(conn):
        try:
            with conn.begin_nested():
                conn.execute(sa.text("CREATE ROLE atlas_reader NOLOGIN"))
        except DBAPIError as error:
            code = getattr(error.orig, "pgcode", None)
            if code == errorcodes.INSUFFICIENT_PRIVILEGE:
                log.warning(
                    "role %s is not there and may not be made here: have `CREATE ROLE %s` said by "
                    "one who may, then run `atlas migrate` again",
                    ROLE,
                    ROLE,
                )
                return False
            # Another database's Atlas was quicker.
            if code not in (errorcodes.DUPLICATE_OBJECT, errorcodes.UNIQUE_VIOLATION):
                raise
    conn.execute(sa.text(_GRANTS))
    return True


def exists(conn: sa.Connection) -> bool:
    """Whether the role is there."""
    return bool(
        conn.execute(
            sa.text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"), {"role": ROLE}
        ).scalar()
    )
