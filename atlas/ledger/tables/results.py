"""What the stages found and told: verdicts, checks, scores, changes, lineage events."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, now, time

schema_change = sa.Table(
    "schema_change",
    metadata,
    identity(),
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
    sa.Column("at", time, nullable=False, server_default=now),
)


source_change = sa.Table(
    "source_change",
    metadata,
    identity(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False, server_default=""),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("property", sa.Text, comment="NULL: the stream as a whole"),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("detail", JSONB, nullable=False),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="SET NULL"),
        index=True,
    ),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.Index("source_change_of_connection", "connection", "id"),
    comment="what a run found to be other at its source than before",
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
    identity(),
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


pii_override = sa.Table(
    "pii_override",
    metadata,
    identity(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False, server_default=""),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False, server_default=""),
    sa.Column("says", sa.Text, nullable=False),
    sa.Column("entity_type", sa.Text),
    sa.Column("operator", sa.Text),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.CheckConstraint("says IN ('is', 'is_not', 'operator', 'withdrawn')", name="says"),
    sa.CheckConstraint(
        "(says = 'operator') = (operator IS NOT NULL)"
        " AND (says <> 'is' OR entity_type IS NOT NULL)",
        name="said",
    ),
    sa.Index("pii_override_of_stream", "connection", "namespace", "stream", "id"),
    comment="what people said of columns; only ever added to, the last word on a place holds",
)


pii_policy = sa.Table(
    "pii_policy",
    metadata,
    identity(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("entities", JSONB, nullable=False, comment="operator by entity type"),
    sa.Column("columns", JSONB, nullable=False, comment="operator by column"),
    sa.Column("actor", sa.Text, nullable=False, comment="who gave it its present form"),
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("updated_at", time, nullable=False, server_default=now),
    sa.CheckConstraint("name ~ '^[a-z][a-z0-9_-]{0,39}$'", name="name"),
    comment="named policies, each over the built-in one; every change of them stands in audit",
)


pii_change = sa.Table(
    "pii_change",
    metadata,
    identity(),
    _of_stream(),
    sa.Column("column_name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False, server_default=""),
    sa.Column("entity_type", sa.Text, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("detail", JSONB, nullable=False),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.CheckConstraint("change IN ('found', 'gone', 'changed')", name="change"),
    comment="where the verdicts of a scan are other than those of the scan before",
)


def _of_erasure() -> sa.Column[int]:
    return sa.Column(
        "erasure_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.erasure.id"),
        nullable=False,
        index=True,
    )


def _stream() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False, server_default=""),
        sa.Column("stream", sa.Text, nullable=False),
    )


check_result = sa.Table(
    "check_result",
    metadata,
    identity(),
    _of_stream(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("dimension", sa.Text, nullable=False),
    sa.Column("column_name", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("failed_rows", sa.BigInteger),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("gate", sa.Text, comment="what its failure does to rows; NULL: of an older run"),
    sa.Column("detail", JSONB, nullable=False),
    sa.CheckConstraint("score BETWEEN 0 AND 1", name="score"),
)


column_metric = sa.Table(
    "column_metric",
    metadata,
    sa.Column(
        "run_stream_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.run_stream.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("column_name", sa.Text, primary_key=True, comment="'' for the rows"),
    sa.Column("metric", sa.Text, primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
    comment="what the checks of a run measured of its columns: later runs are compared with it",
)


quality_score = sa.Table(
    "quality_score",
    metadata,
    identity(),
    _of_stream(),
    sa.Column("dimension", sa.Text, nullable=False, comment="a dimension, or 'overall'"),
    sa.Column("score", sa.Double, nullable=False),
    sa.UniqueConstraint("run_stream_id", "dimension"),
    sa.CheckConstraint("score BETWEEN 0 AND 1", name="score"),
)


quarantine = sa.Table(
    "quarantine",
    metadata,
    identity(),
    _of_stream(),
    sa.Column("check_name", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    comment="how many rows each check set aside; the rows stand in chart.<stream>_quarantine",
)


reprocessed_row = sa.Table(
    "reprocessed_row",
    metadata,
    identity(),
    sa.Column(
        "stream_table_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.stream_table.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("of_id", sa.BigInteger, nullable=False, comment="the raw row it was set aside as"),
    sa.Column("row_id", sa.BigInteger, nullable=False, comment="the raw row that this run has"),
    sa.Column(
        "place",
        sa.BigInteger,
        nullable=False,
        comment="the raw row that the source sent: where it stands among other records of its key",
    ),
    sa.Column("mended", ARRAY(sa.Text), comment="properties that a person put right; no values"),
    sa.Column("waived", ARRAY(sa.Text), comment="checks that a person overrode for it"),
    sa.UniqueConstraint("stream_table_id", "row_id"),
    sa.UniqueConstraint("run_id", "of_id"),
    comment="rows of a quarantine that a run took through the stages again",
)


lineage_event = sa.Table(
    "lineage_event",
    metadata,
    identity(),
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
    sa.Column("created_at", time, nullable=False, server_default=now),
    sa.Column("delivered_at", time, comment="to all sinks that there were"),
    sa.Index("lineage_event_waiting", "id", postgresql_where=sa.text("delivered_at IS NULL")),
)


erasure = sa.Table(
    "erasure",
    metadata,
    identity(),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column(
        "subjects", ARRAY(sa.Text), nullable=False, comment="keyed hashes of the identifiers"
    ),
    sa.Column(
        "request",
        BYTEA,
        comment="encrypted JSON: what is sought; gone when the erasure ends",
        info={"encrypted": True},
    ),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.Column("finished_at", time),
    sa.CheckConstraint("(finished_at IS NULL) = (request IS NOT NULL)", name="wiped"),
    sa.Index("erasure_unfinished", "id", postgresql_where=sa.text("finished_at IS NULL")),
    comment="requests to erase a person's data",
)


erasure_stream = sa.Table(
    "erasure_stream",
    metadata,
    identity(),
    _of_erasure(),
    *_stream(),
    sa.Column("rows", JSONB, comment="how many were erased, by layer; NULL: still to be done"),
    sa.Column("done_at", time),
    sa.UniqueConstraint("erasure_id", "connection", "namespace", "stream"),
    sa.CheckConstraint("(done_at IS NULL) = (rows IS NULL)", name="done"),
    comment="the streams in which an erasure has something to do, or had",
)


erased = sa.Table(
    "erased",
    metadata,
    identity(),
    _of_erasure(),
    *_stream(),
    sa.Column("row_hash", sa.Text, nullable=False),
    sa.Column(
        "cursor_mark",
        sa.Text,
        nullable=False,
        server_default="",
        comment="hash of the place it was read from, where the row's hash leaves that out",
    ),
    sa.Column("key_mark", sa.Text, comment="keyed hash of its primary key"),
    sa.Column("at", time, nullable=False, server_default=now),
    sa.UniqueConstraint("connection", "namespace", "stream", "row_hash", "cursor_mark"),
    sa.Index("erased_by_key", "connection", "namespace", "stream", "key_mark"),
    comment="records that must not come back as they were, as keyed hashes",
)
