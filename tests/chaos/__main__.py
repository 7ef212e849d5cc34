"""``make chaos``: random faults in random stages at random moments, many times.

``python -m tests.chaos --trials 500 --jobs 3 [--seed N] [--cell fault:stage]``. Everything that is
drawn comes from the seed and the trial's number, and is printed: ``--seed N:17 --trials 1`` does
trial 17 of seed N once more. Ends with a table, and with status 1 if any trial left a trace.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import report
from tests.chaos.stack import lacking


def main() -> int:
    """Start the jobs, print what they say, and sum up."""
    options = _options()
    if (lack := lacking()) is not None:
        sys.exit(lack)
    seed, _, first = options.seed.partition(":")
    start = int(first or 1)
    out = Path(options.out or tempfile.mkdtemp(prefix="atlas-chaos-"))
    out.mkdir(parents=True, exist_ok=True)
    print(
        f"seed {seed}, {options.trials} trials, {options.jobs} at once; "
        f"what fails is kept in {out}",
        flush=True,
    )
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    jobs = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos.job"),
                *(seed, str(start + number), str(options.jobs), str(start + options.trials)),
                *(str(out), options.cell or ""),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(min(options.jobs, options.trials))
    ]
    try:
        results = _follow(jobs, options.trials)
    except KeyboardInterrupt:
        for job in jobs:
            job.terminate()
        for job in jobs:
            job.wait()
        raise
    print(f"\n{report.table(results)}\n")
    print(report.summary(results, seed, time.monotonic() - began))
    broken = [job.wait() for job in jobs]
    if any(broken) or len(results) != options.trials:
        print(f"{len(results)} of {options.trials} trials were done: jobs ended with {broken}")
        return 1
    return 0 if all(report.clean(result) for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=3, help="stacks side by side")
    parser.add_argument(
        "--seed", default=str(random.SystemRandom().randrange(1_000_000)), help="N, or N:trial"
    )
    parser.add_argument("--cell", help="fault:stage; either may be empty for any")
    parser.add_argument("--out", help="directory for what fails")
    return parser.parse_args()


def _follow(jobs: list[subprocess.Popen[str]], trials: int) -> list[report.Result]:
    """Print each result as it comes."""
    results: list[report.Result] = []
    with selectors.DefaultSelector() as ready:
        for job in jobs:
            assert job.stdout is not None
            ready.register(job.stdout, selectors.EVENT_READ)
        while ready.get_map():
            for key, _ in ready.select():
                line = key.fileobj.readline()  # type: ignore[union-attr]
                if not line:
                    ready.unregister(key.fileobj)
                    continue
                result = report.Result(**json.loads(line))
                results.append(result)
                print(report.line(result, len(results), trials), flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
