""":mod:`bench.plain_source` as a connection's program, and by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import plain_source
from bench.stack import Stack


def connection(
    atlas: Stack, name: str, *, rows: int = 0, words: int = 0, edition: int = 0
) -> dict[str, Any]:
    """A connection to the source with ``rows`` rows of ``words`` words of prose."""
    config = {"rows": rows, "words": words, "edition": edition}
    return {"name": name, "executable": str(_program(atlas)), "config": config}


def seconds_alone(atlas: Stack, verb: str, *, rows: int = 0) -> float:
    """Seconds from start to exit of one of its commands."""
    config = _program(atlas).with_suffix(".json")
    config.write_text(json.dumps({"rows": rows}))
    started = perf_counter()
    subprocess.run(
        [_program(atlas), verb, "--config", config], check=True, stdout=subprocess.DEVNULL
    )
    return perf_counter() - started


def _program(atlas: Stack) -> Path:
    """The source with the one interpreter of this process, and nothing of its packages."""
    path = atlas.home.parent / "plain-source"
    if not path.exists():
        path.write_text(f"#!{sys.executable} -IS\n{Path(plain_source.__file__).read_text()}")
        path.chmod(0o755)
    return path
