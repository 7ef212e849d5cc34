"""Scan parts, attempts by cause, retries by users, ticks that anyone may do.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column(
        "run",
        sa.Column(
            "retries",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="how often a user had it resumed after it had ended",
        ),
        schema="pipeline",
    )
    op.add_column(
        "stage_run",
        sa.Column(
            "counts_from",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="attempts up to this fence no longer count: they got on, or a user retried",
        ),
        schema="pipeline",
    )
    op.add_column(
        "stage_run",
        sa.Column(
            "parked",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="running without a holder, while its parts are worked on",
        ),
        schema="pipeline",
    )
    op.add_column(
        "stage_run",
        sa.Column("parts_left", sa.Integer(), comment="parts that a parked stage waits for"),
        schema="pipeline",
    )
    op.alter_column(
        "attempt",
        "outcome",
        existing_type=sa.Text(),
        comment="succeeded, failed, blocked, cancelled, retry, lost, handed_back",
        existing_comment="succeeded, failed, blocked, retry, lost",
        schema="pipeline",
    )
    op.add_column(
        "attempt",
        sa.Column(
            "cause",
            sa.Text(),
            comment="of a retry: the kind of error, whose attempts are capped",
        ),
        schema="pipeline",
    )
    op.alter_column(
        "outbox",
        "kind",
        existing_type=sa.Text(),
        existing_nullable=False,
        comment="run, stream or scan",
        existing_comment="run or stream",
        schema="pipeline",
    )
    op.create_table(
        "scan_part",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "run_id",
            sa.UUID(as_uuid=False),
            nullable=False,
            comment="the run that read the rows",
        ),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="to_study", nullable=False),
        sa.Column(
            "evidence",
            postgresql.JSONB(),
            comment="what the study counted; never a value",
        ),
        sa.Column("studied_by", sa.Text(), comment="a holder that remembers what it found"),
        sa.Column("reserved_until", _TIME, comment="until then only that one is to mask it"),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("lease_until", _TIME),
        sa.Column("next_attempt_at", _TIME),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), comment="of the last failure"),
        sa.CheckConstraint(
            "status IN ('to_study', 'studied', 'to_mask', 'masked')",
            name=op.f("scan_part_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("scan_part_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("scan_part_pkey")),
        sa.UniqueConstraint(
            "run_stream_id", "position", name=op.f("scan_part_run_stream_id_position_key")
        ),
        schema="pipeline",
        comment="a range of a stream's rows that one worker scans at a time",
    )
    op.create_index(
        "scan_part_waiting",
        "scan_part",
        ["status"],
        schema="pipeline",
        postgresql_where=sa.text("status IN ('to_study', 'to_mask')"),
    )
    op.create_table(
        "tick",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("tick_pkey")),
        schema="pipeline",
        comment="when each periodic piece of work was done last, whoever did it",
    )


def downgrade() -> None:
    op.drop_table("tick", schema="pipeline")
    op.drop_table("scan_part", schema="pipeline")
    op.alter_column(
        "outbox",
        "kind",
        existing_type=sa.Text(),
        existing_nullable=False,
        comment="run or stream",
        existing_comment="run, stream or scan",
        schema="pipeline",
    )
    op.drop_column("attempt", "cause", schema="pipeline")
    op.alter_column(
        "attempt",
        "outcome",
        existing_type=sa.Text(),
        comment="succeeded, failed, blocked, retry, lost",
        existing_comment="succeeded, failed, blocked, cancelled, retry, lost, handed_back",
        schema="pipeline",
    )
    op.drop_column("stage_run", "parts_left", schema="pipeline")
    op.drop_column("stage_run", "parked", schema="pipeline")
    op.drop_column("stage_run", "counts_from", schema="pipeline")
    op.drop_column("run", "retries", schema="pipeline")
