"""The runs that ``explore`` and ``governed`` report on: three ways for the same users.

Stream ``users`` of the real source-faker, with the same config for all three:

A. the connector alone, its own command line, writing to /dev/null;
B. Atlas, ``atlas sync`` through every stage, on a connection that is new each time;
C. PyAirbyte's PostgresCache, into a new database of the same PostgreSQL server.

They take turns (A B C A B C …), so that whatever else the machine does falls on all, after a small
round that is not counted: caches are warm and Atlas's workers have their models loaded, as they
have in a stack that runs. Before each the server has written out what the last left behind, and
during A and C Atlas's workers stand still.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from atlas.connectors import runner, workspace
from atlas.connectors.configure import configure
from atlas.connectors.install import Connector, installed
from atlas.model.stream import StreamSelection
from bench import stack
from bench.report import cores
from bench.stack import CHECKOUT, BenchError, Stack

STREAM = "users"
USERS = 100_000
"""How many the limits are meant for."""
_WARM_UP = 1_000


@dataclass(slots=True)
class Rounds:
    """Seconds of each round.

    Attributes:
        alone: A, start to exit of the connector.
        explore: B, the explore stage.
        explore_asked: B, from typing ``atlas sync`` to the end of the explore stage.
        governed: B, the whole run from its request to its end.
        governed_asked: B, from typing ``atlas sync --wait`` to its exit.
        stages: B, each stage.
        begins: B, from the request to the begin of each stage.
        cpu: B, CPU seconds of each process of the stack with its children.
        cache: C.
        cache_peak: C, the loader's peak memory in bytes.
    """

    rows: int
    alone: list[float] = field(default_factory=list)
    explore: list[float] = field(default_factory=list)
    explore_asked: list[float] = field(default_factory=list)
    governed: list[float] = field(default_factory=list)
    governed_asked: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    begins: list[dict[str, float]] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)
    cache: list[float] = field(default_factory=list)
    cache_peak: list[int] = field(default_factory=list)

    def stage(self, name: str) -> float:
        """Median seconds of a stage."""
        return median(stages[name] for stages in self.stages)

    def begin(self, name: str) -> float:
        """Median seconds from the request to a stage's begin."""
        return median(begins[name] for begins in self.begins)

    def figures(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


@cache
def rounds(rows: int, runs: int, say: Callable[[str], None]) -> Rounds:
    """Measure; once in a process, whoever asks."""
    with stack.running() as atlas:
        say("installing source-faker, warming up")
        _round(atlas, Rounds(_WARM_UP), "warm")
        measured = Rounds(rows)
        for number in range(1, runs + 1):
            _round(atlas, measured, f"round{number}")
            say(
                f"round {number} of {runs}: connector alone {measured.alone[-1]:.1f} s, "
                f"explore {measured.explore[-1]:.1f} s, governed {measured.governed[-1]:.1f} s, "
                f"PostgresCache {measured.cache[-1]:.1f} s"
            )
    return measured


def _round(atlas: Stack, into: Rounds, name: str) -> None:
    config = {
        "count": into.rows,
        "seed": 42,
        "always_updated": False,
        "parallelism": cores(),
    }
    atlas.apply(
        {"name": name, "connector": "source-faker", "config": config, "streams": {STREAM: {}}}
    )
    connector = installed("source-faker", atlas.settings)
    if connector is None:
        raise BenchError("source-faker is not installed after `atlas apply`")
    atlas.calm()
    with atlas.frozen():
        into.alone.append(_alone(atlas, connector, config))
    atlas.calm()
    _atlas(atlas, name, into)
    atlas.calm()
    with atlas.frozen():
        answer = _cache(atlas, connector, config)
    if answer["rows"] != into.rows:
        raise BenchError(f"PostgresCache: {answer['rows']} rows loaded, not {into.rows}")
    into.cache.append(answer["seconds"])
    into.cache_peak.append(answer["peak_bytes"])


def _alone(atlas: Stack, connector: Connector, config: dict[str, Any]) -> float:
    with workspace.workspace(atlas.settings) as directory:
        files = {"config": config, "catalog": _catalog(atlas, connector, config)}
        arguments = ["read"]
        for option, content in files.items():
            path = workspace.write(directory / f"{option}.json", json.dumps(content).encode())
            arguments += [f"--{option}", str(path)]
        log = directory / "stderr"
        started = perf_counter()
        with log.open("wb") as errors:
            done = subprocess.run(
                [*connector.command, *arguments],
                env=workspace.environment(directory),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        seconds = perf_counter() - started
        _must(done.returncode, "the connector alone", log)
    return seconds


def _catalog(atlas: Stack, connector: Connector, config: dict[str, Any]) -> dict[str, Any]:
    """The configured catalog, as Atlas gives it to the connector."""
    available = runner.discover(connector, config, atlas.settings)
    (chosen,) = configure(available, {STREAM: StreamSelection()})
    key = [list(path) for path in chosen.primary_key]
    cursor = list(chosen.cursor_field)
    stream = {
        "name": STREAM,
        "json_schema": chosen.json_schema,
        "supported_sync_modes": ["full_refresh", "incremental"],
        "source_defined_primary_key": key,
        "default_cursor_field": cursor,
    }
    return {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "incremental",
                "destination_sync_mode": "append",
                "cursor_field": cursor,
                "primary_key": key,
            }
        ]
    }


def _atlas(atlas: Stack, name: str, into: Rounds) -> None:
    before = atlas.cpu()
    asked, started = datetime.now(UTC), perf_counter()
    document = atlas.sync(name, into.rows)
    into.governed_asked.append(perf_counter() - started)
    (explore,) = document["stages"]
    into.explore.append(stack.seconds(explore))
    into.explore_asked.append((stack.at(explore["finished_at"]) - asked).total_seconds())
    into.governed.append(stack.seconds(document, "created_at"))
    into.cpu.append({who: used - before.get(who, 0.0) for who, used in atlas.cpu().items()})
    into.stages.append(stack.stage_seconds(document))
    requested = stack.at(document["created_at"])
    into.begins.append(
        {
            stage["stage"]: (stack.at(stage["started_at"]) - requested).total_seconds()
            for stage in stack.stages(document)
        }
    )


def _cache(atlas: Stack, connector: Connector, config: dict[str, Any]) -> dict[str, Any]:
    scratch = atlas.home.parent / "pyairbyte"
    scratch.mkdir(exist_ok=True)
    log = scratch / "stderr"
    with atlas.database("pyairbyte") as url, log.open("wb") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "bench.pyairbyte_cache"],
            input=json.dumps(
                {
                    "executable": connector.command[0],
                    "config": config,
                    "stream": STREAM,
                    "database_url": url,
                }
            ).encode(),
            env=_quiet(scratch),
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    _must(done.returncode, "PostgresCache", log)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _quiet(scratch: Path) -> dict[str, str]:
    """PyAirbyte without network and telemetry, and with all that it writes in one place."""
    return os.environ | {
        "AIRBYTE_OFFLINE_MODE": "1",
        "DO_NOT_TRACK": "1",
        "AIRBYTE_PROJECT_DIR": str(scratch),
        "AIRBYTE_INSTALL_DIR": str(scratch),
        "AIRBYTE_CACHE_ROOT": str(scratch / "cache"),
        "AIRBYTE_LOGGING_ROOT": str(scratch / "logs"),
        "AIRBYTE_TEMP_DIR": str(scratch),
        "PYTHONWARNINGS": "ignore",
        "NO_COLOR": "1",
    }


def _must(code: int, what: str, log: Path) -> None:
    if code:
        raise BenchError(f"{what}: exit code {code}: {log.read_text(errors='replace')[-2000:]}")
