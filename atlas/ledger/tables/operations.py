"""Questions to connectors that take seconds, asked over HTTP; connections that are being put
together; and who opens what is encrypted."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSON, JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, now, time

operation = sa.Table(
    "operation",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("connector", sa.Text, nullable=False),
    sa.Column("version", sa.Text, comment="the version asked for; NULL: the catalog's"),
    sa.Column(
        "config",
        BYTEA,
        comment="encrypted JSON; gone when the operation ends",
        info={"encrypted": True},
    ),
    sa.Column("asked_by", sa.Text, nullable=False, comment="id of the API key or account"),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("holder", sa.Text),
    sa.Column("lease_until", time),
    sa.Column("dispatched_at", time, comment="when its message was sent last"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("started_at", time),
    sa.Column("finished_at", time),
    # Not jsonb, which would put the properties of a schema into an order of its own.
    sa.Column("result", JSON),
    sa.Column("error", sa.Text),
    sa.CheckConstraint("kind IN ('spec', 'check', 'discover', 'install')", name="kind"),
    sa.CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed')", name="status"),
    sa.CheckConstraint("finished_at IS NULL OR config IS NULL", name="wiped"),
    sa.Index("operation_unfinished", "created_at", postgresql_where=sa.text("finished_at IS NULL")),
    comment="a spec, check, discover or install that somebody polls for",
)


draft = sa.Table(
    "draft",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("asked_by", sa.Text, nullable=False, comment="id of the key or user it is of"),
    sa.Column("connection", sa.Text, comment="which one is edited; NULL: a new one"),
    sa.Column("connector", sa.Text, comment="NULL: the connection's source is a program"),
    sa.Column("config", BYTEA, nullable=False, comment="encrypted JSON", info={"encrypted": True}),
    sa.Column("document", JSONB, nullable=False, comment="the rest of it"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("updated_at", time, nullable=False, server_default=now),
    sa.Index("draft_of", "asked_by", "created_at"),
    comment="a connection that somebody is putting together, step by step",
)


secret_slot = sa.Table(
    "secret_slot",
    metadata,
    identity(),
    sa.Column("key_id", sa.Text, nullable=False, unique=True, comment="which secret key opens it"),
    sa.Column("sealed", BYTEA, nullable=False, comment="the keys at work, under that secret key"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    comment="the keys at work, once for each secret key that opens them",
)


key_mark = sa.Table(
    "key_mark",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="identity"),
    sa.Column("mark", sa.Text, nullable=False, comment="keyed hash; it tells nothing of the key"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    comment="by which a key is known that must never be another one",
)
