"""The runs of a stream are found without reading those of all others.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "run_stream_stream", "run_stream", ["stream", "namespace", "id"], schema="pipeline"
    )


def downgrade() -> None:
    op.drop_index("run_stream_stream", table_name="run_stream", schema="pipeline")
