"""How long a person or a supervisor waits for Python: the command line's help, the web's import.

Measured: wall time of a fresh process, ``atlas --help`` by its console script and
``python -c 'import atlas.web'``; also with ``create_app()``, for the package alone imports next to
nothing. Beside a bare ``python -c pass``, which is what the interpreter takes for itself. They take
turns; one round before is not counted, so that files are cached and compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from bench import Options
from bench.report import Limit, Result, Table
from bench.stack import CHECKOUT, BenchError

LIMIT_SECONDS = 0.6


def measure(options: Options) -> Result:
    """Measure, with its limit."""
    python = sys.executable
    atlas = Path(python).with_name("atlas")
    if not atlas.exists():
        raise BenchError(f"{atlas} is not installed: `make setup`")
    bare, limited = "python -c pass", ("atlas --help", "import atlas.web", "atlas.web.create_app()")
    commands = {
        bare: [python, "-c", "pass"],
        "atlas --help": [str(atlas), "--help"],
        "import atlas.web": [python, "-c", "import atlas.web"],
        "atlas.web.create_app()": [python, "-c", "import atlas.web; atlas.web.create_app()"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    runs = options.runs or 5
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as home:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
        env = {**kept, "ATLAS_HOME": home}
        for number in range(runs + 1):
            for name, argv in commands.items():
                started = perf_counter()
                subprocess.run(argv, env=env, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
                if number:
                    times[name].append(perf_counter() - started)
    middle = {name: median(taken) for name, taken in times.items()}
    table = Table(
        f"start: seconds of a fresh process, median of {runs}",
        ["", "seconds", "vs bare Python", "from", "to"],
        [
            [name, middle[name], middle[name] / middle[bare], min(taken), max(taken)]
            for name, taken in times.items()
        ],
    )
    limits = [Limit(name, middle[name], LIMIT_SECONDS, "s") for name in limited]
    return Result("start", [table], limits, {"seconds": times})
