"""The tables of schema ``pipeline``, as SQLAlchemy Core knows them.

The migrations under alembic/ create them; a test holds the two against each other. The database
itself enforces what must never be: two active runs of a connection, two stage runs of a kind.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSON, JSONB, TIMESTAMP, UUID

SCHEMA = "pipeline"

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    },
)

_time = TIMESTAMP(timezone=True)
_now = sa.text("clock_timestamp()")
_ACTIVE = "status IN ('queued', 'running')"
_STATUS = "status IN ('queued', 'running', 'succeeded', 'failed', 'blocked', 'cancelled')"


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


connection = sa.Table(
    "connection",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("connector", sa.Text),
    sa.Column("executable", sa.Text),
    sa.Column("config", BYTEA, nullable=False, comment="encrypted JSON"),
    sa.Column("document", JSONB, nullable=False, comment="the connection without its config"),
    sa.Column("fingerprint", sa.Text, nullable=False, comment="keyed hash of config and document"),
    sa.Column("checked", sa.Text, comment="fingerprint under which the source said that it works"),
    sa.Column("due_at", _time, index=True, comment="when its schedule fires next; NULL: never"),
    sa.Column("created_at", _time, nullable=False, server_default=_now),
    sa.Column("updated_at", _time, nullable=False, server_default=_now),
    sa.CheckConstraint("(connector IS NULL) <> (executable IS NULL)", name="one_source"),
    sa.CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,39}$'", name="name"),
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("seq", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    sa.Column(
        "connection_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.connection.id", ondelete="SET NULL"),
        index=True,
    ),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("full_refresh", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("selected", ARRAY(sa.Text), comment="streams asked for; NULL: all of the connection"),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column(
        "repaired",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="values with NUL or lone surrogates that were mended to be stored",
    ),
    sa.Column(
        "ignored",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="records of streams that were not asked for",
    ),
    sa.Column("error", sa.Text),
    sa.Column("created_at", _time, nullable=False, server_default=_now),
    sa.Column("started_at", _time),
    sa.Column(
        "extracted_at",
        _time,
        comment="valid_from of what this run brings; set once, later than any earlier run's",
    ),
    sa.Column("finished_at", _time),
    sa.CheckConstraint(_STATUS, name="status"),
    sa.Index("run_one_active", "connection_id", unique=True, postgresql_where=sa.text(_ACTIVE)),
)

run_stream = sa.Table(
    "run_stream",
    metadata,
    _id(),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("namespace", sa.Text, nullable=False, server_default="", comment="'' for none"),
    sa.Column("stream", sa.Text, nullable=False),
    # Not jsonb, which would put the properties of the schema into an order of its own.
    sa.Column("configured", JSON, nullable=False, comment="schema, sync mode, cursor, key"),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column(
        "explored_at", _time, comment="when the source had read it to its end; NULL: it has not"
    ),
    sa.Column("rows_explore", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column(
        "rows_carried",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="rows of earlier runs that never came to chart, taken along by this one",
    ),
    sa.Column(
        "carries_refresh",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="whether those begin with a complete refresh",
    ),
    sa.Column("rows_promoted", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_quarantined", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_superseded", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_tombstones", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_deleted", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("versions_opened", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("versions_closed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("error", sa.Text),
    sa.UniqueConstraint("run_id", "namespace", "stream"),
    sa.CheckConstraint(_STATUS, name="status"),
)

stage_run = sa.Table(
    "stage_run",
    metadata,
    _id(),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        comment="NULL for explore, which belongs to the run",
    ),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("position", sa.SmallInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("holder", sa.Text),
    sa.Column("lease_until", _time),
    sa.Column("next_attempt_at", _time),
    sa.Column("dispatched_at", _time),
    sa.Column(
        "dispatches",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="messages since it was claimed last",
    ),
    sa.Column("started_at", _time),
    sa.Column("finished_at", _time),
    sa.Column("rows", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.CheckConstraint(_STATUS, name="status"),
    sa.Index(
        "stage_run_of_run",
        "run_id",
        "stage",
        unique=True,
        postgresql_where=sa.text("run_stream_id IS NULL"),
    ),
    sa.Index(
        "stage_run_of_stream",
        "run_stream_id",
        "stage",
        unique=True,
        postgresql_where=sa.text("run_stream_id IS NOT NULL"),
    ),
    sa.Index("stage_run_unfinished", "status", postgresql_where=sa.text(_ACTIVE)),
)

attempt = sa.Table(
    "attempt",
    metadata,
    _id(),
    sa.Column(
        "stage_run_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.stage_run.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("started_at", _time, nullable=False, server_default=_now),
    sa.Column("finished_at", _time),
    sa.Column("outcome", sa.Text, comment="succeeded, failed, blocked, retry, lost"),
    sa.Column("error", sa.Text),
    comment="what became of each claim of a stage",
)

segment = sa.Table(
    "segment",
    metadata,
    _id(),
    sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("first_id", sa.BigInteger, nullable=False),
    sa.Column("last_id", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("covered", sa.Boolean, nullable=False, comment="whether a state covers them"),
    sa.Column("committed_at", _time, nullable=False, server_default=_now),
    comment="rows of explore that one checkpoint committed, as a range of _atlas_id",
)

outbox = sa.Table(
    "outbox",
    metadata,
    _id(),
    sa.Column("kind", sa.Text, nullable=False, comment="run or stream"),
    sa.Column("ref", sa.Text, nullable=False, comment="id of the run or of the run_stream"),
    sa.Column("due_at", _time, nullable=False, server_default=_now, index=True),
    sa.Column("created_at", _time, nullable=False, server_default=_now),
    sa.UniqueConstraint("kind", "ref"),
    comment="messages to be sent; deleted when the broker took them",
)

connector_state = sa.Table(
    "connector_state",
    metadata,
    _id(),
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
    sa.Column("run_id", UUID(as_uuid=False)),
    sa.Column("updated_at", _time, nullable=False, server_default=_now),
    sa.UniqueConstraint("connection_id", "namespace", "stream"),
    sa.CheckConstraint("type IN ('STREAM', 'GLOBAL', 'LEGACY')", name="type"),
)

state_history = sa.Table(
    "state_history",
    metadata,
    _id(),
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
    sa.Column("run_id", UUID(as_uuid=False)),
    sa.Column("changed_at", _time, nullable=False, server_default=_now),
    comment="the last state of each run and stream",
)

stream_table = sa.Table(
    "stream_table",
    metadata,
    _id(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False, server_default=""),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False, unique=True, comment="of chart and navigate"),
    sa.Column("raw_name", sa.Text, nullable=False, unique=True, comment="of explore"),
    sa.Column("quarantine_name", sa.Text, nullable=False, unique=True, comment="of chart"),
    sa.UniqueConstraint("connection", "namespace", "stream"),
)

stream_column = sa.Table(
    "stream_column",
    metadata,
    _id(),
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

schema_change = sa.Table(
    "schema_change",
    metadata,
    _id(),
    sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        index=True,
    ),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("change", sa.Text, nullable=False, comment="added, widened, masked"),
    sa.Column("detail", JSONB, nullable=False),
    sa.Column("at", _time, nullable=False, server_default=_now),
)


def _of_stream() -> sa.Column[int]:
    return sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    )


finding = sa.Table(
    "finding",
    metadata,
    _id(),
    _of_stream(),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False, server_default=""),
    sa.Column("entity_type", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("operator", sa.Text, nullable=False),
    sa.Column("share", sa.Double, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    comment="verdicts of the personal-data scan; never a raw value",
)

check_result = sa.Table(
    "check_result",
    metadata,
    _id(),
    _of_stream(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("dimension", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("failed_rows", sa.BigInteger),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("detail", JSONB, nullable=False),
    sa.CheckConstraint("score BETWEEN 0 AND 1", name="score"),
)

quality_score = sa.Table(
    "quality_score",
    metadata,
    _id(),
    _of_stream(),
    sa.Column("dimension", sa.Text, nullable=False, comment="a dimension, or 'overall'"),
    sa.Column("score", sa.Double, nullable=False),
    sa.UniqueConstraint("run_stream_id", "dimension"),
    sa.CheckConstraint("score BETWEEN 0 AND 1", name="score"),
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    _id(),
    _of_stream(),
    sa.Column("check_name", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    comment="how many rows each check set aside; the rows stand in chart.<stream>_quarantine",
)

lineage_event = sa.Table(
    "lineage_event",
    metadata,
    _id(),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column(
        "key",
        sa.Text,
        nullable=False,
        unique=True,
        comment="one event once: stage run, fence, type",
    ),
    sa.Column("event", JSONB, nullable=False),
    sa.Column("created_at", _time, nullable=False, server_default=_now),
    sa.Column("delivered_at", _time),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_attempt_at", _time, nullable=False, server_default=_now),
    sa.Column("error", sa.Text),
    sa.Index("lineage_event_waiting", "id", postgresql_where=sa.text("delivered_at IS NULL")),
)

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", UUID(as_uuid=False), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("hash", BYTEA, nullable=False, unique=True, comment="SHA-256 of the key"),
    sa.Column("created_at", _time, nullable=False, server_default=_now),
    sa.Column("expires_at", _time),
    sa.Column("revoked_at", _time),
    sa.CheckConstraint("role IN ('viewer', 'operator', 'privacy', 'admin')", name="role"),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column(
        "api_key_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.api_key.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("body_hash", BYTEA, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("response", JSONB, nullable=False),
    sa.Column("created_at", _time, nullable=False, server_default=_now),
)
