"""What has been counted for monitoring: what is new, and the totals."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB

from atlas.ledger.tables.base import identity, metadata

measurement = sa.Table(
    "measurement",
    metadata,
    identity(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("labels", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
    sa.Column("value", DOUBLE_PRECISION, nullable=False),
    comment="counted with the deed, in its transaction; gone once it is in the totals",
)


measurement_total = sa.Table(
    "measurement_total",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("labels", JSONB, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("sum", DOUBLE_PRECISION, nullable=False),
    sa.Column(
        "buckets",
        ARRAY(sa.BigInteger),
        nullable=False,
        comment="how many were at most each of the bounds of atlas.ledger.measures",
    ),
    comment="all that was ever counted, by name and labels",
)
