"""Streams of everything that should not be: what fits lands exact, what does not is set aside with
its reason, and no value is lost or made up."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from psycopg2 import sql

from tests.e2e.conftest import Atlas, source

INT, NUMBER, TEXT, BOOL = ({"type": kind} for kind in ("integer", "number", "string", "boolean"))
DATE = {"type": "string", "format": "date"}
INSTANT = {"type": "string", "format": "date-time"}
LONG = "x" * 70
BIG = 123456789012345678901234567890
EXACT = "1234567890123456789012345678901234567.891"

# By stream: schemas, primary key, records, and how many of them are set aside.
STREAMS: dict[str, tuple[dict[str, Any], list[list[str]], list[str], int]] = {
    "empty": ({"id": INT}, [["id"]], [], 0),
    "breaks_its_schema": (
        {"id": INT, "n": INT, "b": BOOL},
        [["id"]],
        [
            '{"id": 1, "n": 1, "b": true}',
            '{"id": 2, "n": "abc"}',
            '{"id": 3, "n": 1.5}',
            '{"id": 4, "n": {"a": 1}}',
            '{"id": 5, "b": "perhaps"}',
        ],
        4,
    ),
    "numbers": (
        {"id": INT, "n": NUMBER},
        [["id"]],
        [
            f'{{"id": 1, "n": {EXACT}}}',
            f'{{"id": 2, "n": {BIG}}}',
            '{"id": 3, "n": NaN}',
            '{"id": 4, "n": -Infinity}',
            f'{{"id": {BIG}, "n": 1}}',
            '{"id": 6, "n": 1e200000}',
        ],
        2,
    ),
    "texts": (
        {"id": INT, "t": TEXT},
        [["id"]],
        [
            '{"id": 1, "t": "a\\u0000b"}',
            '{"id": 2, "t": "\\ud800"}',
            '{"id": 3, "t": "\\ud83d\\ude00"}',
        ],
        0,
    ),
    "dates": (
        {"id": INT, "d": DATE, "at": INSTANT},
        [["id"]],
        [
            '{"id": 1, "d": "2026-02-28", "at": "2026-02-28T10:00:00.123456Z"}',
            '{"id": 2, "at": "2026-02-28T10:00:00+05:30"}',
            *(
                json.dumps({"id": 10 + n, "d": text})
                for n, text in enumerate(
                    ["2026-02-30", "01/02/2026", "now", "infinity", "epoch", ""]
                )
            ),
            *(
                json.dumps({"id": 20 + n, "at": text})
                for n, text in enumerate(["yesterday", "10:00", "infinity"])
            ),
        ],
        9,
    ),
    "unions": (
        {"id": INT, "u": {"type": ["string", "integer"]}, "any": {}},
        [["id"]],
        ['{"id": 1, "u": "x", "any": [1, {"a": null}]}', '{"id": 2, "u": 7, "any": 1.10}'],
        0,
    ),
    "keys": (
        {"a": INT, "b": {"type": "object"}, "v": TEXT},
        [["a"], ["b", "c"]],
        [
            '{"a": 1, "b": {"c": 1}, "v": "first"}',
            '{"a": 1, "b": {"c": 1}, "v": "last"}',
            '{"a": 1, "b": {"c": 2}, "v": "other"}',
            '{"a": null, "b": {"c": 3}, "v": "no key"}',
            '{"a": 1, "b": {}, "v": "no key"}',
        ],
        2,
    ),
    "names": (
        dict.fromkeys(
            [
                *("id", "select", "Select", "SELECT", "CamelCase", "camel_case", "ünïcödé", ""),
                *(f"{LONG}1", f"{LONG}2", "_atlas_id", "_atlas_row_hash", "valid_from", "ctid"),
                '"; DROP TABLE chart.hostile_names; --',
                "with space",
                "dotted.name",
            ],
            TEXT,
        ),
        [["id"]],
        [],
        0,
    ),
    'evil"; DROP SCHEMA chart CASCADE; --': ({"id": INT}, [["id"]], ['{"id": 1}'], 0),
    "Größe": ({"id": INT}, [["id"]], ['{"id": 1}'], 0),
    "größe": ({"id": INT}, [["id"]], ['{"id": 2}'], 0),
    "": ({"id": INT}, [["id"]], ['{"id": 3}'], 0),
    "two\nlines\u2028of it": ({"id": INT}, [["id"]], ['{"id": 4}'], 0),
    f"long {LONG}" * 40: ({"id": INT}, [["id"]], ['{"id": 5}'], 0),
    "twice": ({"id": INT, "v": INT}, [["id"]], ['{"id": 1, "v": 1, "v": 2}'], 0),
    "large": ({"id": INT, "t": {}}, [["id"]], [json.dumps({"id": 1, "t": ["y" * 5_000_000]})], 0),
}
STREAMS["names"][2].append(json.dumps({name: f"<{name}>" for name in STREAMS["names"][0]}))


def _lines() -> list[str]:
    return [
        f'{{"type": "RECORD", "record": {{"stream": {json.dumps(name)}, "emitted_at": {n + 1},'
        f' "data": {record}}}}}'
        for name, (_, _, records, _) in STREAMS.items()
        for n, record in enumerate(records)
    ]


def _rows(atlas: Atlas, stream: str, layer: str, *properties: str) -> list[Any]:
    """Rows of chart or navigate, by the properties' names, sorted."""
    columns = dict(
        atlas.rows(
            "SELECT property, column_name FROM pipeline.stream_column"
            " WHERE connection = 'hostile' AND stream = :s",
            s=stream,
        )
    )
    ((table,),) = atlas.rows(
        "SELECT table_name FROM pipeline.stream_table WHERE connection = 'hostile' AND stream = :s",
        s=stream,
    )
    with atlas.engine.begin() as conn:
        connection: Any = conn.connection
        cur = connection.cursor()
        cur.execute(
            sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(sql.Identifier(columns[name]) for name in properties),
                sql.Identifier(layer, table),
            )
        )
        return sorted(cur.fetchall(), key=str)


def test_everything_hostile_in_one_run(atlas: Atlas, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    document = {
        name: {"schema": {"type": "object", "properties": schema}, "primary_key": key}
        for name, (schema, key, _, _) in STREAMS.items()
    }
    rows.write_text(json.dumps({"streams": document}))
    # After these a policy takes a place in JSON to be named.
    plain = [name for name in STREAMS["names"][0] if not {".", "["} & set(name)]
    keep = {"policy": "default", "columns": dict.fromkeys(plain, "keep")}
    keep["columns"] |= {"t": "keep", "n": "keep", "v": "keep", "u": "keep", "any": "keep"}
    del keep["columns"][""]
    # Their records are printed as they are: no library may have read them before.
    atlas.apply(source("hostile", rows, raw_lines=_lines(), pii=keep))
    run = atlas.sync("hostile")
    counts = {part["stream"]: part["rows"] for part in run["streams"]}
    for name, (_, _, records, aside) in STREAMS.items():
        got = counts[name]
        told = (got["explore"], got["quarantined"])
        assert told == (len(records), aside), (name, got)
        assert got["promoted"] + got["quarantined"] + got["superseded"] == got["explore"], name

    for layer in ("chart", "navigate"):
        assert _rows(atlas, "breaks_its_schema", layer, "id", "n", "b") == [(1, 1, True)]
        found = dict(_rows(atlas, "numbers", layer, "id", "n"))
        assert (found[1], found[2]) == (Decimal(EXACT), BIG)
        assert found[3].is_nan()
        assert found[4] == Decimal("-Infinity")
        assert _rows(atlas, "texts", layer, "id", "t") == [(1, "a�b"), (2, "�"), (3, "😀")]
        assert [row[0] for row in _rows(atlas, "dates", layer, "id")] == [1, 2]
        assert _rows(atlas, "unions", layer, "id", "u", "any") == [
            (1, "x", [1, {"a": None}]),
            (2, "7", 1.1),
        ]
        assert [row[1] for row in _rows(atlas, "keys", layer, "b", "v")] == ["last", "other"]
        names = list(STREAMS["names"][0])
        assert _rows(atlas, "names", layer, *names) == [tuple(f"<{name}>" for name in names)]
        assert _rows(atlas, "Größe", layer, "id") == [(1,)]
        assert _rows(atlas, "größe", layer, "id") == [(2,)]
        assert _rows(atlas, "", layer, "id") == [(3,)]
        assert _rows(atlas, "two\nlines\u2028of it", layer, "id") == [(4,)]
        assert _rows(atlas, f"long {LONG}" * 40, layer, "id") == [(5,)]
        assert _rows(atlas, "twice", layer, "v") == [(2,)]
        ((large,),) = _rows(atlas, "large", layer, "t")
        assert len(large[0]) == 5_000_000
    reasons = atlas.rows(
        "SELECT check_name, sum(q.rows)::int FROM pipeline.quarantine q"
        " JOIN pipeline.run_stream s ON s.id = q.run_stream_id"
        " WHERE s.run_id = :r AND s.stream = 'keys' GROUP BY 1",
        r=run["run_id"],
    )
    assert sum(count for _, count in reasons) >= 2
