"""``python -m bench [NAME…] [--rows N] [--runs N] [--json FILE]``.

Exit code 0: all limits are kept; 1: one is missed (it is named), or a measurement failed; 2: wrong
usage. With ``--rows`` other than the size that a limit is meant for, it is shown and not decided.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import (
    Options,
    accept,
    capacity,
    connections,
    explore,
    governed,
    growth,
    herd,
    interface,
    lineage,
    memory,
    navigate,
    overhead,
    pages,
    postgres,
    quality,
    reading,
    scan,
    scans,
    start,
    web,
)
from bench.report import Result, console, machine, markdown, print_result
from bench.stack import BenchError

MEASUREMENTS: dict[str, Callable[[Options], Result]] = {
    "start": start.measure,
    "interface": interface.measure,
    "explore": explore.measure,
    "governed": governed.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "postgres": postgres.measure,
    "reading": reading.measure,
    "connections": connections.measure,
    "herd": herd.measure,
    "overhead": overhead.measure,
    "accept": accept.measure,
    "web": web.measure,
    "pages": pages.measure,
    "scan": scan.measure,
    "scans": scans.measure,
    "quality": quality.measure,
    "lineage": lineage.measure,
    "navigate": navigate.measure,
    "capacity": capacity.measure,
}


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Atlas against its peers and limits."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASUREMENTS)}; all")
    parser.add_argument(
        "--rows",
        type=_count,
        help="rows (connections, herd: connections; accept: requests; web, pages: runs), to try "
        "a smaller scale",
    )
    parser.add_argument(
        "--runs",
        type=_count,
        help="rounds (default 3; start: 5; memory, growth: 1; overhead: 30; accept, web: 20; "
        "scan: 2; navigate: 7 of 100,000 rows; lineage: 5)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    given = parser.parse_args()
    if unknown := set(given.names) - set(MEASUREMENTS):
        parser.error(f"no measurement {min(unknown)}: there are {', '.join(MEASUREMENTS)}")
    # So that stacks are stopped and temporary directories removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = console()
    facts = machine()
    options = Options(
        given.rows, given.runs, lambda text: print(f"… {text}", file=sys.stderr, flush=True)
    )
    results: list[Result] = []
    failed: list[str] = []
    for name in dict.fromkeys(given.names or MEASUREMENTS):
        try:
            results.append(MEASUREMENTS[name](options))
        except BenchError as error:
            failed.append(f"{name} could not be measured: {error}")
            continue
        print_result(out, results[-1])
    if given.json is not None:
        given.json.write_text(json.dumps(_document(facts, results), indent=1) + "\n")
    print(markdown(facts, results))
    failed += [f"limit missed: {limit}" for r in results for limit in r.limits if limit.missed]
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def _document(facts: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    return {
        "machine": facts,
        "measurements": {
            result.name: {
                "figures": result.figures,
                "limits": [
                    {
                        "what": limit.what,
                        "measured": limit.measured,
                        "bound": limit.bound,
                        "unit": limit.unit,
                        "kept": limit.kept,
                        "binding": limit.binding,
                    }
                    for limit in result.limits
                ],
            }
            for result in results
        },
    }


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
