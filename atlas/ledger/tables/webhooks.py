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
    sa.Column("kind", sa.Text, nullable=False, server_default="webhook"),
    # In Slack the URL is the secret: here stands its host alone.
    sa.Column("url", sa.Text),
    sa.Column("addresses", ARRAY(sa.Text), comment="of mail"),
    sa.Column("events", ARRAY(sa.Text), nullable=False, comment="kinds that it is told of"),
    sa.Column("secret", BYTEA, comment="encrypted", info={"encrypted": True}),
    sa.Column(
        "group_seconds",
        sa.Integer,
        nullable=False,
        server_default="60",
        comment="what happens within them is one message, by mail and in Slack",
    ),
    sa.Column("quiet", JSONB, comment="hours in which what happens is held: from, to, zone"),
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
    sa.CheckConstraint(
        "CASE kind WHEN 'email' THEN addresses IS NOT NULL"
        " WHEN 'webhook' THEN url IS NOT NULL AND secret IS NOT NULL"
        " WHEN 'slack' THEN url IS NOT NULL AND secret IS NOT NULL ELSE false END",
        name="kind",
    ),
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
    sa.Column("recipient", sa.Text, comment="the address that a mail goes to"),
    sa.Column("group_id", UUID(as_uuid=False), comment="what is told in one message"),
    # Held: until its group is told; grouped: in a message, of the same group, that tells it.
    sa.CheckConstraint(
        "status IN ('waiting', 'held', 'grouped', 'delivered', 'given_up')", name="status"
    ),
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


outage = sa.Table(
    "outage",
    metadata,
    # No foreign key: who changes a connection, and waits for a run's end, holds its row.
    sa.Column("connection_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("since", time, nullable=False, server_default=now),
    sa.Column("run_id", UUID(as_uuid=False), nullable=False, comment="the first that failed"),
    comment="connections whose last run that read its source failed, or was blocked",
)
