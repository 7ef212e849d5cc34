"""What a dataset looks like: the versions of one key, what its runs measured, its values now.

A dataset is called as its table in chart and navigate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from atlas.errors import Conflict, NotFound, TerminalError, UsageError
from atlas.layers import database, keys, names, profile, versions
from atlas.layers.keys import Key
from atlas.ledger import checks, datasets, erasures
from atlas.ledger.database import cursor
from atlas.quality.formats import FORMATS

MOST_VERSIONS = 30
MOST_RUNS = 20


def key_columns(conn: sa.Connection, name: str) -> list[str]:
    """What the fields of a dataset's key are called: ``id``, or ``document.id`` where it lies in a
    column; none: it has no key, or no history yet.

    Raises:
        NotFound: there is no such dataset.
    """
    return [".".join((part.column, *part.path)) for part in _key(conn, name).parts]


def versions_of(conn: sa.Connection, name: str, version: int) -> dict[str, Any]:
    """The last :data:`MOST_VERSIONS` versions of the key that ``version`` is one of.

    Returns: ``{"dataset", "key": [column], "versions": [{"version", "valid_from", "valid_to",
        "run_id", "row", "cut", "changed"}], "more": bool}``, newest first, masked as the table is.

    Raises:
        NotFound: there is no such dataset or version.
    """
    key = _key(conn, name)
    found: list[dict[str, Any]] = []
    more = False
    with cursor(conn) as cur:
        if database.exists(cur, "navigate", name) and 0 <= version < 2**63:
            found, more = versions.of_key(cur, name, key, version, limit=MOST_VERSIONS)
    if not found:
        raise NotFound(f"dataset {name} has no version {version} in navigate")
    return {"dataset": name, "key": list(key.columns()), "versions": found, "more": more}


def find_version(conn: sa.Connection, name: str, values: Mapping[str, str]) -> int | None:
    """The last version of the key with these values, as they stand in the table (a masked one as it
    is masked); None: there is none.

    Args:
        values: by what :func:`key_columns` calls the fields.

    Raises:
        NotFound: there is no such dataset. UsageError: it has no key, or a field has no value.
    """
    wanted = key_columns(conn, name)
    if not wanted:
        raise UsageError(f"dataset {name} has no key to look for")
    given = [values.get(field, "") for field in wanted]
    if any(not text or "\0" in text for text in given):
        raise UsageError(f"say a value of {' and of '.join(wanted)}")
    with cursor(conn) as cur:
        return versions.find(cur, name, _key(conn, name), given)


def measured(conn: sa.Connection, name: str) -> dict[str, Any]:
    """What the last :data:`MOST_RUNS` runs measured of a dataset's columns, oldest first.

    Returns: ``{"runs": [{"run_id", "at"}], "rows": [number | None], "columns": {column: {metric:
        [number | None]}}}``: a number a run, None where it was not measured.

    Raises:
        NotFound: there is no such dataset.
    """
    connection, key = datasets.find(conn, name)
    checked = checks.of_dataset(conn, connection, key, limit=MOST_RUNS)[::-1]
    found = checks.metrics(conn, [each.run_stream_id for each in checked])
    columns: dict[str, dict[str, list[float | None]]] = {}
    for place in sorted({place for each in found.values() for place in each}):
        columns.setdefault(place[0], {})[place[1]] = [
            found[each.run_stream_id].get(place) for each in checked
        ]
    rows = columns.pop("", {}).get("rows", [])
    return {
        "runs": [{"run_id": each.run_id, "at": each.at} for each in checked],
        "rows": rows,
        "columns": columns,
    }


def profiled(conn: sa.Connection, name: str, *, seconds: float) -> dict[str, Any]:
    """What the values of a dataset in chart are now: see :func:`atlas.layers.profile.profile`.

    Args:
        seconds: after so many no other column is looked at.

    Returns: ``{"rows": looked at, "columns": [ColumnProfile], "left_out": [column]}``.

    Raises:
        NotFound: there is no such dataset, or it has not come to chart yet.
    """
    datasets.find(conn, name)
    with cursor(conn) as cur:
        if not database.exists(cur, "chart", name):
            raise NotFound(f"dataset {name} has not come to chart yet")
        rows, columns, left_out = profile.profile(cur, name, FORMATS, seconds=seconds)
    return {"rows": rows, "columns": columns, "left_out": left_out}


def _key(conn: sa.Connection, name: str) -> Key:
    connection, stream = datasets.find(conn, name)
    last = erasures.latest(conn, connection, stream)
    with cursor(conn) as cur:
        there = database.existing(cur, "navigate", name)
        if last is None or not there:
            return Key(())
        columns = names.columns(cur, connection, stream, {}).all
    types = {column: each.type for column, each in there.items()}
    try:
        return keys.key(last.configured.primary_key, columns, types)
    except TerminalError as error:
        raise Conflict(
            f"the history of {name} has another key than its stream now: {error}"
        ) from error
