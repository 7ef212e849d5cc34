"""The graph that the lineage events draw: which dataset came of which, run by run."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from atlas.ledger.tables.base import identity, metadata, time

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
