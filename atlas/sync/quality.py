"""How good a dataset is, from its score to the rows that spoil it.

A dataset is called as its table in chart and navigate.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.layers import quarantine
from atlas.layers.reprocess import Chosen
from atlas.ledger import checks, datasets, runs
from atlas.ledger.checks import Checked
from atlas.ledger.database import cursor
from atlas.model.stream import StreamKey


def show(conn: sa.Connection, name: str, run_id: str | None = None) -> dict[str, Any]:
    """Scores and checks of a dataset as of a run, or of the last run that checked it.

    Raises:
        NotFound: there is no such dataset or run, or it was not checked (in that run).
    """
    connection, key = datasets.find(conn, name)
    if run_id is None:
        found = checks.of_dataset(conn, connection, key)
        if not found:
            raise NotFound(f"dataset {name} has not been checked yet")
        return _document(conn, found[0])
    runs.get(conn, run_id)
    for each in checks.of_run(conn, run_id):
        if each.dataset == name:
            return _document(conn, each)
    raise NotFound(f"dataset {name} was not checked in run {run_id}")


def of_run(conn: sa.Connection, run_id: str) -> list[dict[str, Any]]:
    """The same for each stream that a run has checked.

    Raises:
        NotFound: there is no such run.
    """
    runs.get(conn, run_id)
    return [_document(conn, each) for each in checks.of_run(conn, run_id)]


def history(
    conn: sa.Connection, name: str, *, limit: int, after: int | None = None
) -> list[dict[str, Any]]:
    """The scores of a dataset over time, newest first, and which checks failed.

    Raises:
        NotFound: there is no such dataset.
    """
    connection, key = datasets.find(conn, name)
    found = checks.of_dataset(conn, connection, key, limit=limit, before=after)
    ids = [each.run_stream_id for each in found]
    scores, failed = checks.scores(conn, ids), checks.failed(conn, ids)
    return [
        {
            "id": each.run_stream_id,
            "run_id": each.run_id,
            "checked_at": each.at,
            "status": each.status,
            "scores": scores[each.run_stream_id],
            "failed": failed[each.run_stream_id],
        }
        for each in found
    ]


def set_aside(
    conn: sa.Connection,
    name: str,
    *,
    limit: int,
    after: int | None = None,
    run_id: str | None = None,
    check: str | None = None,
) -> list[dict[str, Any]]:
    """Rows in a dataset's quarantine, newest first, masked as the policy says: see
    :func:`atlas.layers.quarantine.rows`.

    Raises:
        NotFound: there is no such dataset or run.
    """
    connection, key = datasets.find(conn, name)
    if run_id is not None:
        runs.get(conn, run_id)
    with cursor(conn) as cur:
        return quarantine.rows(
            cur, connection, key, limit=limit, before=after, run_id=run_id, check=check
        )


def _document(conn: sa.Connection, found: Checked) -> dict[str, Any]:
    key = StreamKey(found.stream, found.namespace)
    with cursor(conn) as cur:
        left = quarantine.count(cur, found.connection, key, Chosen(run_id=found.run_id))
    return {
        "dataset": found.dataset,
        "connection": found.connection,
        "stream": found.stream,
        "namespace": found.namespace,
        "run_id": found.run_id,
        "checked_at": found.at,
        "status": found.status,
        "scores": checks.scores(conn, [found.run_stream_id])[found.run_stream_id],
        "checks": checks.results(conn, found.run_stream_id),
        "quarantined": checks.set_aside(conn, found.run_stream_id),
        "in_quarantine": left,
    }
