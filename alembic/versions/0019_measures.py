"""What is counted for monitoring: with the deed, and in totals.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("labels", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("value", DOUBLE_PRECISION, nullable=False),
        schema="pipeline",
        comment="counted with the deed, in its transaction; gone once it is in the totals",
    )
    op.create_table(
        "measurement_total",
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
        schema="pipeline",
        comment="all that was ever counted, by name and labels",
    )


def downgrade() -> None:
    op.drop_table("measurement_total", schema="pipeline")
    op.drop_table("measurement", schema="pipeline")
