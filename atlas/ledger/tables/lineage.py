"""What lineage adds beside its events: the graph that they draw, and who has got them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, now, time

lineage_flow = sa.Table(
    "lineage_flow",
    metadata,
    identity(),
    sa.Column(
        "run_id",
        UUID(as_uuid=False),
        sa.ForeignKey("pipeline.run.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("run_seq", sa.BigInteger, nullable=False, comment="the run's, to order by"),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, comment="of its edges"),
    sa.Column("at", time, nullable=False, comment="when the job completed"),
    sa.Index("lineage_flow_of_dataset", "name", "namespace", "run_seq", "id"),
    sa.Index("lineage_flow_by_digest", "digest"),
    comment="a dataset that a job wrote in a run; the last one tells where its columns come from",
)


lineage_edge = sa.Table(
    "lineage_edge",
    metadata,
    identity(),
    sa.Column("digest", sa.Text, nullable=False, index=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("field", sa.Text, comment="NULL: the dataset as a whole"),
    sa.Column("source_namespace", sa.Text),
    sa.Column("source_name", sa.Text, comment="NULL: the column comes of no other"),
    sa.Column("source_field", sa.Text),
    sa.Column("steps", JSONB, nullable=False, comment="transformations, as the event tells them"),
    # A source's names may be longer than a tree takes.
    sa.Index("lineage_edge_by_source", "source_name", postgresql_using="hash"),
    comment="what a dataset and its columns come of; written once, however many runs tell the same",
)


lineage_sink = sa.Table(
    "lineage_sink",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, nullable=False, comment="where it is; nothing secret"),
    sa.Column("removed_at", time, comment="since when no setting names it"),
    sa.Column("delivered_at", time, comment="the last time that it took an event"),
    sa.Column(
        "failed_attempts",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="in a row, since it took one",
    ),
    sa.Column("next_attempt_at", time, nullable=False, server_default=now),
    sa.Column("error", sa.Text, comment="why the last attempt to reach it failed"),
    comment="where lineage events go, and how that goes",
)


lineage_delivery = sa.Table(
    "lineage_delivery",
    metadata,
    sa.Column(
        "event_id",
        sa.BigInteger,
        sa.ForeignKey("pipeline.lineage_event.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("delivered_at", time, comment="NULL: it was refused"),
    sa.Column("failed_attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_attempt_at", time),
    sa.Column("error", sa.Text),
    comment="which sink has, or has refused, which lineage event",
)
