"""What runs measured, for later ones to be compared with, and what a check's failure did.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "column_metric",
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False, comment="'' for the rows"),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "run_stream_id", "column_name", "metric", name=op.f("column_metric_pkey")
        ),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("column_metric_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        schema="pipeline",
        comment="what the checks of a run measured of its columns: later runs are compared with it",
    )
    op.add_column(
        "check_result",
        sa.Column(
            "gate", sa.Text(), comment="what its failure does to rows; NULL: of an older run"
        ),
        schema="pipeline",
    )


def downgrade() -> None:
    op.drop_column("check_result", "gate", schema="pipeline")
    op.drop_table("column_metric", schema="pipeline")
