"""PyAirbyte's own source of hostile scenarios: each stream lands complete, value by value."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from psycopg2 import sql

from tests.e2e.conftest import Atlas

PROGRAM = Path(sys.executable).with_name("source-smoke-test")
CONFIG = {"all_slow_streams": True}


def _messages(directory: Path, verb: str, **files: Any) -> list[dict[str, Any]]:
    """What the source says when it is run alone."""
    arguments = []
    for name, content in files.items():
        path = directory / f"{name}.json"
        path.write_text(json.dumps(content))
        arguments += [f"--{name}", str(path)]
    done = subprocess.run([PROGRAM, verb, *arguments], capture_output=True, check=True, text=True)
    return [json.loads(line, parse_float=Decimal) for line in done.stdout.splitlines()]


def _emitted(directory: Path) -> dict[str, tuple[Any, list[dict[str, Any]]]]:
    """By stream its primary key and its records."""
    (catalog,) = (
        message["catalog"]["streams"]
        for message in _messages(directory, "discover", config=CONFIG)
        if message["type"] == "CATALOG"
    )
    configured = [
        {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
        for stream in catalog
    ]
    found = {stream["name"]: (stream.get("source_defined_primary_key"), []) for stream in catalog}
    read = _messages(directory, "read", config=CONFIG, catalog={"streams": configured})
    for message in read:
        if message["type"] == "RECORD":
            found[message["record"]["stream"]][1].append(message["record"]["data"])
    return found


def _dump(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    """Numbers by their value, exactly: PostgreSQL writes 1e3 as 1000."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return f"{Decimal(value).normalize(Context(prec=1000)):E}"
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _as(kind: str, value: Any) -> Any:
    """A value in a column of its type: of a union with text all are texts."""
    if kind != "text" or value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def test_every_scenario_lands_complete(atlas: Atlas, tmp_path: Path) -> None:
    emitted = _emitted(tmp_path)
    assert len(emitted) >= 20
    # Nothing is masked, so that values can be compared; what would be is not this test's.
    keep = {"policy": "default", "columns": {}}
    names = {stream: {c for row in rows for c in row} for stream, (_, rows) in emitted.items()}
    keep["columns"] = {c: "keep" for found in names.values() for c in found}
    atlas.apply({"name": "smoke", "executable": str(PROGRAM), "config": CONFIG, "pii": keep})
    document = atlas.sync("smoke")
    counts = {part["stream"]: part["rows"] for part in document["streams"]}
    assert set(counts) == set(emitted)
    for stream, (key, rows) in emitted.items():
        got = counts[stream]
        latest = {_dump([row[part[0]] for part in key]): row for row in rows} if key else None
        wanted = list(latest.values()) if latest is not None else rows
        assert (got["explore"], got["quarantined"]) == (len(rows), 0), stream
        assert (got["promoted"], got["superseded"]) == (
            len(wanted),
            len(rows) - len(wanted),
        ), stream
        _compare(atlas, stream, rows, wanted)


def _compare(
    atlas: Atlas, stream: str, rows: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    with atlas.engine.begin() as conn:
        tables = conn.execute(
            sa.text(
                "SELECT table_name, raw_name FROM pipeline.stream_table"
                " WHERE connection = 'smoke' AND stream = :s"
            ),
            {"s": stream},
        ).one()
        columns = conn.execute(
            sa.text(
                "SELECT property, column_name, column_type FROM pipeline.stream_column"
                " WHERE connection = 'smoke' AND stream = :s"
            ),
            {"s": stream},
        ).all()
        connection: Any = conn.connection
        cur = connection.cursor()
        cur.execute(
            sql.SQL("SELECT data::text FROM explore.{} ORDER BY _atlas_id").format(
                sql.Identifier(tables.raw_name)
            )
        )
        stored = [json.loads(text, parse_float=Decimal) for (text,) in cur.fetchall()]
        assert list(map(_dump, stored)) == list(map(_dump, rows)), stream
        for layer in ("chart", "navigate"):
            for name, column, kind in columns:
                expected = sorted(_dump(_as(kind, row.get(name))) for row in wanted)
                cur.execute(
                    sql.SQL("SELECT to_jsonb({})::text FROM {}").format(
                        sql.Identifier(column), sql.Identifier(layer, tables.table_name)
                    )
                )
                got = [json.loads(t, parse_float=Decimal) if t else None for (t,) in cur.fetchall()]
                if kind in ("boolean", "bigint", "numeric", "text", "jsonb"):
                    assert sorted(map(_dump, got)) == expected, (stream, name)
                    continue
                # What is a time is compared as that: it may be written otherwise.
                cur.execute(
                    sql.SQL(
                        "SELECT count(*) FROM {table} WHERE {column} = ANY(%s::text[]::{kind}[])"
                    ).format(
                        table=sql.Identifier(layer, tables.table_name),
                        column=sql.Identifier(column),
                        kind=sql.SQL(kind),
                    ),
                    ([row[name] for row in wanted if row.get(name) is not None],),
                )
                (equal,) = cur.fetchone()
                assert equal == sum(row.get(name) is not None for row in wanted), (stream, name)
