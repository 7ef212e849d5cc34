"""The control plane, and the schemas of the layers.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for layer in ("explore", "chart", "navigate"):
        op.execute(sa.schema.CreateSchema(layer, if_not_exists=True))
    op.create_table(
        "api_key",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("hash", postgresql.BYTEA(), nullable=False, comment="SHA-256 of the key"),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('viewer', 'operator', 'privacy', 'admin')", name=op.f("api_key_role_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("api_key_pkey")),
        sa.UniqueConstraint("hash", name=op.f("api_key_hash_key")),
        sa.UniqueConstraint("name", name=op.f("api_key_name_key")),
        schema="pipeline",
    )
    op.create_table(
        "connection",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("connector", sa.Text(), nullable=True),
        sa.Column("executable", sa.Text(), nullable=True),
        sa.Column("config", postgresql.BYTEA(), nullable=False, comment="encrypted JSON"),
        sa.Column(
            "document",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the connection without its config",
        ),
        sa.Column(
            "fingerprint", sa.Text(), nullable=False, comment="keyed hash of config and document"
        ),
        sa.Column(
            "checked",
            sa.Text(),
            nullable=True,
            comment="fingerprint under which the source said that it works",
        ),
        sa.Column(
            "due_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="when its schedule fires next; NULL: never",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,39}$'", name=op.f("connection_name_check")),
        sa.CheckConstraint(
            "(connector IS NULL) <> (executable IS NULL)", name=op.f("connection_one_source_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("connection_pkey")),
        sa.UniqueConstraint("name", name=op.f("connection_name_key")),
        schema="pipeline",
    )
    op.create_index(
        op.f("connection_due_at_ix"), "connection", ["due_at"], unique=False, schema="pipeline"
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="run or stream"),
        sa.Column("ref", sa.Text(), nullable=False, comment="id of the run or of the run_stream"),
        sa.Column(
            "due_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        sa.UniqueConstraint("kind", "ref", name=op.f("outbox_kind_ref_key")),
        schema="pipeline",
        comment="messages to be sent; deleted when the broker took them",
    )
    op.create_index(op.f("outbox_due_at_ix"), "outbox", ["due_at"], unique=False, schema="pipeline")
    op.create_table(
        "stream_column",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("property", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("column_type", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("stream_column_pkey")),
        sa.UniqueConstraint(
            "connection",
            "namespace",
            "stream",
            "column_name",
            name=op.f("stream_column_connection_namespace_stream_column_name_key"),
        ),
        sa.UniqueConstraint(
            "connection",
            "namespace",
            "stream",
            "property",
            name=op.f("stream_column_connection_namespace_stream_property_key"),
        ),
        schema="pipeline",
    )
    op.create_table(
        "stream_table",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False, comment="of chart and navigate"),
        sa.Column("raw_name", sa.Text(), nullable=False, comment="of explore"),
        sa.Column("quarantine_name", sa.Text(), nullable=False, comment="of chart"),
        sa.PrimaryKeyConstraint("id", name=op.f("stream_table_pkey")),
        sa.UniqueConstraint(
            "connection",
            "namespace",
            "stream",
            name=op.f("stream_table_connection_namespace_stream_key"),
        ),
        sa.UniqueConstraint("quarantine_name", name=op.f("stream_table_quarantine_name_key")),
        sa.UniqueConstraint("raw_name", name=op.f("stream_table_raw_name_key")),
        sa.UniqueConstraint("table_name", name=op.f("stream_table_table_name_key")),
        schema="pipeline",
    )
    op.create_table(
        "connector_state",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connection_id", sa.BigInteger(), nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "stream", sa.Text(), server_default="", nullable=False, comment="'' for GLOBAL, LEGACY"
        ),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "state",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the message's state as the source sent it",
        ),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "type IN ('STREAM', 'GLOBAL', 'LEGACY')", name=op.f("connector_state_type_check")
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["pipeline.connection.id"],
            name=op.f("connector_state_connection_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("connector_state_pkey")),
        sa.UniqueConstraint(
            "connection_id",
            "namespace",
            "stream",
            name=op.f("connector_state_connection_id_namespace_stream_key"),
        ),
        schema="pipeline",
    )
    op.create_table(
        "idempotency",
        sa.Column("api_key_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("response", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"],
            ["pipeline.api_key.id"],
            name=op.f("idempotency_api_key_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("api_key_id", "route", "key", name=op.f("idempotency_pkey")),
        schema="pipeline",
    )
    op.create_table(
        "run",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connection_id", sa.BigInteger(), nullable=True),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("full_refresh", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "selected",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="streams asked for; NULL: all of the connection",
        ),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column(
            "repaired",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="values with NUL or lone surrogates that were mended to be stored",
        ),
        sa.Column(
            "ignored",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="records of streams that were not asked for",
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "extracted_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="valid_from of what this run brings; set once, later than any earlier run's",
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'blocked', 'cancelled')",
            name=op.f("run_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["pipeline.connection.id"],
            name=op.f("run_connection_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("run_pkey")),
        sa.UniqueConstraint("seq", name=op.f("run_seq_key")),
        schema="pipeline",
    )
    op.create_index(
        op.f("run_connection_id_ix"), "run", ["connection_id"], unique=False, schema="pipeline"
    )
    op.create_index(
        "run_one_active",
        "run",
        ["connection_id"],
        unique=True,
        schema="pipeline",
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_table(
        "state_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connection_id", sa.BigInteger(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column(
            "changed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["pipeline.connection.id"],
            name=op.f("state_history_connection_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("state_history_pkey")),
        schema="pipeline",
        comment="the last state of each run and stream",
    )
    op.create_index(
        op.f("state_history_connection_id_ix"),
        "state_history",
        ["connection_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_table(
        "lineage_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column(
            "key", sa.Text(), nullable=False, comment="one event once: stage run, fence, type"
        ),
        sa.Column("event", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("delivered_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "next_attempt_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["pipeline.run.id"],
            name=op.f("lineage_event_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("lineage_event_pkey")),
        sa.UniqueConstraint("key", name=op.f("lineage_event_key_key")),
        schema="pipeline",
    )
    op.create_index(
        op.f("lineage_event_run_id_ix"),
        "lineage_event",
        ["run_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_index(
        "lineage_event_waiting",
        "lineage_event",
        ["id"],
        unique=False,
        schema="pipeline",
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_table(
        "run_stream",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False, comment="'' for none"),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column(
            "configured",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="schema, sync mode, cursor, key",
        ),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column(
            "explored_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="when the source had read it to its end; NULL: it has not",
        ),
        sa.Column("rows_explore", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "rows_carried",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="rows of earlier runs that never came to chart, taken along by this one",
        ),
        sa.Column(
            "carries_refresh",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether those begin with a complete refresh",
        ),
        sa.Column("rows_promoted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows_quarantined", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows_superseded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows_tombstones", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows_deleted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("versions_opened", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("versions_closed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'blocked', 'cancelled')",
            name=op.f("run_stream_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["pipeline.run.id"], name=op.f("run_stream_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("run_stream_pkey")),
        sa.UniqueConstraint(
            "run_id", "namespace", "stream", name=op.f("run_stream_run_id_namespace_stream_key")
        ),
        schema="pipeline",
    )
    op.create_table(
        "check_result",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("failed_rows", sa.BigInteger(), nullable=True),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("check_result_score_check")),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("check_result_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("check_result_pkey")),
        schema="pipeline",
    )
    op.create_index(
        op.f("check_result_run_stream_id_ix"),
        "check_result",
        ["run_stream_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_table(
        "finding",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), server_default="", nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("finding_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("finding_pkey")),
        schema="pipeline",
        comment="verdicts of the personal-data scan; never a raw value",
    )
    op.create_index(
        op.f("finding_run_stream_id_ix"),
        "finding",
        ["run_stream_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_table(
        "quality_score",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False, comment="a dimension, or 'overall'"),
        sa.Column("score", sa.Double(), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("quality_score_score_check")),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("quality_score_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("quality_score_pkey")),
        sa.UniqueConstraint(
            "run_stream_id", "dimension", name=op.f("quality_score_run_stream_id_dimension_key")
        ),
        schema="pipeline",
    )
    op.create_index(
        op.f("quality_score_run_stream_id_ix"),
        "quality_score",
        ["run_stream_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("quarantine_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("quarantine_pkey")),
        schema="pipeline",
        comment="how many rows each check set aside; the rows stand in chart.<stream>_quarantine",
    )
    op.create_index(
        op.f("quarantine_run_stream_id_ix"),
        "quarantine",
        ["run_stream_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_table(
        "schema_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=True),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False, comment="added, widened, masked"),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("schema_change_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("schema_change_pkey")),
        schema="pipeline",
    )
    op.create_index(
        op.f("schema_change_run_stream_id_ix"),
        "schema_change",
        ["run_stream_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_table(
        "segment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_stream_id", sa.BigInteger(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("covered", sa.Boolean(), nullable=False, comment="whether a state covers them"),
        sa.Column(
            "committed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("segment_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("segment_pkey")),
        schema="pipeline",
        comment="rows of explore that one checkpoint committed, as a range of _atlas_id",
    )
    op.create_index(
        op.f("segment_run_stream_id_ix"),
        "segment",
        ["run_stream_id"],
        unique=False,
        schema="pipeline",
    )
    op.create_table(
        "stage_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column(
            "run_stream_id",
            sa.BigInteger(),
            nullable=True,
            comment="NULL for explore, which belongs to the run",
        ),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("next_attempt_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("dispatched_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "dispatches",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="messages since it was claimed last",
        ),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'blocked', 'cancelled')",
            name=op.f("stage_run_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["pipeline.run.id"], name=op.f("stage_run_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["run_stream_id"],
            ["pipeline.run_stream.id"],
            name=op.f("stage_run_run_stream_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("stage_run_pkey")),
        schema="pipeline",
    )
    op.create_index(
        "stage_run_of_run",
        "stage_run",
        ["run_id", "stage"],
        unique=True,
        schema="pipeline",
        postgresql_where=sa.text("run_stream_id IS NULL"),
    )
    op.create_index(
        "stage_run_of_stream",
        "stage_run",
        ["run_stream_id", "stage"],
        unique=True,
        schema="pipeline",
        postgresql_where=sa.text("run_stream_id IS NOT NULL"),
    )
    op.create_index(
        "stage_run_unfinished",
        "stage_run",
        ["status"],
        unique=False,
        schema="pipeline",
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("stage_run_id", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "outcome", sa.Text(), nullable=True, comment="succeeded, failed, blocked, retry, lost"
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["stage_run_id"],
            ["pipeline.stage_run.id"],
            name=op.f("attempt_stage_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("attempt_pkey")),
        schema="pipeline",
        comment="what became of each claim of a stage",
    )
    op.create_index(
        op.f("attempt_stage_run_id_ix"),
        "attempt",
        ["stage_run_id"],
        unique=False,
        schema="pipeline",
    )


def downgrade() -> None:
    # The layers hold the user's data: their schemas stay.
    op.drop_index(op.f("attempt_stage_run_id_ix"), table_name="attempt", schema="pipeline")
    op.drop_table("attempt", schema="pipeline")
    op.drop_index(
        "stage_run_unfinished",
        table_name="stage_run",
        schema="pipeline",
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.drop_index(
        "stage_run_of_stream",
        table_name="stage_run",
        schema="pipeline",
        postgresql_where=sa.text("run_stream_id IS NOT NULL"),
    )
    op.drop_index(
        "stage_run_of_run",
        table_name="stage_run",
        schema="pipeline",
        postgresql_where=sa.text("run_stream_id IS NULL"),
    )
    op.drop_table("stage_run", schema="pipeline")
    op.drop_index(op.f("segment_run_stream_id_ix"), table_name="segment", schema="pipeline")
    op.drop_table("segment", schema="pipeline")
    op.drop_index(
        op.f("schema_change_run_stream_id_ix"), table_name="schema_change", schema="pipeline"
    )
    op.drop_table("schema_change", schema="pipeline")
    op.drop_index(op.f("quarantine_run_stream_id_ix"), table_name="quarantine", schema="pipeline")
    op.drop_table("quarantine", schema="pipeline")
    op.drop_index(
        op.f("quality_score_run_stream_id_ix"), table_name="quality_score", schema="pipeline"
    )
    op.drop_table("quality_score", schema="pipeline")
    op.drop_index(op.f("finding_run_stream_id_ix"), table_name="finding", schema="pipeline")
    op.drop_table("finding", schema="pipeline")
    op.drop_index(
        op.f("check_result_run_stream_id_ix"), table_name="check_result", schema="pipeline"
    )
    op.drop_table("check_result", schema="pipeline")
    op.drop_table("run_stream", schema="pipeline")
    op.drop_index(
        "lineage_event_waiting",
        table_name="lineage_event",
        schema="pipeline",
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.drop_index(op.f("lineage_event_run_id_ix"), table_name="lineage_event", schema="pipeline")
    op.drop_table("lineage_event", schema="pipeline")
    op.drop_index(
        op.f("state_history_connection_id_ix"), table_name="state_history", schema="pipeline"
    )
    op.drop_table("state_history", schema="pipeline")
    op.drop_index(
        "run_one_active",
        table_name="run",
        schema="pipeline",
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.drop_index(op.f("run_connection_id_ix"), table_name="run", schema="pipeline")
    op.drop_table("run", schema="pipeline")
    op.drop_table("idempotency", schema="pipeline")
    op.drop_table("connector_state", schema="pipeline")
    op.drop_table("stream_table", schema="pipeline")
    op.drop_table("stream_column", schema="pipeline")
    op.drop_index(op.f("outbox_due_at_ix"), table_name="outbox", schema="pipeline")
    op.drop_table("outbox", schema="pipeline")
    op.drop_index(op.f("connection_due_at_ix"), table_name="connection", schema="pipeline")
    op.drop_table("connection", schema="pipeline")
    op.drop_table("api_key", schema="pipeline")
