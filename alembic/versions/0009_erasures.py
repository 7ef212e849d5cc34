"""Erasures of a person's data, and the records that must not come back.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _at() -> sa.Column[object]:
    return sa.Column(
        "at",
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
    )


def _stream() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False, server_default=""),
        sa.Column("stream", sa.Text(), nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column(
            "subjects",
            ARRAY(sa.Text()),
            nullable=False,
            comment="keyed hashes of the identifiers",
        ),
        sa.Column(
            "request",
            BYTEA(),
            comment="encrypted JSON: what is sought; gone when the erasure ends",
        ),
        _at(),
        sa.Column("finished_at", TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("erasure_pkey")),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (request IS NOT NULL)", name=op.f("erasure_wiped_check")
        ),
        schema="pipeline",
        comment="requests to erase a person's data",
    )
    op.create_index(
        "erasure_unfinished",
        "erasure",
        ["id"],
        schema="pipeline",
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "erasure_stream",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("erasure_id", sa.BigInteger(), nullable=False),
        *_stream(),
        sa.Column(
            "rows", JSONB(), comment="how many were erased, by layer; NULL: still to be done"
        ),
        sa.Column("done_at", TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("erasure_stream_pkey")),
        sa.ForeignKeyConstraint(
            ["erasure_id"], ["pipeline.erasure.id"], name=op.f("erasure_stream_erasure_id_fkey")
        ),
        sa.UniqueConstraint(
            "erasure_id",
            "connection",
            "namespace",
            "stream",
            name=op.f("erasure_stream_erasure_id_connection_namespace_stream_key"),
        ),
        sa.CheckConstraint(
            "(done_at IS NULL) = (rows IS NULL)", name=op.f("erasure_stream_done_check")
        ),
        schema="pipeline",
        comment="the streams in which an erasure has something to do, or had",
    )
    op.create_index(
        op.f("erasure_stream_erasure_id_ix"), "erasure_stream", ["erasure_id"], schema="pipeline"
    )
    op.create_table(
        "erased",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("erasure_id", sa.BigInteger(), nullable=False),
        *_stream(),
        sa.Column("row_hash", sa.Text(), nullable=False),
        sa.Column(
            "cursor_mark",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="hash of the place it was read from, where the row's hash leaves that out",
        ),
        sa.Column("key_mark", sa.Text(), comment="keyed hash of its primary key"),
        _at(),
        sa.PrimaryKeyConstraint("id", name=op.f("erased_pkey")),
        sa.ForeignKeyConstraint(
            ["erasure_id"], ["pipeline.erasure.id"], name=op.f("erased_erasure_id_fkey")
        ),
        sa.UniqueConstraint(
            "connection",
            "namespace",
            "stream",
            "row_hash",
            "cursor_mark",
            name=op.f("erased_connection_namespace_stream_row_hash_cursor_mark_key"),
        ),
        schema="pipeline",
        comment="records that must not come back as they were, as keyed hashes",
    )
    op.create_index(op.f("erased_erasure_id_ix"), "erased", ["erasure_id"], schema="pipeline")
    op.create_index(
        "erased_by_key",
        "erased",
        ["connection", "namespace", "stream", "key_mark"],
        schema="pipeline",
    )
    op.add_column(
        "run_stream",
        sa.Column(
            "rows_erased",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="rows read that were erased, or held back as such, before they came to chart",
        ),
        schema="pipeline",
    )


def downgrade() -> None:
    op.drop_column("run_stream", "rows_erased", schema="pipeline")
    op.drop_table("erased", schema="pipeline")
    op.drop_table("erasure_stream", schema="pipeline")
    op.drop_table("erasure", schema="pipeline")
