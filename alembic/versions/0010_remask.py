"""Runs that make the masked layers anew, and which key tokens come from.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op
from atlas.errors import UsageError

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "run_stream",
        sa.Column(
            "remasked",
            JSONB(),
            comment="rows by layer that were masked anew, and those without a raw row; NULL: a "
            "sync",
        ),
        schema="pipeline",
    )
    op.add_column(
        "run_stream",
        sa.Column(
            "token_key",
            sa.Integer(),
            comment="number of the key that it makes tokens with; NULL: that of its tables",
        ),
        schema="pipeline",
    )
    op.add_column(
        "stream_table",
        sa.Column(
            "token_key",
            sa.Integer(),
            nullable=False,
            server_default="1",
            comment="number of the key that the tokens in its tables come from",
        ),
        schema="pipeline",
    )


def downgrade() -> None:
    # Before this revision all tokens came from the first key: another's would no longer equal
    # those that are made from then on, and nobody would notice.
    other = op.get_bind().scalar(
        sa.text(
            "SELECT EXISTS (SELECT FROM pipeline.stream_table WHERE token_key <> 1)"
            " OR EXISTS (SELECT FROM pipeline.run_stream WHERE token_key <> 1)"
            " OR EXISTS (SELECT FROM pipeline.key_mark"
            " WHERE name LIKE 'tokens-%' AND name <> 'tokens-1')"
        )
    )
    if other:
        raise UsageError(
            "the key of tokens was replaced (`atlas keys rotate-tokens`): the schema of before "
            "knows only the first one; stay at revision 0010 or later"
        )
    op.drop_column("stream_table", "token_key", schema="pipeline")
    op.drop_column("run_stream", "token_key", schema="pipeline")
    op.drop_column("run_stream", "remasked", schema="pipeline")
