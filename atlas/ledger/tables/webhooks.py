"""Who is told of what happens, and how the telling went."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, now, time

webhook = sa.Table(
    "webhook",
    metadata,
    identity(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", ARRAY(sa.Text), nullable=False, comment="kinds that it is told of"),
    sa.Column("secret", BYTEA, nullable=False, comment="encrypted", info={"encrypted": True}),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("reason", sa.Text, comment="why Atlas disabled it; NULL: it did not"),
    sa.Column(
        "failed_attempts", sa.Integer, nullable=False, server_default="0", comment="in a row"
    ),
    sa.Column("failing_since", time, comment="when the first of them was"),
    sa.Column("delivered_at", time, comment="the last time that it took one"),
    sa.Column("next_attempt_at", time, nullable=False, server_default=now),
    sa.Column("lease_until", time, comment="somebody is delivering to it"),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("updated_at", time, nullable=False, server_default=now),
    comment="a receiver of events",
)


webhook_delivery = sa.Table(
    "webhook_delivery",
    metadata,
    identity(),
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
    sa.Column("about", sa.Text, comment="what is told once only; NULL: each time that it happens"),
    sa.Column("payload", JSONB, nullable=False, comment="names, ids and counts; never a value"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_attempt_at", time, nullable=False, server_default=now),
    sa.Column("status", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("settled_at", time, comment="when it was delivered or given up; NULL: it waits"),
    sa.Column(
        "log",
        JSONB,
        nullable=False,
        server_default=sa.text("'[]'::jsonb"),
        comment="of each attempt when, HTTP status, milliseconds and kind of error",
    ),
    sa.CheckConstraint("status IN ('waiting', 'delivered', 'given_up')", name="status"),
    sa.UniqueConstraint("webhook_id", "kind", "about"),
    sa.Index(
        "webhook_delivery_waiting",
        "webhook_id",
        "next_attempt_at",
        postgresql_where=sa.text("settled_at IS NULL"),
    ),
    sa.Index("webhook_delivery_of_webhook", "webhook_id", "id"),
    sa.Index("webhook_delivery_settled", "settled_at"),
    comment="what a receiver is to be told, and how that went; settled ones for thirty days",
)
