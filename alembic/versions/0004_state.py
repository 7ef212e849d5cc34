"""State that people change: who, when, made with which cursor; configurations that sources send.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BASIS = "cursor and key with which each stream in it was read; NULL: nobody knows"


def upgrade() -> None:
    for table in ("connector_state", "state_history"):
        op.add_column(
            table, sa.Column("basis", postgresql.JSONB(), comment=_BASIS), schema="pipeline"
        )
    op.add_column(
        "state_history",
        sa.Column(
            "action",
            sa.Text(),
            server_default="run",
            nullable=False,
            comment="run, reset, import, restore, connector",
        ),
        schema="pipeline",
    )
    op.add_column(
        "state_history",
        sa.Column("actor", sa.Text(), comment="the person who did it; NULL: the run did"),
        schema="pipeline",
    )
    op.create_table_comment(
        "state_history",
        "states as runs and people left them; a NULL state: none",
        existing_comment="the last state of each run and stream",
        schema="pipeline",
    )
    op.add_column(
        "connection",
        sa.Column(
            "declared",
            postgresql.BYTEA(),
            comment="encrypted JSON: the config as its user wrote it, where the source has sent "
            "another since",
        ),
        schema="pipeline",
    )
    op.add_column(
        "run_stream",
        sa.Column(
            "rows_estimate", sa.BigInteger(), comment="rows that its source expects; NULL: not said"
        ),
        schema="pipeline",
    )


def downgrade() -> None:
    op.drop_column("run_stream", "rows_estimate", schema="pipeline")
    op.drop_column("connection", "declared", schema="pipeline")
    op.create_table_comment(
        "state_history",
        "the last state of each run and stream",
        existing_comment="states as runs and people left them; a NULL state: none",
        schema="pipeline",
    )
    op.drop_column("state_history", "actor", schema="pipeline")
    op.drop_column("state_history", "action", schema="pipeline")
    for table in ("state_history", "connector_state"):
        op.drop_column(table, "basis", schema="pipeline")
