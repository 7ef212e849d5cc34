"""A schedule knows for which time it fires next, and when it fired last.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_TIME = TIMESTAMP(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("due_for", _TIME, comment="the time for which it fires then, without jitter"),
        sa.Column("fired_at", _TIME, comment="when its schedule fired last"),
        sa.Column("fired_run", UUID(as_uuid=False), comment="the run that this made"),
        sa.Column("skipped_at", _TIME, comment="when it passed over a time last"),
    ):
        op.add_column("connection", column, schema="pipeline")
    op.execute("UPDATE pipeline.connection SET due_for = due_at")
    op.create_index("connection_fired", "connection", ["fired_at"], schema="pipeline")


def downgrade() -> None:
    op.drop_index("connection_fired", table_name="connection", schema="pipeline")
    for name in ("skipped_at", "fired_run", "fired_at", "due_for"):
        op.drop_column("connection", name, schema="pipeline")
