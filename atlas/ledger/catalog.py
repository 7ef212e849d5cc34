"""The catalog of datasets: which tables there are, by name or by words, and what the runs say of
them. A dataset is a stream's data; in each layer it is a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from atlas.ledger.tables import (
    finding,
    quality_score,
    run,
    run_stream,
    stream_column,
    stream_table,
)
from atlas.model.stream import StreamKey

LAYERS = ("explore", "chart", "navigate")

_TABLES = """
SELECT s.id, s.connection, nullif(s.namespace, '') AS namespace, s.stream, s.table_name AS dataset,
       l.layer, l.name, nullif(c.reltuples, -1)::bigint AS estimated_rows,
       coalesce(n.description, i.description) AS description, n.owner,
       coalesce(n.tags, '{}') AS tags
  FROM pipeline.stream_table s
 CROSS JOIN LATERAL (VALUES ('explore', s.raw_name), ('chart', s.table_name),
                            ('navigate', s.table_name)) l(layer, name)
  JOIN pg_catalog.pg_namespace space ON space.nspname = l.layer
  JOIN pg_catalog.pg_class c
       ON c.relnamespace = space.oid AND c.relname = l.name AND c.relkind IN ('r', 'p')
  LEFT JOIN pipeline.dataset_note n ON n.stream_table_id = s.id AND n.column_name = ''
  LEFT JOIN pipeline.dataset_index i ON i.stream_table_id = s.id
"""

# A word is looked for as it is and, by the rules of English, without its ending. Where all are
# words that English leaves out, the first half alone is asked.
_QUERY = "(websearch_to_tsquery('simple', :words) || websearch_to_tsquery('english', :words))"

_MATCHING = f"""
SELECT * FROM (
  SELECT t.*, CASE WHEN :words IS NULL OR NOT :ranked THEN 0
                   ELSE ts_rank(found.search, {_QUERY})::double precision END AS rank
    FROM ({_TABLES}) t
    LEFT JOIN pipeline.dataset_index found ON found.stream_table_id = t.id
   WHERE (:words IS NULL OR found.search @@ {_QUERY})
     AND (CAST(:layer AS text) IS NULL OR t.layer = :layer)
     AND (CAST(:connection AS text) IS NULL OR t.connection = :connection)
     AND (CAST(:tag AS text) IS NULL OR :tag = ANY (t.tags))
     AND (CAST(:owner AS text) IS NULL OR t.owner = :owner)) listed
 WHERE CAST(:name AS text) IS NULL
"""  # noqa: S608 - no value is in it
_UP = sa.text(
    _MATCHING
    + """
    OR (-rank, name COLLATE "C", layer COLLATE "C") > (-CAST(:rank AS double precision), :name,
                                                       :after_layer)
 ORDER BY -rank, name COLLATE "C", layer COLLATE "C"
 LIMIT :limit
"""
).bindparams(sa.bindparam("words", type_=sa.Text))
_DOWN = sa.text(
    _MATCHING
    + """
    OR (name COLLATE "C", layer COLLATE "C") < (:name, :after_layer)
 ORDER BY name COLLATE "C" DESC, layer COLLATE "C" DESC
 LIMIT :limit
"""
).bindparams(sa.bindparam("words", type_=sa.Text))

_OF_ONE = sa.text(f"{_TABLES} WHERE s.id = :id")


def _last(name: str, what: str, where: str, stage: str = "") -> str:
    """A lateral table: ``what`` of the last run of stream ``s`` of which ``where`` is true. It
    walks back from the newest run of the connection, and so costs the same after a year, and with
    however many connections that have a stream of this name."""
    joined = stage and f"JOIN pipeline.stage_run g ON g.run_stream_id = rs.id AND {stage}"
    return f"""
  LEFT JOIN LATERAL (
       SELECT {what} AS found
         FROM pipeline.run r
         JOIN pipeline.run_stream rs
              ON rs.run_id = r.id AND rs.stream = s.stream AND rs.namespace = s.namespace
         {joined}
        WHERE r.connection = s.connection AND {where}
        ORDER BY r.seq DESC LIMIT 1) {name} ON true"""  # noqa: S608 - no value is in it


_READ = "r.trigger NOT IN ('remask', 'reprocess')"
_DONE = "g.stage = '{}' AND g.status = 'succeeded'"
_LAST = sa.text(
    "SELECT s.id, last.found AS last, explore.found AS explore, chart.found AS chart,"  # noqa: S608 - no value is in it
    " navigate.found AS navigate, scanned.found AS scanned, checked.found AS checked"
    "  FROM pipeline.stream_table s"
    + _last("last", "rs.id", "true")
    + _last("explore", "rs.explored_at", f"rs.explored_at IS NOT NULL AND {_READ}")
    + _last("chart", "g.finished_at", _READ, _DONE.format("chart"))
    + _last("navigate", "g.finished_at", _READ, _DONE.format("navigate"))
    # What brought no rows says nothing of them, and a few that were taken up again say little.
    + _last(
        "scanned",
        "rs.id",
        "r.trigger <> 'reprocess'"
        " AND (rs.rows_explore + rs.rows_carried > 0 OR rs.remasked IS NOT NULL)",
        _DONE.format("pii"),
    )
    # The scores of a few rows that were taken up again are no scores of the dataset.
    + _last(
        "checked",
        "rs.id",
        "r.trigger <> 'reprocess' AND EXISTS"
        " (SELECT FROM pipeline.quality_score q WHERE q.run_stream_id = rs.id)",
        "g.stage = 'quality' AND g.status IN ('succeeded', 'blocked')",
    )
    + " WHERE s.id = ANY (:ids)"
)


class Table(NamedTuple):
    """A table of a dataset that is there. ``estimated_rows`` is PostgreSQL's, None: it has none;
    ``id`` is that of its row in ``stream_table``."""

    id: int
    connection: str
    namespace: str | None
    stream: str
    dataset: str
    layer: str
    name: str
    estimated_rows: int | None
    description: str | None
    owner: str | None
    tags: list[str]

    @property
    def key(self) -> StreamKey:
        """The stream."""
        return StreamKey(self.stream, self.namespace)


class Place(NamedTuple):
    """Where in the list a table stands: what matches better, then the name, then the layer."""

    rank: float
    name: str
    layer: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the runs say of a dataset.

    Attributes:
        loaded_at: by layer, when a run last ended bringing it up to date.
        status: of the stream in its last run; None: there is none.
        personal: entity types of the last scan.
        score: the overall one of the last run that checked it, from 0 to 1.
        scanned: id of the run stream of the last scan.
        checked: id of the run stream that was checked last.
    """

    loaded_at: dict[str, datetime | None]
    status: str | None = None
    personal: tuple[str, ...] = ()
    score: float | None = None
    scanned: int | None = None
    checked: int | None = None


NOTHING = Facts(dict.fromkeys(LAYERS))


def listed(
    conn: sa.Connection,
    *,
    limit: int,
    after: Place | None = None,
    words: str | None = None,
    layer: str | None = None,
    connection: str | None = None,
    tag: str | None = None,
    owner: str | None = None,
    sort: str | None = None,
) -> list[tuple[Table, Place]]:
    """Tables by name or, with ``words`` and without ``sort``, the best match first.

    Args:
        after: only those behind this one.
        words: as in a web search: all of them, ``"a phrase"``, ``-not``, ``this or that``.
        sort: ``name``, or ``-name``, the other way.
    """
    rows = conn.execute(
        _DOWN if sort == "-name" else _UP,
        {
            "words": words,
            "ranked": sort is None,
            "layer": layer,
            "connection": connection,
            "tag": tag,
            "owner": owner,
            "limit": limit,
            "rank": after.rank if after else 0.0,
            "name": after.name if after else None,
            "after_layer": after.layer if after else None,
        },
    )
    return [(Table(*row[:-1]), Place(row.rank, row.name, row.layer)) for row in rows]


def has_words(conn: sa.Connection, words: str) -> bool:
    """Whether there is anything in ``words`` to search for."""
    return bool(conn.execute(sa.text(f"SELECT numnode({_QUERY})"), {"words": words}).scalar())


def tables(conn: sa.Connection, dataset: int) -> list[Table]:
    """The tables of a dataset, in the order of the layers."""
    found = [Table(*row) for row in conn.execute(_OF_ONE, {"id": dataset})]
    return sorted(found, key=lambda each: LAYERS.index(each.layer))


def facts(conn: sa.Connection, datasets: Sequence[int]) -> dict[int, Facts]:
    """What the runs say of these datasets; one without runs is left out."""
    last = conn.execute(_LAST, {"ids": list(datasets)}).all()
    statuses = _pairs(
        conn,
        sa.select(run_stream.c.id, run_stream.c.status).where(
            run_stream.c.id.in_([row.last for row in last])
        ),
    )
    scores = _pairs(
        conn,
        sa.select(quality_score.c.run_stream_id, quality_score.c.score).where(
            quality_score.c.run_stream_id.in_([row.checked for row in last]),
            quality_score.c.dimension == "overall",
        ),
    )
    personal: dict[int, list[str]] = {}
    for each, entity in conn.execute(
        sa.select(finding.c.run_stream_id, finding.c.entity_type)
        .where(finding.c.run_stream_id.in_([row.scanned for row in last]))
        .distinct()
        .order_by(finding.c.entity_type)
    ):
        personal.setdefault(each, []).append(entity)
    return {
        row.id: Facts(
            {layer: getattr(row, layer) for layer in LAYERS},
            statuses.get(row.last),
            tuple(personal.get(row.scanned, ())),
            scores.get(row.checked),
            row.scanned,
            row.checked,
        )
        for row in last
    }


def _pairs(conn: sa.Connection, query: sa.Select[Any]) -> dict[int, Any]:
    return {row[0]: row[1] for row in conn.execute(query)}


def columns(conn: sa.Connection, connection: str, key: StreamKey) -> list[sa.Row[Any]]:
    """``column_name``, ``property`` and ``column_type`` of a stream's columns, in their order."""
    of_stream = (stream_column.c.connection, stream_column.c.namespace, stream_column.c.stream)
    return list(
        conn.execute(
            sa.select(
                stream_column.c.column_name, stream_column.c.property, stream_column.c.column_type
            )
            .where(sa.tuple_(*of_stream) == (connection, key.namespace or "", key.name))
            .order_by(stream_column.c.position)
        )
    )


def of_connections(conn: sa.Connection, names: Sequence[str], *, limit: int) -> list[Table]:
    """The tables in explore of these connections' datasets, by name."""
    query = sa.text(
        f"SELECT * FROM ({_TABLES}) t WHERE t.layer = 'explore' AND t.connection = ANY (:names)"  # noqa: S608 - no value is in it
        ' ORDER BY t.dataset COLLATE "C" LIMIT :limit'
    )
    return [Table(*row) for row in conn.execute(query, {"names": list(names), "limit": limit})]


def columns_of(conn: sa.Connection, datasets: Sequence[int]) -> dict[int, dict[str, str]]:
    """The columns of each of these datasets, by property."""
    rows = conn.execute(
        sa.select(stream_table.c.id, stream_column.c.property, stream_column.c.column_name)
        .join(
            stream_column,
            sa.and_(
                stream_column.c.connection == stream_table.c.connection,
                stream_column.c.namespace == stream_table.c.namespace,
                stream_column.c.stream == stream_table.c.stream,
            ),
        )
        .where(stream_table.c.id.in_(datasets))
    )
    found: dict[int, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row.id, {})[row.property] = row.column_name
    return found


def keys_of(conn: sa.Connection, run_streams: Sequence[int]) -> dict[int, list[str]]:
    """The properties that the primary key of each of these run streams is of, or lies in."""
    rows = conn.execute(
        sa.select(run_stream.c.id, run_stream.c.configured).where(run_stream.c.id.in_(run_streams))
    )
    return {row.id: [path[0] for path in row.configured.get("primary_key") or ()] for row in rows}


def last_runs(
    conn: sa.Connection, connection: str, key: StreamKey, *, limit: int
) -> list[dict[str, Any]]:
    """The last runs of a stream, newest first: ``{"run_id", "trigger", "status", "created_at",
    "finished_at", "rows": {"explore", "promoted", "quarantined"}}``; the status is the stream's."""
    rows = conn.execute(
        _of_stream(
            sa.select(
                run_stream.c.run_id,
                run.c.trigger,
                run_stream.c.status,
                run.c.created_at,
                run.c.finished_at,
                run_stream.c.rows_explore,
                run_stream.c.rows_promoted,
                run_stream.c.rows_quarantined,
            ),
            connection,
            key,
        ).limit(limit)
    )
    return [
        {
            "run_id": row.run_id,
            "trigger": row.trigger,
            "status": row.status,
            "created_at": row.created_at,
            "finished_at": row.finished_at,
            "rows": {
                "explore": row.rows_explore,
                "promoted": row.rows_promoted,
                "quarantined": row.rows_quarantined,
            },
        }
        for row in rows
    ]


def schema(conn: sa.Connection, connection: str, key: StreamKey) -> dict[str, Any]:
    """The JSON schema with which a stream was read last; empty: it never was."""
    found = conn.execute(
        _of_stream(sa.select(run_stream.c.configured), connection, key).limit(1)
    ).scalar()
    of_stream = found.get("json_schema") if isinstance(found, dict) else None
    return of_stream if isinstance(of_stream, dict) else {}


def _of_stream(query: sa.Select[Any], connection: str, key: StreamKey) -> sa.Select[Any]:
    return (
        query.join_from(run_stream, run, run.c.id == run_stream.c.run_id)
        .where(
            run.c.connection == connection,
            run_stream.c.stream == key.name,
            run_stream.c.namespace == (key.namespace or ""),
        )
        .order_by(run_stream.c.id.desc())
    )
