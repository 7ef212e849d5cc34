"""Receivers by mail and in Slack, told in groups; since when a connection fails.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP, UUID

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

SCHEMA = "pipeline"
_NEW = "status IN ('waiting', 'held', 'grouped', 'delivered', 'given_up')"
_OLD = "status IN ('waiting', 'delivered', 'given_up')"


def upgrade() -> None:
    op.create_table(
        "outage",
        sa.Column("connection_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column(
            "since",
            TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.Column("run_id", UUID(as_uuid=False), nullable=False, comment="the first that failed"),
        schema=SCHEMA,
        comment="connections whose last run that read its source failed, or was blocked",
    )
    # As it is: the last end of each connection that counts, and when this began.
    op.execute(
        """
        INSERT INTO pipeline.outage (connection_id, since, run_id)
        SELECT DISTINCT ON (r.connection_id) r.connection_id, r.finished_at, r.id
          FROM pipeline.run AS r
          LEFT JOIN (
               SELECT connection_id, max(seq) AS seq FROM pipeline.run
                WHERE status = 'succeeded' AND trigger NOT IN ('remask', 'reprocess')
                GROUP BY connection_id) AS good ON good.connection_id = r.connection_id
         WHERE r.connection_id IS NOT NULL AND r.finished_at IS NOT NULL
           AND r.status IN ('failed', 'blocked') AND r.trigger NOT IN ('remask', 'reprocess')
           AND (good.seq IS NULL OR r.seq > good.seq)
         ORDER BY r.connection_id, r.seq
        """
    )
    for column in (
        sa.Column("kind", sa.Text, nullable=False, server_default="webhook"),
        sa.Column("addresses", ARRAY(sa.Text), comment="of mail"),
        sa.Column(
            "group_seconds",
            sa.Integer,
            nullable=False,
            server_default="60",
            comment="what happens within them is one message, by mail and in Slack",
        ),
        sa.Column("quiet", JSONB, comment="hours in which what happens is held: from, to, zone"),
    ):
        op.add_column("webhook", column, schema=SCHEMA)
    op.alter_column("webhook", "url", existing_type=sa.Text, nullable=True, schema=SCHEMA)
    op.alter_column("webhook", "secret", existing_type=BYTEA, nullable=True, schema=SCHEMA)
    op.create_check_constraint(
        op.f("webhook_kind_check"),
        "webhook",
        "CASE kind WHEN 'email' THEN addresses IS NOT NULL"
        " WHEN 'webhook' THEN url IS NOT NULL AND secret IS NOT NULL"
        " WHEN 'slack' THEN url IS NOT NULL AND secret IS NOT NULL ELSE false END",
        schema=SCHEMA,
    )
    for column in (
        sa.Column("recipient", sa.Text, comment="the address that a mail goes to"),
        sa.Column("group_id", UUID(as_uuid=False), comment="what is told in one message"),
    ):
        op.add_column("webhook_delivery", column, schema=SCHEMA)
    _status(_NEW)


def downgrade() -> None:
    # Refused before it comes to this, unless data may be lost.
    op.execute("DELETE FROM pipeline.webhook WHERE kind <> 'webhook'")
    op.execute("DELETE FROM pipeline.webhook_delivery WHERE status IN ('held', 'grouped')")
    _status(_OLD)
    for name in ("group_id", "recipient"):
        op.drop_column("webhook_delivery", name, schema=SCHEMA)
    op.drop_constraint(op.f("webhook_kind_check"), "webhook", schema=SCHEMA)
    op.alter_column("webhook", "secret", existing_type=BYTEA, nullable=False, schema=SCHEMA)
    op.alter_column("webhook", "url", existing_type=sa.Text, nullable=False, schema=SCHEMA)
    for name in ("quiet", "group_seconds", "addresses", "kind"):
        op.drop_column("webhook", name, schema=SCHEMA)
    op.drop_table("outage", schema=SCHEMA)


def _status(words: str) -> None:
    name = op.f("webhook_delivery_status_check")
    op.drop_constraint(name, "webhook_delivery", schema=SCHEMA)
    op.create_check_constraint(name, "webhook_delivery", words, schema=SCHEMA)
