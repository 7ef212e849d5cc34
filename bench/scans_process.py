"""Scans in one process, each of rows that it has not seen; prints its memory after each of them.

``python -m bench.scans_process ROWS SCANS``: one JSON document ``{"resident": [bytes after each
scan], "peak": bytes}``. What a scan worker does with a part, without a database: study and
verdicts, then masks, with the model and the default settings.
"""

from __future__ import annotations

import json
import resource
import sys

import msgspec
import psutil
import pyarrow as pa

from atlas.model.stream import Column, ColumnType
from atlas.pii.masker import Masker
from atlas.pii.policy import named
from atlas.pii.scanner import Scanner
from atlas.settings import Settings
from bench.fast_source import SCHEMA, lines

_TYPES = {
    "id": ColumnType.BIGINT,
    "amount": ColumnType.NUMERIC,
    "active": ColumnType.BOOLEAN,
    "updated_at": ColumnType.TIMESTAMPTZ,
}


def main(rows: int, scans: int) -> None:
    """Scan, and print."""
    columns = [
        Column(name, name, _TYPES.get(name, ColumnType.TEXT)) for name in SCHEMA["properties"]
    ]
    scanner, process = Scanner(Settings()), psutil.Process()
    resident: list[int] = []
    for number in range(scans):
        batch = _batch(number * rows + 1, rows)
        study = scanner.study(columns, frozenset({"id"}))
        study.observe(batch)
        verdicts = study.verdicts(named("default", {}))
        Masker(scanner, columns, verdicts, frozenset({"id"}), b"s" * 32).mask(batch)
        del batch, study, verdicts
        resident.append(process.memory_info().rss)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    print(json.dumps({"resident": resident, "peak": peak}))


def _batch(first: int, rows: int) -> pa.Table:
    """Rows as explore gives them: all values as texts."""
    records = [
        msgspec.json.decode(line)["record"]["data"]
        for line in lines(first, first + rows - 1, 4).splitlines()
    ]
    texts = {
        name: [value if isinstance(value, str) else json.dumps(value) for value in values]
        for name, values in ((name, [r[name] for r in records]) for name in SCHEMA["properties"])
    }
    ids = pa.array([record["id"] for record in records], pa.int64())
    return pa.table({"_atlas_id": ids, **{n: pa.array(v, pa.string()) for n, v in texts.items()}})


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
