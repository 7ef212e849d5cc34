"""What the endings of files' names say: their formats, and what streams of single files are called.

Apart from what reads the files, for that loads whole libraries.
"""

from __future__ import annotations

from pathlib import PurePath

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Formats by the endings of files' names; ``.gz`` may follow those of texts."""


def stem(name: str) -> str:
    """A file's name without up to two of those endings: ``orders`` of ``orders.csv.gz``."""
    for _ in range(2):
        path = PurePath(name)
        name = path.stem if path.suffix.lower() in (*KINDS, ".gz") else name
    return name
