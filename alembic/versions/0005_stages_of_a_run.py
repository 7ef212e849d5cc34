"""An index for what belongs to a run, which goes with it.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("stage_run_run_id_ix", "stage_run", ["run_id"], schema="pipeline")


def downgrade() -> None:
    op.drop_index("stage_run_run_id_ix", "stage_run", schema="pipeline")
