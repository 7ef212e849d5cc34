#!/usr/bin/env python3
"""The scripted connector of tests/connectors, with two more options, for tests that break things.

``hold``
    ``{"records": N, "file": PATH}``: after so many records it waits for as long as the file exists.
``pace``
    Seconds between two records, each of them flushed, so that reading takes a while.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "connectors"))

import scripted


class _Held(scripted.Misbehaviour):
    def before_record(self) -> None:
        hold = self.config.get("hold")
        if hold and hold["records"] == self.count:
            sys.stdout.flush()
            while Path(hold["file"]).exists():
                time.sleep(0.02)
        if self.config.get("pace"):
            sys.stdout.flush()
            time.sleep(self.config["pace"])
        super().before_record()


scripted.Misbehaviour = _Held

if __name__ == "__main__":
    scripted.main(sys.argv[1], sys.argv[2:])
