"""The lineage graph, drawn from the events that are there.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lineage_flow",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", UUID(as_uuid=False), nullable=False),
        sa.Column("run_seq", sa.BigInteger(), nullable=False, comment="the run's, to order by"),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="of its edges"),
        sa.Column("at", TIMESTAMP(timezone=True), nullable=False, comment="when the job completed"),
        sa.PrimaryKeyConstraint("id", name=op.f("lineage_flow_pkey")),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["pipeline.run.id"],
            name=op.f("lineage_flow_run_id_fkey"),
            ondelete="CASCADE",
        ),
        schema="pipeline",
        comment="a dataset that a job wrote in a run; the last one tells where its columns come "
        "from",
    )
    op.create_table(
        "lineage_edge",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), comment="NULL: the dataset as a whole"),
        sa.Column("source_namespace", sa.Text()),
        sa.Column("source_name", sa.Text(), comment="NULL: the column comes of no other"),
        sa.Column("source_field", sa.Text()),
        sa.Column(
            "steps", JSONB(), nullable=False, comment="transformations, as the event tells them"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("lineage_edge_pkey")),
        schema="pipeline",
        comment="what a dataset and its columns come of; written once, however many runs tell the "
        "same",
    )
    op.execute(_FLOWS)
    op.execute(_EDGES)
    for table, name, columns, using in (
        ("lineage_flow", "lineage_flow_run_id_ix", ["run_id"], "btree"),
        (
            "lineage_flow",
            "lineage_flow_of_dataset",
            ["name", "namespace", "run_seq", "id"],
            "btree",
        ),
        ("lineage_flow", "lineage_flow_by_digest", ["digest"], "btree"),
        ("lineage_edge", "lineage_edge_digest_ix", ["digest"], "btree"),
        ("lineage_edge", "lineage_edge_by_source", ["source_name"], "hash"),
    ):
        op.create_index(name, table, columns, schema="pipeline", postgresql_using=using)


# As atlas/ledger/lineage.py did when this was written, for all events instead of one.
_TOLD = """
    SELECT v.id, o.place, v.run_id, r.seq, v.event -> 'job' ->> 'name' AS job,
           o.value AS output, i.input,
           CAST(v.event ->> 'eventTime' AS timestamptz) AS at,
           encode(sha256(convert_to(CAST(jsonb_build_array(
               o.value -> 'namespace', o.value -> 'name', i.input -> 'namespace',
               i.input -> 'name', o.value #> '{facets,columnLineage,fields}',
               jsonb_path_query_array(o.value, '$.facets.schema.fields[*].name')) AS text),
               'UTF8')), 'hex') AS digest
      FROM pipeline.lineage_event v
      JOIN pipeline.run r ON r.id = v.run_id
     CROSS JOIN LATERAL jsonb_array_elements(v.event -> 'outputs') WITH ORDINALITY o(value, place)
     CROSS JOIN LATERAL (
           SELECT CASE WHEN jsonb_array_length(v.event -> 'inputs') = 1
                       THEN v.event -> 'inputs' -> 0
                       ELSE v.event -> 'inputs' -> CAST(o.place - 1 AS int) END AS input) i
     WHERE v.event ->> 'eventType' = 'COMPLETE'
"""

_FLOWS = f"""
    INSERT INTO pipeline.lineage_flow (run_id, run_seq, job, namespace, name, digest, at)
    SELECT run_id, seq, job, output ->> 'namespace', output ->> 'name', digest, at
      FROM ({_TOLD}) told
     ORDER BY id, place
"""  # noqa: S608 - no value is in it

_EDGES = f"""
    INSERT INTO pipeline.lineage_edge (digest, namespace, name, field, source_namespace,
                                       source_name, source_field, steps)
    SELECT one.digest, one.output ->> 'namespace', one.output ->> 'name', e.*
      FROM (SELECT DISTINCT ON (digest) * FROM ({_TOLD}) told ORDER BY digest, id) one
     CROSS JOIN LATERAL (
           SELECT CAST(NULL AS text), one.input ->> 'namespace', one.input ->> 'name',
                  CAST(NULL AS text), CAST('[]' AS jsonb)
            WHERE one.input IS NOT NULL
           UNION ALL
           SELECT f.key, s.value ->> 'namespace', s.value ->> 'name', s.value ->> 'field',
                  coalesce(s.value -> 'transformations', '[]')
             FROM jsonb_each(one.output #> '{{facets,columnLineage,fields}}') f
            CROSS JOIN LATERAL jsonb_array_elements(f.value -> 'inputFields') s
           UNION ALL
           SELECT s.value ->> 'name', NULL, NULL, NULL, '[]'
             FROM jsonb_array_elements(one.output #> '{{facets,schema,fields}}') s
            WHERE NOT coalesce(
                  one.output #> '{{facets,columnLineage,fields}}' ? (s.value ->> 'name'), false)
          ) e(field, source_namespace, source_name, source_field, steps)
     ORDER BY one.id
"""  # noqa: S608 - no value is in it


def downgrade() -> None:
    op.drop_table("lineage_edge", schema="pipeline")
    op.drop_table("lineage_flow", schema="pipeline")
