"""How good a dataset is, from its score to the rows that spoil it.

A dataset is called as its table in chart and navigate.
"""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.layers import database, names, quarantine
from atlas.layers.profile import profile
from atlas.ledger import catalog, checks, datasets, runs
from atlas.ledger.catalog import Place
from atlas.ledger.checks import Checked
from atlas.ledger.database import cursor
from atlas.model.checks import Dimension
from atlas.quality.formats import FORMATS
from atlas.quality.suggest import document, suggestions
from atlas.quality.usual import MOST_RUNS, around

_TOLERANCE = 0.02
"""How far below the usual score is nothing to tell of."""


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
        return _documents(conn, found)[0]
    runs.get(conn, run_id)
    for each in checks.of_run(conn, run_id):
        if each.dataset == name:
            return _documents(conn, [each])[0]
    raise NotFound(f"dataset {name} was not checked in run {run_id}")


def of_run(conn: sa.Connection, run_id: str) -> list[dict[str, Any]]:
    """The same for each stream that a run has checked.

    Raises:
        NotFound: there is no such run.
    """
    runs.get(conn, run_id)
    return _documents(conn, checks.of_run(conn, run_id))


def page_of_run(
    conn: sa.Connection, run_id: str, *, limit: int, after: int | None = None
) -> tuple[list[dict[str, Any]], int | None]:
    """The same for at most ``limit`` streams, after the one at which the page before ended; and
    where this page ends, None: with the last of them.

    Raises:
        NotFound: there is no such run.
    """
    runs.get(conn, run_id)
    found = checks.of_run(conn, run_id, limit=limit + 1, after=after or 0)
    more = len(found) > limit
    found = found[:limit]
    return _documents(conn, found), found[-1].run_stream_id if more else None


def listed(
    conn: sa.Connection, *, limit: int, after: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """The datasets with what their last check said, by name.

    Args:
        after: what stood at the end of the page before.

    Returns: ``{"dataset", "connection", "status", "scores": {dimension: score}, "failed":
        [check]}`` each, and what stands at the end of this page; None: it is the last.
    """
    place = None if after is None else Place(0.0, after, "explore")
    found = [
        table for table, _ in catalog.listed(conn, limit=limit + 1, after=place, layer="explore")
    ]
    page = found[:limit]
    facts = catalog.facts(conn, [table.id for table in page])
    ids = [each.checked for each in facts.values() if each.checked is not None]
    scores, failed = checks.scores(conn, ids), checks.failed(conn, ids)
    items = [
        {
            "dataset": table.dataset,
            "connection": table.connection,
            "status": fact.status,
            "scores": scores.get(fact.checked or 0, {}),
            "failed": failed.get(fact.checked or 0, []),
        }
        for table in page
        for fact in [facts.get(table.id, catalog.NOTHING)]
    ]
    return items, page[-1].name if len(found) > limit else None


def summary(conn: sa.Connection, run_id: str) -> list[dict[str, Any]]:
    """The streams that a run has checked: as :func:`listed` has them, with ``status`` of the check
    and the rows that each check set aside under ``quarantined``.

    Raises:
        NotFound: there is no such run.
    """
    runs.get(conn, run_id)
    found = checks.of_run(conn, run_id)
    ids = [each.run_stream_id for each in found]
    scores, failed = checks.scores(conn, ids), checks.failed(conn, ids)
    aside = checks.all_set_aside(conn, ids)
    return [
        {
            "dataset": each.dataset,
            "connection": each.connection,
            "status": each.status,
            "scores": scores[each.run_stream_id],
            "failed": failed[each.run_stream_id],
            "quarantined": aside[each.run_stream_id],
        }
        for each in found
    ]


def measured(conn: sa.Connection, run_id: str, name: str) -> dict[tuple[str, str], float]:
    """What a run measured of a dataset, by column ("" for the rows) and metric.

    Raises:
        NotFound: there is no such run.
    """
    runs.get(conn, run_id)
    ids = [each.run_stream_id for each in checks.of_run(conn, run_id) if each.dataset == name]
    return checks.metrics(conn, ids[:1]).get(ids[0], {}) if ids else {}


def history(
    conn: sa.Connection,
    name: str,
    *,
    limit: int,
    after: int | None = None,
    check: str | None = None,
) -> list[dict[str, Any]]:
    """The scores of a dataset over time, newest first, and which checks failed.

    An anomaly is a score below what is usual by the runs before; by dimension it is told what the
    least usual score was. With ``check``, how that check went is told too.

    Raises:
        NotFound: there is no such dataset, or no such check in any of these runs.
    """
    connection, key = datasets.find(conn, name)
    # An entry is held against the runs before it, also those of the next page.
    found = checks.of_dataset(conn, connection, key, limit=limit + MOST_RUNS, before=after)
    ids = [each.run_stream_id for each in found]
    scores, failed = checks.scores(conn, ids), checks.failed(conn, ids)
    told = found[:limit]
    of_check = {} if check is None else checks.of_check(conn, ids, check)
    if check is not None and told and not of_check:
        raise NotFound(f"dataset {name} has no check {check} in its last {len(found)} runs")
    items = []
    for number, each in enumerate(told):
        before = [scores[id_] for id_ in ids[number + 1 : number + 1 + MOST_RUNS]]
        item = {
            "id": each.run_stream_id,
            "run_id": each.run_id,
            "checked_at": each.at,
            "status": each.status,
            "scores": scores[each.run_stream_id],
            "anomalies": _anomalies(scores[each.run_stream_id], before),
            "failed": failed[each.run_stream_id],
            "check": of_check.get(each.run_stream_id),
        }
        items.append(item)
    return items


def _anomalies(scores: dict[str, float], before: list[dict[str, float]]) -> dict[str, float]:
    """The least usual score of each dimension whose score is below it."""
    found = {}
    for dimension, score in scores.items():
        earlier = [each[dimension] for each in before if dimension in each]
        usual = around(earlier, _TOLERANCE)
        if usual is not None and score < usual.least:
            found[dimension] = usual.least
    return found


def suggest(conn: sa.Connection, name: str, *, seconds: float = math.inf) -> dict[str, Any]:
    """Checks that the rows of a dataset in chart suggest, as a file of SodaCL and one by one.

    Nothing is suggested that is checked already, and of masked columns only that they have values.

    Args:
        seconds: after so many no other column is looked at; ``left_out`` names those that were not.

    Raises:
        NotFound: there is no such dataset.
    """
    connection, key = datasets.find(conn, name)
    with cursor(conn) as cur:
        rows, columns, left_out = profile(cur, name, FORMATS, seconds=seconds)
    last = next((each for each in datasets.latest(conn, connection) if each.key == key), None)
    checked = checks.of_dataset(conn, connection, key)
    there = checks.results(conn, checked[0].run_stream_id) if checked else []
    found = suggestions(
        rows,
        columns,
        masked=datasets.masked(conn, connection, key),
        checked={_about(each) for each in there if _settled(each)},
        full_refresh=last is not None and last.refreshes,
    )
    return {
        "dataset": name,
        "connection": connection,
        "stream": key.name,
        "namespace": key.namespace,
        "rows": rows,
        "left_out": left_out,
        "suggestions": [
            {
                "check": each.check,
                "dimension": each.dimension.value,
                "column": each.column,
                "why": each.why,
            }
            for each in found
        ],
        "sodacl": document(key.name, found) if found else "",
    }


def _settled(check: dict[str, Any]) -> bool:
    """Whether a check is more than a guess; a key's warns, as chart has each key once anyway."""
    return check["dimension"] == Dimension.UNIQUENESS or "warn:" not in check["definition"]


def _about(check: dict[str, Any]) -> tuple[Dimension, str | None]:
    # Bounds and patterns of the schema say what is valid.
    of_schema = check["name"].endswith((".range", ".pattern"))
    dimension = Dimension.VALIDITY if of_schema else Dimension(check["dimension"])
    return dimension, check["column"]


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


def quarantines(
    conn: sa.Connection, *, limit: int, after: str = ""
) -> tuple[list[dict[str, Any]], str | None]:
    """The datasets that have rows in quarantine, by name: ``{"dataset", "connection", "rows",
    "score"}`` each, ``rows`` up to one more than :data:`atlas.layers.quarantine.COUNTED`; and what
    the next page comes after, None: there is none."""
    found = datasets.with_quarantine(conn, limit=limit + 1, after=after)
    page = found[:limit]
    with cursor(conn) as cur:
        rows = quarantine.counts(cur, [each.quarantine_name for each in page])
    facts = catalog.facts(conn, [each.id for each in page])
    items = [
        {
            "dataset": each.table_name,
            "connection": each.connection,
            "rows": count,
            "score": facts.get(each.id, catalog.NOTHING).score,
        }
        for each, count in zip(page, rows, strict=True)
        if count
    ]
    return items, page[-1].table_name if len(found) > limit else None


def failed_checks(conn: sa.Connection, name: str) -> dict[str, int]:
    """How many rows in a dataset's quarantine failed each check, the most first.

    Raises:
        NotFound: there is no such dataset.
    """
    connection, key = datasets.find(conn, name)
    with cursor(conn) as cur:
        tables = names.stored(cur, connection, key)
        if tables is None or not database.exists(cur, "chart", tables.quarantine):
            return {}
        return quarantine.by_check(cur, tables.quarantine)


def set_aside_row(conn: sa.Connection, name: str, number: int) -> dict[str, Any]:
    """One row in a dataset's quarantine, as :func:`set_aside` has it.

    Raises:
        NotFound: there is no such dataset, or no such row in its quarantine (any more).
    """
    if 0 <= number < 2**63 - 1:
        for row in set_aside(conn, name, limit=1, after=number + 1):
            if row["id"] == number:
                return row
    raise NotFound(f"row {number} is not in the quarantine of {name}: it was taken up or discarded")


def _documents(conn: sa.Connection, found: list[Checked]) -> list[dict[str, Any]]:
    """Of checked streams, all of one run: a handful of queries, however many there are."""
    if not found:
        return []
    ids = [each.run_stream_id for each in found]
    scores, results = checks.scores(conn, ids), checks.all_results(conn, ids)
    aside = checks.all_set_aside(conn, ids)
    with cursor(conn) as cur:
        left = quarantine.left_of_run(cur, found[0].run_id, [each.dataset for each in found])
    return [
        {
            "dataset": each.dataset,
            "connection": each.connection,
            "stream": each.stream,
            "namespace": each.namespace,
            "run_id": each.run_id,
            "checked_at": each.at,
            "status": each.status,
            "scores": scores[each.run_stream_id],
            "checks": results[each.run_stream_id],
            "quarantined": aside[each.run_stream_id],
            "in_quarantine": left.get(each.dataset, 0),
        }
        for each in found
    ]
