"""Webhooks: who is told of what happens, and how the telling went.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP, UUID

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SCHEMA = "pipeline"
_time = TIMESTAMP(timezone=True)
_now = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", ARRAY(sa.Text), nullable=False, comment="kinds that it is told of"),
        sa.Column("secret", BYTEA, nullable=False, comment="encrypted"),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("reason", sa.Text, comment="why Atlas disabled it; NULL: it did not"),
        sa.Column(
            "failed_attempts", sa.Integer, nullable=False, server_default="0", comment="in a row"
        ),
        sa.Column("failing_since", _time, comment="when the first of them was"),
        sa.Column("delivered_at", _time, comment="the last time that it took one"),
        sa.Column("next_attempt_at", _time, nullable=False, server_default=_now),
        sa.Column("lease_until", _time, comment="somebody is delivering to it"),
        sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("created_at", _time, nullable=False, server_default=_now),
        sa.Column("updated_at", _time, nullable=False, server_default=_now),
        schema=SCHEMA,
        comment="a receiver of events",
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column(
            "webhook_id",
            sa.BigInteger,
            sa.ForeignKey("pipeline.webhook.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "message_id", UUID(as_uuid=False), nullable=False, comment="the same at each attempt"
        ),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column(
            "about", sa.Text, comment="what is told once only; NULL: each time that it happens"
        ),
        sa.Column("payload", JSONB, nullable=False, comment="names, ids and counts; never a value"),
        sa.Column("created_at", _time, nullable=False, server_default=_now),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_attempt_at", _time, nullable=False, server_default=_now),
        sa.Column("status", sa.Text, nullable=False, server_default="waiting"),
        sa.Column("settled_at", _time, comment="when it was delivered or given up; NULL: it waits"),
        sa.Column(
            "log",
            JSONB,
            nullable=False,
            server_default=sa.text("'[]'::jsonb"),
            comment="of each attempt when, HTTP status, milliseconds and kind of error",
        ),
        sa.CheckConstraint("status IN ('waiting', 'delivered', 'given_up')", name="status"),
        sa.UniqueConstraint("webhook_id", "kind", "about"),
        schema=SCHEMA,
        comment="what a receiver is to be told, and how that went; settled ones for thirty days",
    )
    op.create_index(
        "webhook_delivery_waiting",
        "webhook_delivery",
        ["webhook_id", "next_attempt_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index(
        "webhook_delivery_of_webhook", "webhook_delivery", ["webhook_id", "id"], schema=SCHEMA
    )
    op.create_index("webhook_delivery_settled", "webhook_delivery", ["settled_at"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("webhook_delivery", schema=SCHEMA)
    op.drop_table("webhook", schema=SCHEMA)
