"""Who may use the HTTP interface, what was asked under an idempotency key, and what was done with
personal data."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, now, time

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("hash", BYTEA, nullable=False, unique=True, comment="SHA-256 of the key"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("expires_at", time),
    sa.Column("revoked_at", time),
    sa.CheckConstraint("role IN ('viewer', 'operator', 'privacy', 'admin')", name="role"),
)


idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column(
        "api_key_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.api_key.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("body_hash", BYTEA, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("response", JSONB, nullable=False),
    sa.Column("created_at", time, nullable=False, server_default=now),
)


audit = sa.Table(
    "audit",
    metadata,
    identity(),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, comment="what it was done to; never a value"),
    sa.Column("detail", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
    comment="who did what with personal data; a trigger refuses all but new rows",
)
