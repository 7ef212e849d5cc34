"""Operations to poll for, and slots for secret keys.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "operation",
        sa.Column("id", postgresql.UUID(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("connector", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), comment="the version asked for; NULL: the catalog's"),
        sa.Column(
            "config",
            postgresql.BYTEA(),
            comment="encrypted JSON; gone when the operation ends",
        ),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="id of the API key"),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("lease_until", _TIME),
        sa.Column("dispatched_at", _TIME, comment="when its message was sent last"),
        sa.Column("created_at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("result", postgresql.JSON()),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint(
            "kind IN ('spec', 'check', 'discover', 'install')", name=op.f("operation_kind_check")
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed')",
            name=op.f("operation_status_check"),
        ),
        sa.CheckConstraint(
            "finished_at IS NULL OR config IS NULL", name=op.f("operation_wiped_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("operation_pkey")),
        schema="pipeline",
        comment="a spec, check, discover or install that somebody polls for",
    )
    op.create_index(
        "operation_unfinished",
        "operation",
        ["created_at"],
        schema="pipeline",
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "secret_slot",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False, comment="which secret key opens it"),
        sa.Column(
            "sealed",
            postgresql.BYTEA(),
            nullable=False,
            comment="the keys at work, under that secret key",
        ),
        sa.Column("created_at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("secret_slot_pkey")),
        sa.UniqueConstraint("key_id", name=op.f("secret_slot_key_id_key")),
        schema="pipeline",
        comment="the keys at work, once for each secret key that opens them",
    )
    _comments("run, stream, scan or operation", "id of the run, the run_stream or the operation")


def downgrade() -> None:
    _comments("run, stream or scan", "id of the run or of the run_stream")
    op.drop_table("secret_slot", schema="pipeline")
    op.drop_table("operation", schema="pipeline")


def _comments(kind: str, ref: str) -> None:
    for column, comment in (("kind", kind), ("ref", ref)):
        op.alter_column(
            "outbox",
            column,
            existing_type=sa.Text(),
            existing_nullable=False,
            comment=comment,
            schema="pipeline",
        )
