#!/usr/bin/env python3
"""The scripted connector with what a soak's sources hold: ``config.holds`` is a file that says
which version of which kinds of streams it is, and is read anew each time."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "chaos"), str(HERE.parent / "connectors")]

rows = importlib.import_module("rows")
# Of tests/chaos: adds its options to the scripted connector.
importlib.import_module("source")
scripted = importlib.import_module("scripted")
_scripted_streams = scripted.streams_of


def _streams(config: dict) -> dict:
    holds = json.loads(Path(config["holds"]).read_text())
    streams = {kind: rows.stream(kind, version) for kind, version in holds.items()}
    return _scripted_streams({**config, "streams": streams})


scripted.streams_of = _streams

if __name__ == "__main__":
    scripted.main(sys.argv[1], sys.argv[2:])
