"""Raw rows that are older than they are to be kept."""

from __future__ import annotations

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


def forget(
    cur: extensions.cursor, tables: Tables, days: int, *, before: int | None, most: int
) -> int:
    """Delete of the ``most`` oldest rows those that came more than ``days`` days ago.

    Args:
        before: only rows with a smaller ``_atlas_id``; None: any.

    Returns: how many; fewer than ``most``: no others are old enough.
    """
    # Ids ascend with the time: what is old stands first, and the rest is not looked at.
    cur.execute(
        SQL(
            "WITH oldest AS (SELECT _atlas_id, _atlas_loaded_at FROM {table}"
            " WHERE %(before)s::bigint IS NULL OR _atlas_id < %(before)s"
            " ORDER BY _atlas_id LIMIT %(most)s)"
            " DELETE FROM {table} r USING oldest o WHERE r._atlas_id = o._atlas_id"
            " AND o._atlas_loaded_at < now() - make_interval(days => %(days)s)"
        ).format(table=Identifier("explore", tables.raw)),
        {"before": before, "most": most, "days": days},
    )
    return cur.rowcount
