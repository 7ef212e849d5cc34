"""Who may use Atlas over HTTP, what was asked under an idempotency key, and who did what."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, now, time
from atlas.roles import Role

_ROLE = "role IN ({})".format(", ".join(f"'{role}'" for role in Role))

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("hash", BYTEA, nullable=False, unique=True, comment="SHA-256 of the key"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("expires_at", time),
    sa.Column("revoked_at", time),
    sa.Column("last_used_at", time),
    sa.CheckConstraint(_ROLE, name="role"),
)


account = sa.Table(
    "account",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password", sa.Text, comment="argon2id; NULL: it cannot log in with one"),
    sa.Column("issuer", sa.Text, comment="of OpenID Connect, where the login comes from"),
    sa.Column("subject", sa.Text, comment="what the issuer calls it"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("password_at", time),
    sa.Column("last_login_at", time),
    sa.Column("disabled_at", time),
    sa.UniqueConstraint("issuer", "subject"),
    sa.CheckConstraint(_ROLE, name="role"),
    sa.CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="login"),
    comment="people who log in",
)


session = sa.Table(
    "session",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column(
        "account_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.account.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("hash", BYTEA, nullable=False, unique=True, comment="SHA-256 of the cookie"),
    sa.Column("address", sa.Text, comment="where it was begun from"),
    sa.Column("agent", sa.Text, comment="the browser, as it names itself"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("seen_at", time, nullable=False, server_default=now),
    sa.Column("expires_at", time, nullable=False),
    comment="browsers that are logged in",
)


login_link = sa.Table(
    "login_link",
    metadata,
    sa.Column("hash", BYTEA, primary_key=True, comment="SHA-256 of what stands in the link"),
    sa.Column(
        "account_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.account.id", ondelete="CASCADE"),
        comment="whose password it sets; NULL: it makes the first account",
    ),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("expires_at", time, nullable=False),
    sa.UniqueConstraint("account_id", postgresql_nulls_not_distinct=True),
    comment="links that set a password, once: one of each account, and one for the first",
)


login_count = sa.Table(
    "login_count",
    metadata,
    sa.Column("who", BYTEA, primary_key=True, comment="keyed hash of a name or an address"),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("since", time, nullable=False),
    comment="passwords that were tried of late and did not let anybody in",
)


idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column(
        "asked_by",
        UUID(as_uuid=False),
        primary_key=True,
        comment="id of the API key or account",
    ),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("body_hash", BYTEA, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("response", JSONB, nullable=False),
    sa.Column("created_at", time, nullable=False, server_default=now),
)


audit = sa.Table(
    "audit",
    metadata,
    identity(),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, comment="what it was done to; never a value"),
    sa.Column("detail", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
    comment="who did what; a trigger refuses all but new rows",
)
