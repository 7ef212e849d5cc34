"""What all tables of schema ``pipeline`` share."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

SCHEMA = "pipeline"

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    },
)

time = TIMESTAMP(timezone=True)
now = sa.text("clock_timestamp()")
ACTIVE = "status IN ('queued', 'running')"
STATUS = "status IN ('queued', 'running', 'succeeded', 'failed', 'blocked', 'cancelled')"


def identity() -> sa.Column[int]:
    """A key that the database gives out."""
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)
