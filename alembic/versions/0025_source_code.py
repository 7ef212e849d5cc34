"""Where the file that a connection was applied from stands in a repository.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "connection",
        sa.Column(
            "source_code",
            JSONB,
            comment="where the file that it was applied from stands in a repository; "
            "NULL: not known",
        ),
        schema="pipeline",
    )


def downgrade() -> None:
    op.drop_column("connection", "source_code", schema="pipeline")
