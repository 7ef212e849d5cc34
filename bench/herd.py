"""A thundering herd: two hundred connections whose schedules are due at the same moment.

Measured: that each makes one run, which succeeds; how many connectors run at once, which the slots
bound; and how quick the API stays meanwhile: the time that 95 of 100 answers stay below while the
herd is at work, against the same in the quiet before. On two cores, with fewer slots than processes
that would take one; the schedules have no jitter, which is the worst they can do.

Quiet and herd are asked alike, one answer after the other with a pause between, as people and
dashboards ask; so the ratio says what somebody who looks notices.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from statistics import median, quantiles
from urllib.parse import urlsplit

import redis

from atlas.sync.slots import KEY
from bench import Options, plain, stack
from bench.report import Limit, Result, Table
from bench.stack import BenchError, Stack

CONNECTIONS = 200
LIMIT = 5.0
_CORES = 2
_SETTINGS = {"ATLAS_EXTRACT_CONCURRENCY": "8", "ATLAS_CONNECTOR_SLOTS": "4"}
"""So that the slots are fewer than the processes that want one, as with several hosts."""
_QUIET = 20.0
"""Seconds that the quiet API is asked."""
_PAUSE = 0.05
_AHEAD = 60.0
"""Seconds until the herd comes, in which its schedules are made."""
_PATIENCE = 900.0
_SUM = """
    SELECT count(*), count(DISTINCT connection), count(finished_at),
           count(*) FILTER (WHERE status = 'succeeded'),
           extract(epoch FROM max(finished_at) - min(created_at))::float8
      FROM pipeline.run
"""
_PATHS = (
    "/api/v1/runs?limit=20",
    "/api/v1/connections?limit=20",
    "/api/v1/schedules?limit=20",
    "/api/v1/overview",
)


class _Asking:
    """Asks the API over one connection, and remembers how long each answer took."""

    def __init__(self, atlas: Stack, key: str) -> None:
        place = urlsplit(atlas.api_url)
        self._client = HTTPConnection(str(place.hostname), place.port, timeout=60)
        self._head = {"Authorization": f"Bearer {key}"}
        self._number = 0

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> float:
        """Seconds of an answer.

        Raises:
            BenchError: it says that it was not done.
        """
        started = time.perf_counter()
        head = self._head | ({"Content-Type": "application/json"} if body else {})
        self._client.request(method, path, json.dumps(body) if body else None, head)
        answer = self._client.getresponse()
        said = answer.read()
        if answer.status not in (200, 201):
            raise BenchError(f"{method} {path}: {answer.status} {said[:200].decode()}")
        return time.perf_counter() - started

    def all(self, seconds: dict[str, list[float]]) -> None:
        """Each path once, with a pause after it."""
        for path in _PATHS:
            seconds.setdefault(path, []).append(self.ask("GET", path))
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._client.close()


def measure(options: Options) -> Result:
    """Measure, with its limits; ``--rows`` are connections here."""
    count = options.rows or CONNECTIONS
    quiet: dict[str, list[float]] = {}
    herd: dict[str, list[float]] = {}
    with stack.cores(_CORES), stack.running(**_SETTINGS) as atlas:
        names = [f"herd{number}" for number in range(count)]
        atlas.apply(*(plain.connection(atlas, name, rows=10) for name in names))
        options.say(f"{count} connections are applied")
        asking = _Asking(atlas, atlas.key("operator"))
        until = time.monotonic() + _QUIET
        while time.monotonic() < until:
            asking.all(quiet)
        at = datetime.now(UTC) + timedelta(seconds=_AHEAD)
        for name in names:
            asking.ask(
                "POST",
                "/api/v1/schedules",
                {"connection": name, "every": "1d", "start": at.isoformat()},
            )
        if datetime.now(UTC) >= at:
            raise BenchError(f"{count} schedules took longer to make than {_AHEAD:.0f} s")
        # The server would, meanwhile.
        asking.close()
        time.sleep((at - datetime.now(UTC)).total_seconds())
        most, queued, wall, runs = _watch(atlas, asking, herd, count)
        asking.close()
        slots = atlas.settings.connector_slots
    options.say(f"{runs} runs succeeded in {wall:.1f} s")
    worst = max(_PATHS, key=lambda path: _p95(herd[path]) / _p95(quiet[path]))
    tables = [
        Table(
            f"herd: {count} schedules at one moment, {_CORES} cores",
            [
                "",
                "runs that succeeded",
                "wall, s",
                "connectors at once",
                "slots",
                "messages at once",
            ],
            [["herd", runs, wall, most, slots, queued]],
        ),
        Table(
            "herd: seconds of the API's answers, one after the other",
            ["", "quiet: median", "p95", "herd: median", "p95", "p95, herd over quiet"],
            [
                [
                    *(path, median(quiet[path]), _p95(quiet[path])),
                    *(median(herd[path]), _p95(herd[path])),
                    _p95(herd[path]) / _p95(quiet[path]),
                ]
                for path in _PATHS
            ],
        ),
    ]
    full = count == CONNECTIONS
    limits = [
        Limit("runs that succeeded, one a schedule", runs, count, "runs", at_most=False),
        Limit("connectors at once", most, slots, "connectors"),
        # One a run, and those that were sent again, each time later, while the first waited.
        Limit("messages that wait at once", queued, 2 * count, "messages"),
        Limit(
            f"p95 of {worst}, herd over quiet",
            _p95(herd[worst]) / _p95(quiet[worst]),
            LIMIT,
            "x",
            binding=full,
        ),
    ]
    return Result("herd", tables, limits, {"quiet": quiet, "herd": herd, "wall": wall})


def _watch(
    atlas: Stack, asking: _Asking, seconds: dict[str, list[float]], count: int
) -> tuple[int, int, float, int]:
    """Ask until all runs have ended; returns the most connectors at once, the most messages that
    waited for them, the seconds from the first request to the last end, and how many runs
    succeeded.

    Raises:
        BenchError: a schedule made another number of runs than one, or they do not end.
    """
    most = queued = 0
    broker = redis.Redis.from_url(atlas.redis_url)
    end = time.monotonic() + _PATIENCE
    with atlas.admin() as cursor:
        while True:
            asking.all(seconds)
            most = max(most, int(broker.zcard(KEY)))  # type: ignore[arg-type]
            queued = max(queued, int(broker.llen("extract")))  # type: ignore[arg-type]
            cursor.execute(_SUM)
            (runs, connections, ended, succeeded, wall) = cursor.fetchone() or ()
            if ended == count:
                break
            if time.monotonic() > end:
                raise BenchError(f"{count - ended} runs have not ended")
    broker.close()
    if runs != count or connections != count:
        raise BenchError(f"{count} schedules made {runs} runs of {connections} connections")
    return most, queued, float(wall), int(succeeded)


def _p95(times: list[float]) -> float:
    return quantiles(times, n=20)[18]
