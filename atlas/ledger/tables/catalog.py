"""What the catalog of datasets adds: what people say of them, and by what they are found."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

from atlas.ledger.tables.base import metadata, now, time

dataset_note = sa.Table(
    "dataset_note",
    metadata,
    sa.Column(
        "stream_table_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.stream_table.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column(
        "column_name",
        sa.Text,
        primary_key=True,
        server_default="",
        comment="'' for the dataset as a whole",
    ),
    sa.Column("description", sa.Text),
    sa.Column("owner", sa.Text),
    sa.Column("tags", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'::text[]")),
    sa.Column("actor", sa.Text, nullable=False, comment="who gave it its present form"),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.CheckConstraint("column_name = '' OR (owner IS NULL AND tags = '{}')", name="of_column"),
    comment="what people say of datasets and their columns; it wins over what the source says",
)


dataset_index = sa.Table(
    "dataset_index",
    metadata,
    sa.Column(
        "stream_table_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.stream_table.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("description", sa.Text, comment="as the source's schema has it"),
    sa.Column("search", TSVECTOR, nullable=False, server_default=sa.text("''::tsvector")),
    sa.Index("dataset_index_search", "search", postgresql_using="gin"),
    comment="what a dataset is found by: names, descriptions, owner, tags",
)
