"""The graph that the lineage events draw: written with them, read by recursion.

A COMPLETE event tells what each dataset that its job wrote came of, and so does the end of a
reading that broke off, of what it had brought. That is a *flow*: the dataset, the run, and a digest
of the edges. The edges themselves are written when they are told for the first time. As of a run, a
dataset comes of what its last flow up to that run says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from atlas.ledger.tables import lineage_edge, lineage_flow, run

EVER = 2**63 - 1
"""As of the last run."""


class Node(NamedTuple):
    """A dataset as lineage names it, or (with ``field``) a column of it."""

    namespace: str
    name: str
    field: str | None = None


class Edge(NamedTuple):
    """A dataset or column that comes of another, and the job and run that said so last.

    Attributes:
        steps: what is done on the way, as the event tells it; empty between datasets.
        digest: of all edges that were told with it.
    """

    source: Node
    target: Node
    steps: list[dict[str, Any]]
    digest: str
    job: str
    run_id: str
    at: datetime


# Of as many inputs as outputs, each output comes of the input at its place (explore: the streams
# of a run); of one input, all do.
_TELL = sa.text(
    """
    WITH told AS (
      SELECT v.run_id, r.seq, v.event -> 'job' ->> 'name' AS job, o.value AS output, i.input,
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
       WHERE v.key = :key
         AND (:whole
              OR CAST(o.value #>> '{outputFacets,outputStatistics,rowCount}' AS bigint) > 0)),
    flow AS (
      INSERT INTO pipeline.lineage_flow (run_id, run_seq, job, namespace, name, digest, at)
      SELECT run_id, seq, job, output ->> 'namespace', output ->> 'name', digest, at FROM told)
    INSERT INTO pipeline.lineage_edge (digest, namespace, name, field, source_namespace,
                                       source_name, source_field, steps)
    SELECT one.digest, one.output ->> 'namespace', one.output ->> 'name', e.*
      FROM told one
     CROSS JOIN LATERAL (
           SELECT CAST(NULL AS text), one.input ->> 'namespace', one.input ->> 'name',
                  CAST(NULL AS text), CAST('[]' AS jsonb)
            WHERE one.input IS NOT NULL
           UNION ALL
           SELECT f.key, s.value ->> 'namespace', s.value ->> 'name', s.value ->> 'field',
                  coalesce(s.value -> 'transformations', '[]')
             FROM jsonb_each(one.output #> '{facets,columnLineage,fields}') f
            CROSS JOIN LATERAL jsonb_array_elements(f.value -> 'inputFields') s
           UNION ALL
           SELECT s.value ->> 'name', NULL, NULL, NULL, '[]'
             FROM jsonb_array_elements(one.output #> '{facets,schema,fields}') s
            WHERE NOT coalesce(
                  one.output #> '{facets,columnLineage,fields}' ? (s.value ->> 'name'), false)
          ) e(field, source_namespace, source_name, source_field, steps)
     WHERE NOT EXISTS (SELECT FROM pipeline.lineage_edge known WHERE known.digest = one.digest)
    """
)

_LATEST = """
    (SELECT f.digest, f.job, f.run_id, f.at FROM pipeline.lineage_flow f
      WHERE f.name = {name} AND f.namespace = {namespace} AND f.run_seq <= :seq
      ORDER BY f.run_seq DESC, f.id DESC LIMIT 1)
"""

_TAKEN = """
    SELECT e.source_namespace, e.source_name, e.source_field, e.namespace, e.name, e.field,
           e.steps, e.digest, l.job, l.run_id, l.at
"""

_UP = (
    "CROSS JOIN LATERAL"
    + _LATEST.format(name="w.name", namespace="w.namespace")
    + """l
      JOIN pipeline.lineage_edge e ON e.digest = l.digest AND e.source_name IS NOT NULL
           AND e.field IS NOT DISTINCT FROM w.field
    """
)

_DOWN = (
    """
      JOIN pipeline.lineage_edge e
           ON e.source_name = w.name AND e.source_namespace = w.namespace
           AND e.source_field IS NOT DISTINCT FROM w.field
      JOIN LATERAL """
    + _LATEST.format(name="e.name", namespace="e.namespace")
    + "l ON l.digest = e.digest"
)


def _walk(step: str, end: str) -> sa.TextClause:
    # UNION, and the depth beside each edge: a circle is walked until the depth ends it.
    return sa.text(
        f"""
        WITH RECURSIVE walk AS (
          {_TAKEN}, 1 AS depth
            FROM (VALUES (CAST(:namespace AS text), CAST(:name AS text), CAST(:field AS text)))
                 w(namespace, name, field)
            {step}
          UNION
          {_TAKEN}, w.depth + 1
            FROM (SELECT {end}namespace AS namespace, {end}name AS name, {end}field AS field, depth
                    FROM walk) w
            {step}
           WHERE w.depth < :depth)
        SELECT * FROM (SELECT * FROM walk LIMIT :limit) found
         ORDER BY depth, name, field, source_name, source_field
        """  # noqa: S608 - no value is in it
    )


_WALKS = {True: _walk(_UP, "source_"), False: _walk(_DOWN, "")}


def tell(conn: sa.Connection, key: str, *, whole: bool = True) -> None:
    """Draw what the event under ``key`` says of the outputs of its job; once.

    Args:
        whole: whether the job completed; else only outputs that it had written rows to are drawn.
    """
    conn.execute(_TELL, {"key": key, "whole": whole})


def walk(
    conn: sa.Connection, start: Node, *, upstream: bool, depth: int, limit: int, seq: int = EVER
) -> list[Edge]:
    """The edges that lead to a dataset or column, or away from it: the nearest first.

    Args:
        depth: how many edges one after the other.
        limit: most that are returned; one that closes a circle may be among them more than once.
        seq: as of the run with this number.
    """
    values = {**start._asdict(), "depth": depth, "limit": limit, "seq": seq}
    return [_edge(row) for row in conn.execute(_WALKS[upstream], values)]


def _edge(row: sa.Row[Any]) -> Edge:
    steps, digest, job, run_id, at = row[6:11]
    return Edge(Node(*row[:3]), Node(*row[3:6]), steps, digest, job, str(run_id), at)


def of_columns(conn: sa.Connection, digests: list[str], *, limit: int) -> list[sa.Row[Any]]:
    """The edges between columns among those of ``digests``: at most ``limit``, in their order."""
    edge = lineage_edge.c
    return list(
        conn.execute(
            sa.select(lineage_edge)
            .where(edge.digest.in_(digests), edge.field.is_not(None), edge.source_name.is_not(None))
            .order_by(edge.id)
            .limit(limit)
        )
    )


class Told(NamedTuple):
    """A dataset as it was told of last: its name, and the digest of its edges."""

    node: Node
    digest: str


def last(conn: sa.Connection, layer: str, table: str, *, seq: int = EVER) -> Told | None:
    """A table of this database as it was told of last, up to the run with number ``seq``."""
    flow = lineage_flow.c
    # The server's own names are compared byte by byte: without this no index would do.
    here = sa.cast(sa.func.current_database(), sa.Text).collate("default")
    row = conn.execute(
        sa.select(flow.namespace, flow.name, flow.digest)
        # Neither a layer's name nor a table's has a dot in it.
        .where(flow.name == here + f".{layer}.{table}", flow.run_seq <= seq)
        .order_by(flow.run_seq.desc(), flow.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Told(Node(row.namespace, row.name), row.digest)


def source(conn: sa.Connection, told: Told) -> Node | None:
    """The dataset that this one comes of."""
    edge = lineage_edge.c
    row = conn.execute(
        sa.select(edge.source_namespace, edge.source_name)
        .where(edge.digest == told.digest, edge.field.is_(None))
        .limit(1)
    ).one_or_none()
    return None if row is None else Node(*row)


def fields(conn: sa.Connection, told: Told, *, of_source: bool = False) -> list[str]:
    """The columns of a dataset, or those of its source that it takes."""
    edge = lineage_edge.c
    column = edge.source_field if of_source else edge.field
    return list(
        conn.execute(
            sa.select(column)
            .where(edge.digest == told.digest, column.is_not(None))
            .group_by(column)
            .order_by(sa.func.min(edge.id))
        ).scalars()
    )


def of_run(conn: sa.Connection, run_id: str, *, limit: int) -> list[Edge]:
    """The edges between datasets that a run told, in its order."""
    edge, flow = lineage_edge.c, lineage_flow.c
    query = (
        sa.select(
            edge.source_namespace,
            edge.source_name,
            edge.source_field,
            edge.namespace,
            edge.name,
            edge.field,
            edge.steps,
            edge.digest,
            flow.job,
            flow.run_id,
            flow.at,
        )
        .join_from(lineage_flow, lineage_edge, edge.digest == flow.digest)
        .where(flow.run_id == run_id, edge.field.is_(None))
        .order_by(flow.id, edge.id)
        .limit(limit)
    )
    return [_edge(row) for row in conn.execute(query)]


_STANDING = sa.text(
    f"""
    SELECT e.field, e.steps
      FROM {_LATEST.format(name=":name", namespace=":namespace")} l
      JOIN pipeline.run was ON was.id = l.run_id
      JOIN pipeline.run now ON now.id = :run_id
      JOIN pipeline.lineage_edge e ON e.digest = l.digest AND e.field IS NOT NULL
     WHERE was.policy IS NOT DISTINCT FROM now.policy
       AND NOT EXISTS (
           SELECT FROM pipeline.pii_override o
            WHERE o.connection = now.connection AND o.namespace = :of AND o.stream = :stream
              AND o.column_name = e.field AND o.at > was.created_at AND o.at <= now.created_at)
    """  # noqa: S608 - no value is in it
)


def standing(
    conn: sa.Connection, run_id: str, dataset: Node, namespace: str | None, stream: str
) -> dict[str, list[dict[str, Any]]]:
    """By column, the masking steps that a dataset's last flow tells, and that still hold for the
    rows which ``run_id`` adds to it: neither the policy changed since nor what people say of the
    column.

    Args:
        namespace, stream: whose rows they are.
    """
    values = {
        "run_id": run_id,
        "name": dataset.name,
        "namespace": dataset.namespace,
        "of": namespace or "",
        "stream": stream,
        "seq": EVER,
    }
    found = {
        row.field: [step for step in row.steps if step.get("masking")]
        for row in conn.execute(_STANDING, values)
    }
    return {field: steps for field, steps in found.items() if steps}


def forget(conn: sa.Connection, connection: str) -> None:
    """Delete what runs of connections of this name told, and the edges that nobody else did."""
    gone = (
        lineage_flow.delete()
        .where(lineage_flow.c.run_id.in_(sa.select(run.c.id).where(run.c.connection == connection)))
        .returning(lineage_flow.c.digest)
    )
    digests = list(set(conn.execute(gone).scalars()))
    conn.execute(
        lineage_edge.delete().where(
            lineage_edge.c.digest.in_(digests),
            ~sa.exists().where(lineage_flow.c.digest == lineage_edge.c.digest),
        )
    )
