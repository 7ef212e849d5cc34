"""What changed at the sources, and whether it is accepted.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "connection",
        sa.Column(
            "accepts_changes",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="whether the next run takes its source as it is, whatever the policy",
        ),
        schema="pipeline",
    )
    op.create_table(
        "source_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False, server_default=""),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("property", sa.Text(), comment="NULL: the stream as a whole"),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("detail", JSONB(), nullable=False),
        sa.Column("run_id", UUID(as_uuid=False)),
        sa.Column(
            "at",
            TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("source_change_pkey")),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["pipeline.run.id"],
            name=op.f("source_change_run_id_fkey"),
            ondelete="SET NULL",
        ),
        schema="pipeline",
        comment="what a run found to be other at its source than before",
    )
    op.create_index(op.f("source_change_run_id_ix"), "source_change", ["run_id"], schema="pipeline")
    op.create_index(
        "source_change_of_connection", "source_change", ["connection", "id"], schema="pipeline"
    )


def downgrade() -> None:
    op.drop_table("source_change", schema="pipeline")
    op.drop_column("connection", "accepts_changes", schema="pipeline")
