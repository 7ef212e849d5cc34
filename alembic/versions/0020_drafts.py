"""Connections that somebody is putting together, step by step, in the browser.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TIMESTAMP, UUID

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TIME = TIMESTAMP(timezone=True)
_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "draft",
        sa.Column("id", UUID(as_uuid=False), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="id of the key or user it is of"),
        sa.Column("connection", sa.Text(), comment="which one is edited; NULL: a new one"),
        sa.Column("connector", sa.Text(), comment="NULL: the connection's source is a program"),
        sa.Column("config", BYTEA(), nullable=False, comment="encrypted JSON"),
        sa.Column("document", JSONB(), nullable=False, comment="the rest of it"),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("updated_at", _TIME, nullable=False, server_default=_NOW),
        sa.PrimaryKeyConstraint("id", name=op.f("draft_pkey")),
        schema="pipeline",
        comment="a connection that somebody is putting together, step by step",
    )
    op.create_index("draft_of", "draft", ["asked_by", "created_at"], schema="pipeline")


def downgrade() -> None:
    op.drop_table("draft", schema="pipeline")
