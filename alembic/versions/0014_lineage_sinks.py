"""Several sinks of lineage events, and which of them has which event.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TIME = TIMESTAMP(timezone=True)
_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "lineage_sink",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False, comment="where it is; nothing secret"),
        sa.Column("removed_at", _TIME, comment="since when no setting names it"),
        sa.Column("delivered_at", _TIME, comment="the last time that it took an event"),
        sa.Column(
            "failed_attempts",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="in a row, since it took one",
        ),
        sa.Column("next_attempt_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("error", sa.Text(), comment="why the last attempt to reach it failed"),
        sa.PrimaryKeyConstraint("name", name=op.f("lineage_sink_pkey")),
        schema="pipeline",
        comment="where lineage events go, and how that goes",
    )
    op.create_table(
        "lineage_delivery",
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("delivered_at", _TIME, comment="NULL: it was refused"),
        sa.Column("failed_attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_attempt_at", _TIME),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("event_id", "sink", name=op.f("lineage_delivery_pkey")),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["pipeline.lineage_event.id"],
            name=op.f("lineage_delivery_event_id_fkey"),
            ondelete="CASCADE",
        ),
        schema="pipeline",
        comment="which sink has, or has refused, which lineage event",
    )
    # What waits is tried at once, by whatever sinks there are then.
    for column in ("attempts", "next_attempt_at", "error"):
        op.drop_column("lineage_event", column, schema="pipeline")
    op.alter_column(
        "lineage_event",
        "delivered_at",
        comment="to all sinks that there were",
        schema="pipeline",
    )


def downgrade() -> None:
    op.alter_column("lineage_event", "delivered_at", comment=None, schema="pipeline")
    op.add_column(
        "lineage_event",
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        schema="pipeline",
    )
    op.add_column(
        "lineage_event",
        sa.Column("next_attempt_at", _TIME, nullable=False, server_default=_NOW),
        schema="pipeline",
    )
    op.add_column("lineage_event", sa.Column("error", sa.Text()), schema="pipeline")
    op.drop_table("lineage_delivery", schema="pipeline")
    op.drop_table("lineage_sink", schema="pipeline")
