"""What people say of columns, and how verdicts change from scan to scan.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _at() -> sa.Column[object]:
    return sa.Column(
        "at",
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
    )


def upgrade() -> None:
    op.create_table(
        "pii_override",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False, server_default=""),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, server_default=""),
        sa.Column("says", sa.Text(), nullable=False),
        sa.Column("entity_type", sa.Text()),
        sa.Column("operator", sa.Text()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        _at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pii_override_pkey")),
        sa.CheckConstraint(
            "says IN ('is', 'is_not', 'operator', 'withdrawn')",
            name=op.f("pii_override_says_check"),
        ),
        sa.CheckConstraint(
            "(says = 'operator') = (operator IS NOT NULL)"
            " AND (says <> 'is' OR entity_type IS NOT NULL)",
            name=op.f("pii_override_said_check"),
        ),
        schema="pipeline",
        comment="what people said of columns; only ever added to, the last word on a place holds",
    )
    op.create_index(
        "pii_override_of_stream",
        "pii_override",
        ["connection", "namespace", "stream", "id"],
        schema="pipeline",
    )
    op.create_table(
        "pii_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, server_default=""),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("detail", JSONB(), nullable=False),
        _at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pii_change_pkey")),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("pii_change_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "change IN ('found', 'gone', 'changed')", name=op.f("pii_change_change_check")
        ),
        schema="pipeline",
        comment="where the verdicts of a scan are other than those of the scan before",
    )
    op.create_index(
        op.f("pii_change_run_stream_id_ix"), "pii_change", ["run_stream_id"], schema="pipeline"
    )


def downgrade() -> None:
    op.drop_table("pii_change", schema="pipeline")
    op.drop_table("pii_override", schema="pipeline")
