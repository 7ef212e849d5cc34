"""Raw rows that are older than they are to be kept."""

from __future__ import annotations

from typing import NamedTuple

from psycopg2 import extensions
from psycopg2.sql import SQL, Identifier

from atlas.layers import database
from atlas.layers.names import Tables


def first_aside(cur: extensions.cursor, tables: Tables) -> int | None:
    """``_atlas_id`` of the first raw row of which a row is in quarantine; None: there is none."""
    if not database.exists(cur, "chart", tables.quarantine):
        return None
    query = SQL("SELECT min(_atlas_id) FROM {}").format(Identifier("chart", tables.quarantine))
    first: int | None = database.scalar(cur, query)
    return first


class Gone(NamedTuple):
    """Raw rows that were deleted.

    Attributes:
        rows: how many.
        run_ids: the runs that had read them.
        last: of the stream no row is left whose ``_atlas_id`` is at most this.
    """

    rows: int
    run_ids: list[str]
    last: int


def forget(
    cur: extensions.cursor, tables: Tables, days: int, *, before: int | None, most: int
) -> Gone:
    """Delete of the ``most`` oldest rows those that came more than ``days`` days ago; if these are
    fewer than ``most``, no others are old enough.

    Args:
        before: only rows with a smaller ``_atlas_id``; None: any.
    """
    table = Identifier("explore", tables.raw)
    # Ids ascend with the time: what is old stands first, and the rest is not looked at.
    cur.execute(
        SQL(
            "WITH oldest AS (SELECT _atlas_id, _atlas_loaded_at FROM {table}"
            " WHERE %(before)s::bigint IS NULL OR _atlas_id < %(before)s"
            " ORDER BY _atlas_id LIMIT %(most)s),"
            " gone AS (DELETE FROM {table} r USING oldest o WHERE r._atlas_id = o._atlas_id"
            " AND o._atlas_loaded_at < now() - make_interval(days => %(days)s)"
            " RETURNING r._atlas_id, r._atlas_run_id)"
            " SELECT count(*), coalesce(max(_atlas_id), 0),"
            " array_agg(DISTINCT _atlas_run_id::text) FROM gone"
        ).format(table=table),
        {"before": before, "most": most, "days": days},
    )
    [(rows, last, run_ids)] = cur.fetchall()
    if not rows:
        return Gone(0, [], 0)
    first: int | None = database.scalar(cur, SQL("SELECT min(_atlas_id) FROM {}").format(table))
    return Gone(rows, run_ids, last if first is None else first - 1)
