"""Named policies, the policy that a run goes by, who did what with personal data, and by what
the identity is known.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _time(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        TIMESTAMP(timezone=True),
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
    )


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _time("at"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="what it was done to; never a value"
        ),
        sa.Column("detail", JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_pkey")),
        schema="pipeline",
        comment="who did what with personal data; a trigger refuses all but new rows",
    )
    op.execute(
        """
        CREATE FUNCTION pipeline.audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'pipeline.audit only grows: % is refused', TG_OP
                  USING ERRCODE = 'insufficient_privilege';
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_only_grows
        BEFORE UPDATE OR DELETE OR TRUNCATE ON pipeline.audit
        FOR EACH STATEMENT EXECUTE FUNCTION pipeline.audit_only_grows()
        """
    )
    op.create_table(
        "pii_policy",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("entities", JSONB(), nullable=False, comment="operator by entity type"),
        sa.Column("columns", JSONB(), nullable=False, comment="operator by column"),
        sa.Column("actor", sa.Text(), nullable=False, comment="who gave it its present form"),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pii_policy_pkey")),
        sa.UniqueConstraint("name", name=op.f("pii_policy_name_key")),
        sa.CheckConstraint("name ~ '^[a-z][a-z0-9_-]{0,39}$'", name=op.f("pii_policy_name_check")),
        schema="pipeline",
        comment="named policies, each over the built-in one; every change of them stands in audit",
    )
    op.create_table(
        "key_mark",
        sa.Column("name", sa.Text(), nullable=False, comment="identity"),
        sa.Column(
            "mark", sa.Text(), nullable=False, comment="keyed hash; it tells nothing of the key"
        ),
        _time("created_at"),
        sa.PrimaryKeyConstraint("name", name=op.f("key_mark_pkey")),
        schema="pipeline",
        comment="by which a key is known that must never be another one",
    )
    op.add_column(
        "run",
        sa.Column(
            "policy", JSONB(), comment="the pii policy it goes by: as it was when it was made"
        ),
        schema="pipeline",
    )


def downgrade() -> None:
    op.drop_column("run", "policy", schema="pipeline")
    op.drop_table("key_mark", schema="pipeline")
    op.drop_table("pii_policy", schema="pipeline")
    op.drop_table("audit", schema="pipeline")
    op.execute("DROP FUNCTION pipeline.audit_only_grows()")
