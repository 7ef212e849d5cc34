"""What is configured and remembered of connections: themselves, states, names of tables."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, now, time

BASIS = "cursor and key with which each stream in it was read; NULL: nobody knows"

connection = sa.Table(
    "connection",
    metadata,
    identity(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("connector", sa.Text),
    sa.Column("executable", sa.Text),
    sa.Column("config", BYTEA, nullable=False, comment="encrypted JSON", info={"encrypted": True}),
    sa.Column(
        "declared",
        BYTEA,
        comment="encrypted JSON: the config as its user wrote it, where the source has sent "
        "another since",
        info={"encrypted": True},
    ),
    sa.Column("document", JSONB, nullable=False, comment="the connection without its config"),
    sa.Column("fingerprint", sa.Text, nullable=False, comment="keyed hash of config and document"),
    sa.Column(
        "source_code",
        JSONB,
        comment="where the file that it was applied from stands in a repository; NULL: not known",
    ),
    sa.Column("checked", sa.Text, comment="fingerprint under which the source said that it works"),
    sa.Column(
        "accepts_changes",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="whether the next run takes its source as it is, whatever the policy",
    ),
    sa.Column("due_at", time, index=True, comment="when its schedule fires next; NULL: never"),
    sa.Column("due_for", time, comment="the time for which it fires then, without jitter"),
    sa.Column("fired_at", time, comment="when its schedule fired last"),
    sa.Column("fired_run", UUID(as_uuid=False), comment="the run that this made"),
    sa.Column("skipped_at", time, comment="when it passed over a time last"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("updated_at", time, nullable=False, server_default=now),
    sa.CheckConstraint("(connector IS NULL) <> (executable IS NULL)", name="one_source"),
    sa.CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,39}$'", name="name"),
    sa.Index("connection_fired", "fired_at"),
)


connector_state = sa.Table(
    "connector_state",
    metadata,
    identity(),
    sa.Column(
        "connection_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.connection.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("namespace", sa.Text, nullable=False, server_default=""),
    sa.Column(
        "stream", sa.Text, nullable=False, server_default="", comment="'' for GLOBAL, LEGACY"
    ),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("state", JSONB, nullable=False, comment="the message's state as the source sent it"),
    sa.Column("basis", JSONB, comment=BASIS),
    sa.Column("run_id", UUID(as_uuid=False)),
    sa.Column("updated_at", time, nullable=False, server_default=now),
    sa.UniqueConstraint("connection_id", "namespace", "stream"),
    sa.CheckConstraint("type IN ('STREAM', 'GLOBAL', 'LEGACY')", name="type"),
)


state_history = sa.Table(
    "state_history",
    metadata,
    identity(),
    sa.Column(
        "connection_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.connection.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("state", JSONB),
    sa.Column("basis", JSONB, comment=BASIS),
    sa.Column(
        "action",
        sa.Text,
        nullable=False,
        server_default="run",
        comment="run, reset, import, restore, connector",
    ),
    sa.Column("actor", sa.Text, comment="the person who did it; NULL: the run did"),
    sa.Column("run_id", UUID(as_uuid=False)),
    sa.Column("changed_at", time, nullable=False, server_default=now),
    comment="states as runs and people left them; a NULL state: none",
)


stream_table = sa.Table(
    "stream_table",
    metadata,
    identity(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False, server_default=""),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False, unique=True, comment="of chart and navigate"),
    sa.Column("raw_name", sa.Text, nullable=False, unique=True, comment="of explore"),
    sa.Column("quarantine_name", sa.Text, nullable=False, unique=True, comment="of chart"),
    sa.Column(
        "token_key",
        sa.Integer,
        nullable=False,
        server_default="1",
        comment="number of the key that the tokens in its tables come from",
    ),
    sa.UniqueConstraint("connection", "namespace", "stream"),
)


stream_column = sa.Table(
    "stream_column",
    metadata,
    identity(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False, server_default=""),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("property", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("column_type", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.UniqueConstraint("connection", "namespace", "stream", "property"),
    sa.UniqueConstraint("connection", "namespace", "stream", "column_name"),
)
