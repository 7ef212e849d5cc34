"""How long a reload takes; printed, not asserted (run with -s, LAYERS_ROWS=100000)."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from atlas.layers import chart, explore, filling, marks, names, navigate, staging
from atlas.model.stream import ColumnType, StreamKey

ROWS = int(os.environ.get("LAYERS_ROWS", "10000"))
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "created_at": {"type": "string", "format": "date-time"},
        "updated_at": {"type": "string", "format": "date-time"},
        **{
            name: {"type": ["null", "string"]}
            for name in (
                *("name", "title", "email", "telephone", "gender", "language"),
                *("academic_degree", "nationality", "occupation", "height", "blood_type"),
            )
        },
        "age": {"type": "integer"},
        "weight": {"type": "integer"},
        "address": {"type": "object"},
    }
}


def _record(n: int, version: int) -> bytes:
    return orjson.dumps(
        {
            "id": n,
            "created_at": "2024-01-01T10:00:00+00:00",
            "updated_at": f"2024-05-0{version}T10:00:00.123+00:00",
            "name": f"Name {n}",
            "title": "Mr.",
            "age": n % 90,
            "email": f"user{n}@example.com",
            "telephone": f"+45 {n}",
            "gender": "Other",
            "language": "Danish",
            "academic_degree": "Master",
            "nationality": "Danish",
            "occupation": "Plumber",
            "height": "1.80",
            "blood_type": "A-",
            "weight": 80,
            "address": {"street": f"Street {n}", "city": "Aarhus", "zip": str(n)},
        }
    )


@pytest.mark.parametrize("masked", [False, True])
def test_reload_with_one_row_in_a_hundred_changed(cur: Any, masked: bool) -> None:
    key = StreamKey("users")
    times: dict[str, float] = {}
    kinds = {"email": ColumnType.TEXT, "name": ColumnType.TEXT} if masked else {}
    tables = names.tables(cur, "shop", key)
    columns = names.columns(cur, "shop", key, SCHEMA).all
    explore.ensure(cur, tables)
    for load in (1, 2):
        run = str(uuid.uuid4())
        records = [
            (_record(n, load if n % 100 == 0 else 1), 1_700_000_000_000) for n in range(ROWS)
        ]

        def timed(what: str, since: float, load: int = load) -> float:
            times[f"{load} {what}"] = time.perf_counter() - since
            return time.perf_counter()

        at = time.perf_counter()
        writer = explore.RawWriter(cur, run)
        for start in range(0, ROWS, 10_000):
            writer.write(tables, records[start : start + 10_000])
        (segment,) = writer.take().values()
        at = timed("explore", at)
        pieces = explore.cut(cur, tables, run, segment, 20_000)
        batches = [explore.read(cur, tables, run, piece, columns) for piece in pieces]
        at = timed("read", at)
        filling.hash_key(cur, b"k")
        staging.create(cur, load, columns, kinds)
        for part, batch in zip(pieces, batches, strict=True):
            twins = batch.select(["_atlas_id", *kinds]) if masked else None
            filling.write(cur, load, tables, run, columns, part, twins)
        at = timed("staging", at)
        marks.mark(cur, load, tables, columns, (("id",),))
        at = timed("mark", at)
        chart.ensure(cur, tables, columns, kinds, (("id",),))
        counts = chart.promote(
            cur,
            tables,
            load,
            run,
            columns,
            (("id",),),
            ("updated_at",),
            full_refresh=True,
            complete=True,
        )
        at = timed("chart", at)
        moment = datetime(2024, 1, load, tzinfo=UTC)
        history = navigate.apply(cur, tables, columns, kinds, (("id",),), {run: moment}, whole=True)
        timed("navigate", at)
    print("\n", {what: round(took, 2) for what, took in times.items()})
    assert (counts.written, history.opened, history.closed) == (ROWS // 100,) * 3
