"""What people say of datasets, and what datasets are found by.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, TSVECTOR

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset_note",
        sa.Column("stream_table_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "column_name",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="'' for the dataset as a whole",
        ),
        sa.Column("description", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("tags", ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'::text[]")),
        sa.Column("actor", sa.Text(), nullable=False, comment="who gave it its present form"),
        sa.Column(
            "at",
            TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.PrimaryKeyConstraint("stream_table_id", "column_name", name=op.f("dataset_note_pkey")),
        sa.ForeignKeyConstraint(
            ["stream_table_id"],
            ["pipeline.stream_table.id"],
            name=op.f("dataset_note_stream_table_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "column_name = '' OR (owner IS NULL AND tags = '{}')",
            name=op.f("dataset_note_of_column_check"),
        ),
        schema="pipeline",
        comment="what people say of datasets and their columns; it wins over what the source says",
    )
    op.create_table(
        "dataset_index",
        sa.Column("stream_table_id", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), comment="as the source's schema has it"),
        sa.Column("search", TSVECTOR(), nullable=False, server_default=sa.text("''::tsvector")),
        sa.PrimaryKeyConstraint("stream_table_id", name=op.f("dataset_index_pkey")),
        sa.ForeignKeyConstraint(
            ["stream_table_id"],
            ["pipeline.stream_table.id"],
            name=op.f("dataset_index_stream_table_id_fkey"),
            ondelete="CASCADE",
        ),
        schema="pipeline",
        comment="what a dataset is found by: names, descriptions, owner, tags",
    )
    op.create_index(
        "dataset_index_search",
        "dataset_index",
        ["search"],
        schema="pipeline",
        postgresql_using="gin",
    )
    # By their names for now; what their schemas say of them comes with the next run of each.
    op.execute(
        """
        INSERT INTO pipeline.dataset_index (stream_table_id, search)
        SELECT s.id,
               setweight(to_tsvector('simple', left(s.table_name || ' ' || s.stream, 10000)), 'A')
               || setweight(to_tsvector('english', left(s.table_name || ' ' || s.stream, 10000)),
                            'A')
               || setweight(to_tsvector('simple', left(coalesce(c.names, ''), 100000)), 'C')
          FROM pipeline.stream_table s
          LEFT JOIN LATERAL (
               SELECT string_agg(column_name, ' ') AS names
                 FROM pipeline.stream_column c
                WHERE (c.connection, c.namespace, c.stream)
                      = (s.connection, s.namespace, s.stream)) c ON true
        """
    )


def downgrade() -> None:
    op.drop_table("dataset_index", schema="pipeline")
    op.drop_table("dataset_note", schema="pipeline")
