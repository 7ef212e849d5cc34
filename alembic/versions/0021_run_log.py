"""What connectors say and what stages do, line by line, with the run.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "run",
        sa.Column(
            "log_lines",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="number of the last line of its log",
        ),
        schema="pipeline",
    )
    op.create_table(
        "run_log",
        sa.Column(
            "run_id",
            UUID(as_uuid=False),
            sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column(
            "line",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="counted by run.log_lines: in the order of their commits",
        ),
        sa.Column(
            "at",
            TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False, comment="who says so"),
        sa.Column("stage", sa.Text, comment="NULL: the run as a whole"),
        sa.Column("run_stream_id", sa.BigInteger, comment="NULL: no stream's"),
        sa.Column("attempt", sa.Integer),
        sa.Column("worker", sa.Text, comment="host and pid of who worked"),
        sa.Column("message", sa.Text, nullable=False, comment="one line, redacted"),
        sa.CheckConstraint(
            "level IN ('debug', 'info', 'warning', 'error')", name=op.f("run_log_level_check")
        ),
        sa.CheckConstraint("origin IN ('atlas', 'connector')", name=op.f("run_log_origin_check")),
        schema="pipeline",
        comment="the log of each run; bounded, and gone with it",
    )


def downgrade() -> None:
    op.drop_table("run_log", schema="pipeline")
    op.drop_column("run", "log_lines", schema="pipeline")
