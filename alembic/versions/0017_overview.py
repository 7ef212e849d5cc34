"""What an overview asks is answered from few rows: totals of a run, and where to find runs.

Also the workers that there are, and when each showed last that it lives.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TOTALS = ("explore", "promoted", "quarantined")


def upgrade() -> None:
    for name in _TOTALS:
        op.add_column(
            "run",
            sa.Column(
                f"rows_{name}",
                sa.BigInteger,
                nullable=False,
                server_default="0",
                comment="of its streams together, as of its end",
            ),
            schema="pipeline",
        )
    op.execute(
        """
        UPDATE pipeline.run r
           SET rows_explore = s.explore, rows_promoted = s.promoted,
               rows_quarantined = s.quarantined
          FROM (SELECT run_id, sum(rows_explore) AS explore, sum(rows_promoted) AS promoted,
                       sum(rows_quarantined) AS quarantined
                  FROM pipeline.run_stream GROUP BY run_id) s
         WHERE s.run_id = r.id AND r.finished_at IS NOT NULL
        """
    )
    op.create_index("run_of_connection", "run", ["connection", "seq"], schema="pipeline")
    op.create_index(
        "run_succeeded",
        "run",
        ["connection", "seq"],
        schema="pipeline",
        postgresql_where=sa.text("status = 'succeeded'"),
    )
    op.create_index("run_by_status", "run", ["status", "seq"], schema="pipeline")
    op.create_index("run_by_end", "run", ["finished_at"], schema="pipeline")
    op.create_table(
        "worker",
        sa.Column("name", sa.Text, primary_key=True, comment="its Celery node"),
        sa.Column("queues", ARRAY(sa.Text), nullable=False),
        sa.Column(
            "beat_at",
            TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        schema="pipeline",
        comment="workers, and when a process of each said last that it lives",
    )


def downgrade() -> None:
    op.drop_table("worker", schema="pipeline")
    for index in ("run_by_end", "run_by_status", "run_succeeded", "run_of_connection"):
        op.drop_index(index, table_name="run", schema="pipeline")
    for name in reversed(_TOTALS):
        op.drop_column("run", f"rows_{name}", schema="pipeline")
