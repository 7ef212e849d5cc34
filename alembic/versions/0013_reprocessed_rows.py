"""Rows of a quarantine that were taken through the stages again.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from alembic import op
from atlas.errors import UsageError

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reprocessed_row",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("stream_table_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", UUID(as_uuid=False), nullable=False),
        sa.Column(
            "of_id", sa.BigInteger(), nullable=False, comment="the raw row it was set aside as"
        ),
        sa.Column(
            "row_id", sa.BigInteger(), nullable=False, comment="the raw row that this run has"
        ),
        sa.Column(
            "place",
            sa.BigInteger(),
            nullable=False,
            comment="the raw row that the source sent: where it stands among other records of its "
            "key",
        ),
        sa.Column(
            "mended", ARRAY(sa.Text()), comment="properties that a person put right; no values"
        ),
        sa.Column("waived", ARRAY(sa.Text()), comment="checks that a person overrode for it"),
        sa.PrimaryKeyConstraint("id", name=op.f("reprocessed_row_pkey")),
        sa.ForeignKeyConstraint(
            ["stream_table_id"],
            ["pipeline.stream_table.id"],
            name=op.f("reprocessed_row_stream_table_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["pipeline.run.id"],
            name=op.f("reprocessed_row_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "stream_table_id", "row_id", name=op.f("reprocessed_row_stream_table_id_row_id_key")
        ),
        sa.UniqueConstraint("run_id", "of_id", name=op.f("reprocessed_row_run_id_of_id_key")),
        schema="pipeline",
        comment="rows of a quarantine that a run took through the stages again",
    )


def downgrade() -> None:
    # Without this table a mended row would pass for the newest of its key, and nobody would notice.
    there = op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM pipeline.reprocessed_row)"))
    if there:
        raise UsageError(
            "rows of a quarantine were reprocessed: the schema of before does not know where they "
            "stand among other records of their keys; stay at revision 0013 or later"
        )
    op.drop_table("reprocessed_row", schema="pipeline")
