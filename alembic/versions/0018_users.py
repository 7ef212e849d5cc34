"""People who log in: accounts, their sessions, links that let somebody in once, and how often a
password was tried. Answers to requests that may be sent twice belong to keys and people alike.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, TIMESTAMP, UUID

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_NOW = sa.text("clock_timestamp()")


def _time(name: str, *, filled: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        TIMESTAMP(timezone=True),
        nullable=not filled,
        server_default=_NOW if filled else None,
    )


def _account(*, nullable: bool = False, table: str) -> tuple[sa.Column[object], sa.Constraint]:
    return sa.Column(
        "account_id",
        UUID(as_uuid=False),
        nullable=nullable,
        comment="whose password it sets; NULL: it makes the first account" if nullable else None,
    ), sa.ForeignKeyConstraint(
        ["account_id"],
        ["pipeline.account.id"],
        name=op.f(f"{table}_account_id_fkey"),
        ondelete="CASCADE",
    )


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", UUID(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), comment="argon2id; NULL: it cannot log in with one"),
        sa.Column("issuer", sa.Text(), comment="of OpenID Connect, where the login comes from"),
        sa.Column("subject", sa.Text(), comment="what the issuer calls it"),
        _time("created_at", filled=True),
        _time("password_at"),
        _time("last_login_at"),
        _time("disabled_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("account_pkey")),
        sa.UniqueConstraint("name", name=op.f("account_name_key")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("account_issuer_subject_key")),
        sa.CheckConstraint(
            "role IN ('viewer', 'operator', 'privacy', 'admin')", name=op.f("account_role_check")
        ),
        sa.CheckConstraint(
            "(issuer IS NULL) = (subject IS NULL)", name=op.f("account_login_check")
        ),
        schema="pipeline",
        comment="people who log in",
    )
    op.create_table(
        "session",
        sa.Column("id", UUID(as_uuid=False), nullable=False),
        *_account(table="session"),
        sa.Column("hash", BYTEA(), nullable=False, comment="SHA-256 of the cookie"),
        sa.Column("address", sa.Text(), comment="where it was begun from"),
        sa.Column("agent", sa.Text(), comment="the browser, as it names itself"),
        _time("created_at", filled=True),
        _time("seen_at", filled=True),
        sa.Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("session_pkey")),
        sa.UniqueConstraint("hash", name=op.f("session_hash_key")),
        schema="pipeline",
        comment="browsers that are logged in",
    )
    op.create_index(op.f("session_account_id_ix"), "session", ["account_id"], schema="pipeline")
    op.create_table(
        "login_link",
        sa.Column("hash", BYTEA(), nullable=False, comment="SHA-256 of what stands in the link"),
        *_account(nullable=True, table="login_link"),
        _time("created_at", filled=True),
        sa.Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("login_link_pkey")),
        sa.UniqueConstraint(
            "account_id", name=op.f("login_link_account_id_key"), postgresql_nulls_not_distinct=True
        ),
        schema="pipeline",
        comment="links that set a password, once: one of each account, and one for the first",
    )
    op.create_table(
        "login_count",
        sa.Column("who", BYTEA(), nullable=False, comment="keyed hash of a name or an address"),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("since", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("who", name=op.f("login_count_pkey")),
        schema="pipeline",
        comment="passwords that were tried of late and did not let anybody in",
    )
    op.add_column("api_key", _time("last_used_at"), schema="pipeline")
    op.drop_constraint("idempotency_api_key_id_fkey", "idempotency", schema="pipeline")
    op.alter_column(
        "idempotency",
        "api_key_id",
        new_column_name="asked_by",
        comment="id of the API key or account",
        schema="pipeline",
    )
    op.alter_column(
        "operation",
        "asked_by",
        comment="id of the API key or account",
        existing_comment="id of the API key",
        schema="pipeline",
    )
    op.create_table_comment(
        "audit",
        "who did what; a trigger refuses all but new rows",
        existing_comment="who did what with personal data; a trigger refuses all but new rows",
        schema="pipeline",
    )


def downgrade() -> None:
    op.create_table_comment(
        "audit",
        "who did what with personal data; a trigger refuses all but new rows",
        schema="pipeline",
    )
    op.alter_column("operation", "asked_by", comment="id of the API key", schema="pipeline")
    op.execute(
        "DELETE FROM pipeline.idempotency i WHERE NOT EXISTS"
        " (SELECT FROM pipeline.api_key k WHERE k.id = i.asked_by)"
    )
    op.alter_column(
        "idempotency", "asked_by", new_column_name="api_key_id", comment=None, schema="pipeline"
    )
    op.create_foreign_key(
        "idempotency_api_key_id_fkey",
        "idempotency",
        "api_key",
        ["api_key_id"],
        ["id"],
        source_schema="pipeline",
        referent_schema="pipeline",
        ondelete="CASCADE",
    )
    op.drop_column("api_key", "last_used_at", schema="pipeline")
    for table in ("login_count", "login_link", "session", "account"):
        op.drop_table(table, schema="pipeline")
