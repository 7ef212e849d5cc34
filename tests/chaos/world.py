"""What the trials sync, and all that must be the same afterwards whatever happened meanwhile.

Each sync after the first changes, adds and deletes, so that history is written. Stream ``orders``
is incremental, with tombstones and one row that quarantine takes; ``people`` is read from its start
each time, is about persons, and has more rows than one part of a scan.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

SOURCE = Path(__file__).with_name("source.py")
STREAMS = ("orders", "people")
HELD_AFTER = 12
"""Records of a later sync after which its source can be held: commits stand on both sides."""

_ORDERS = {
    "schema": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "integer"},
            "email": {"type": ["null", "string"]},
            "city_code": {"type": ["null", "string"]},
            "amount": {"type": ["null", "number"]},
            "updated_at": {"type": "string", "format": "date-time"},
            "_ab_cdc_deleted_at": {"type": ["null", "string"], "format": "date-time"},
        },
    },
    "primary_key": [["id"]],
    "cursor_field": ["updated_at"],
    "supports_incremental": True,
}
_PEOPLE = {
    "schema": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "integer"},
            "name": {"type": ["null", "string"]},
            "email": {"type": ["null", "string"]},
            "note": {"type": ["null", "string"]},
            "visits": {"type": ["null", "integer"]},
        },
    },
    "primary_key": [["id"]],
    "supports_incremental": False,
}
_FIRST = ("Anna", "Boris", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas")
_LAST = ("Miller", "Schmidt", "Jensen", "Dubois", "Rossi", "Novak", "Garcia", "Larsen", "Weber")


def _order(
    number: int, day: int, minute: int, *, amount: Any = 1.5, gone: bool = False
) -> dict[str, Any]:
    at = f"2026-01-{day:02d}T{minute // 60:02d}:{minute % 60:02d}:00Z"
    return {
        "id": number,
        "email": f"person{number}@example{number % 7}.org",
        "city_code": f"A{number % 3}",
        "amount": amount,
        "updated_at": at,
        "_ab_cdc_deleted_at": at if gone else None,
    }


def _person(number: int, visits: int) -> dict[str, Any]:
    name = f"{_FIRST[number % 10]} {_LAST[number % 9]}"
    return {
        "id": number,
        "name": name,
        "email": f"{name.replace(' ', '.').lower()}{number}@example.com",
        "note": f"{name} asked to be called back on order {number}.",
        "visits": visits,
    }


def write(path: Path, sync: int) -> None:
    """What the source holds at the first sync, the second and so on."""
    later = sync - 2
    if sync == 1:
        orders = [_order(n, sync, n) for n in range(1, 31)]
        people = [_person(n, 1) for n in range(1, 81)]
    else:
        new, gone = 31 + 15 * later, 3 + 2 * later
        orders = [
            *(_order(n, sync, 60 + n, amount=100 * later + n) for n in range(11, 21)),  # changed
            *(_order(n, sync, 100 + n) for n in range(new, new + 15)),
            *(_order(n, sync, 600 + n, gone=True) for n in (gone, gone + 1)),
            _order(10_000 + sync, sync, 900, amount="no number"),  # set aside
        ]
        people = [
            *(_person(n, 1) for n in range(9 - 4 * (later % 2), 71)),  # some are gone, or back
            *(_person(n, sync) for n in range(71, 81)),  # changed
            *(_person(n, 1) for n in range(81, 92 + sync)),  # some are new
        ]
    streams = {
        "orders": {**_ORDERS, "records": orders},
        "people": {**_PEOPLE, "records": people},
    }
    path.write_text(json.dumps({"streams": streams}))


def connection(name: str, directory: Path, *, pace: float = 0.0) -> dict[str, Any]:
    """The connection ``name``; its rows and the file that holds its source are in ``directory``."""
    return {
        "name": name,
        "executable": str(SOURCE),
        "config": {
            "records_file": str(rows_file(directory, name)),
            "state_every": 5,
            # What stands at the state's cursor is not sent again: explore can be compared.
            "exclusive": True,
            "hold": {"records": HELD_AFTER, "file": str(hold_file(directory, name))},
            "pace": pace,
        },
        "streams": {
            "orders": {"sync_mode": "incremental"},
            "people": {"sync_mode": "full_refresh"},
        },
        # Tokens differ where values do, so that rows stay comparable.
        "pii": {"entities": {"EMAIL_ADDRESS": "tokenize", "PERSON": "tokenize"}},
    }


def rows_file(directory: Path, name: str) -> Path:
    """Where the source of connection ``name`` finds its rows."""
    return directory / f"{name}.rows.json"


def hold_file(directory: Path, name: str) -> Path:
    """What holds the source of connection ``name`` while it exists."""
    return directory / f"{name}.hold"


Picture = dict[str, Counter[str]]
"""What a connection has left, by kind: rows as text with their number."""

_OWN_RUNS = (
    "SELECT CAST(id AS text), extracted_at, created_at FROM pipeline.run"
    " WHERE connection = :c ORDER BY seq"
)
_OF_STREAMS = (
    " JOIN pipeline.run_stream s ON s.id = x.run_stream_id"
    " JOIN pipeline.run r ON r.id = s.run_id WHERE r.connection = :c"
)
_LEDGER = {
    "state": (
        "SELECT x.namespace, x.stream, x.type,"
        " x.state - 'sourceStats' - 'destinationStats', x.run_id"
        " FROM pipeline.connector_state x"
        " JOIN pipeline.connection c ON c.id = x.connection_id WHERE c.name = :c"
    ),
    "state history": (
        "SELECT x.namespace, x.stream, x.type,"
        " x.state - 'sourceStats' - 'destinationStats', x.run_id"
        " FROM pipeline.state_history x"
        " JOIN pipeline.connection c ON c.id = x.connection_id WHERE c.name = :c"
    ),
    "findings": (
        "SELECT s.run_id, s.stream, x.column_name, x.path, x.entity_type, x.scope, x.operator,"
        " round(CAST(x.score AS numeric), 6), round(CAST(x.share AS numeric), 6)"
        " FROM pipeline.finding x" + _OF_STREAMS
    ),
    "checks": (
        "SELECT s.run_id, s.stream, x.name, x.dimension, x.column_name, x.outcome, x.failed_rows,"
        " round(CAST(x.score AS numeric), 6) FROM pipeline.check_result x" + _OF_STREAMS
    ),
    "scores": (
        "SELECT s.run_id, s.stream, x.dimension, round(CAST(x.score AS numeric), 6)"
        " FROM pipeline.quality_score x" + _OF_STREAMS
    ),
    "quarantined": (
        "SELECT s.run_id, s.stream, x.check_name, x.rows FROM pipeline.quarantine x" + _OF_STREAMS
    ),
    "schema changes": (
        "SELECT s.run_id, s.stream, x.column_name, x.change FROM pipeline.schema_change x"
        + _OF_STREAMS
    ),
    "segments": (
        "SELECT s.run_id, s.stream, sum(x.rows), bool_and(x.covered) FROM pipeline.segment x"
        + _OF_STREAMS
        + " GROUP BY 1, 2"
    ),
    "runs": "SELECT id, trigger, status FROM pipeline.run WHERE connection = :c",
    "streams": (
        "SELECT s.run_id, s.stream, s.status, s.rows_explore, s.rows_carried, s.rows_promoted,"
        " s.rows_quarantined, s.rows_superseded, s.rows_tombstones, s.rows_deleted,"
        " s.versions_opened, s.versions_closed"
        " FROM pipeline.run_stream s JOIN pipeline.run r ON r.id = s.run_id"
        " WHERE r.connection = :c"
    ),
    "stages": (
        "SELECT x.run_id, s.stream, x.stage, x.status, x.rows FROM pipeline.stage_run x"
        " LEFT JOIN pipeline.run_stream s ON s.id = x.run_stream_id"
        " JOIN pipeline.run r ON r.id = x.run_id WHERE r.connection = :c"
    ),
}
# What differs from run to run by its nature: ids from sequences, and the source's clock.
_LEFT_OUT = {"_atlas_id", "surrogate_key", "_atlas_emitted_at", "_atlas_loaded_at"}


def picture(conn: sa.Connection, name: str) -> Picture:
    """All that the syncs of connection ``name`` left; a run stands as its number."""
    found: Picture = {}
    runs = conn.execute(sa.text(_OWN_RUNS), {"c": name}).all()
    numbers: dict[Any, str] = {}
    for number, (run_id, extracted_at, _) in enumerate(runs, 1):
        numbers[run_id] = numbers[extracted_at] = f"run {number}"

    def told(value: Any) -> str:
        known = numbers.get(str(value)) or (numbers.get(value) if _hashable(value) else None)
        return known or (json.dumps(value, sort_keys=True) if _nested(value) else str(value))

    def rows(query: str) -> Counter[str]:
        result = conn.execute(sa.text(query), {"c": name})
        kept = [key for key in result.keys() if key not in _LEFT_OUT]  # noqa: SIM118
        return Counter(
            " | ".join(told(value) for value in row)
            for row in (tuple(line._mapping[key] for key in kept) for line in result)
        )

    for kind, query in _LEDGER.items():
        found[kind] = rows(query)
    for stream in STREAMS:
        table = f"{name}_{stream}"
        found[f"explore {stream}"] = rows(f"SELECT * FROM explore.{table}_raw")
        found[f"chart {stream}"] = rows(f"SELECT * FROM chart.{table}")
        found[f"quarantine {stream}"] = rows(f"SELECT * FROM chart.{table}_quarantine")
        found[f"navigate {stream}"] = rows(f"SELECT * FROM navigate.{table}")
    found["lineage"] = _lineage(conn, name, {run_id: numbers[run_id] for run_id, _, _ in runs})
    return {
        kind: Counter({line.replace(name, "<own>"): n for line, n in lines.items()})
        for kind, lines in found.items()
    }


def _hashable(value: Any) -> bool:
    return not _nested(value)


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _lineage(conn: sa.Connection, name: str, numbers: dict[str, str]) -> Counter[str]:
    """COMPLETE of each run and stage with the rows it tells of; and what must not be: an attempt
    that began and has no end, or two ends, or an end without a beginning."""
    told: Counter[str] = Counter()
    kinds: dict[tuple[str, str, str], Counter[str]] = {}
    query = (
        "SELECT CAST(e.run_id AS text), e.event FROM pipeline.lineage_event e"
        " JOIN pipeline.run r ON r.id = e.run_id WHERE r.connection = :c"
    )
    for run_id, event in conn.execute(sa.text(query), {"c": name}):
        job = event["job"]["name"]
        attempt = (numbers[run_id], job, event["run"]["runId"])
        kinds.setdefault(attempt, Counter())[event["eventType"]] += 1
        if event["eventType"] == "COMPLETE":
            told[f"{numbers[run_id]} | {job} | COMPLETE | {_counts(event)}"] += 1
    for (number, job, _), seen in kinds.items():
        ends = seen.total() - seen["START"] - seen["RUNNING"]
        if (seen["START"], ends) != (1, 1) or seen["RUNNING"] > 1:
            told[f"{number} | {job} | an attempt with {dict(sorted(seen.items()))}"] += 1
    return told


def _counts(event: dict[str, Any]) -> str:
    found = []
    for side, facets, key in (
        ("inputs", "inputFacets", "inputStatistics"),
        ("outputs", "outputFacets", "outputStatistics"),
    ):
        for dataset in event.get(side) or ():
            count = (dataset.get(facets) or {}).get(key, {}).get("rowCount")
            found.append(f"{side} {dataset['name']} {count}")
    return ", ".join(found)


def missing(want: Picture, got: Picture) -> list[str]:
    """What ``want`` has and ``got`` has not, a line each."""
    return [
        f"{kind}: {line}" + (f" (x{count})" if count > 1 else "")
        for kind, lines in want.items()
        for line, count in sorted((lines - got.get(kind, Counter())).items())
    ]
