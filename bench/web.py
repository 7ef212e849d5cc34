"""What the pages and their programs ask most, with a ledger in which much has happened.

Measured over real HTTP, one request after the other, with an API key: the overview with 10,000
runs and 1,000 datasets; lists, in each order, with 100 runs and with 100,000, the newest and the
oldest of them alike; and then, with those in the ledger, how many syncs are accepted
(:mod:`bench.accept`). Nobody works meanwhile: the workers stand still.
"""

from __future__ import annotations

import time
from dataclasses import replace
from http.client import HTTPConnection
from statistics import median, quantiles
from urllib.parse import urlsplit

from bench import Options, accept, ledger, peers, plain, stack
from bench.report import Limit, Result, Table
from bench.stack import BenchError

OVERVIEW_LIMIT = 0.1
LIST_LIMIT = 2.0
RUNS = 100_000
_OVERVIEW_RUNS = 10_000
_FEW = 100
_OVERVIEW = "/api/v1/overview"
_LISTS = {
    "runs": "/api/v1/runs?limit=20",
    "runs of a connection": "/api/v1/runs?limit=1&connection=seeded7",
    "failed runs": "/api/v1/runs?limit=5&status=failed",
    "cancelled runs (none)": "/api/v1/runs?status=cancelled",
    "runs, oldest first": "/api/v1/runs?limit=20&sort=created_at",
    "runs of a connection, oldest first": "/api/v1/runs?limit=1&connection=seeded7&sort=created_at",
    "failed runs, oldest first": "/api/v1/runs?limit=5&status=failed&sort=created_at",
    "connections": "/api/v1/connections?limit=20",
    "connections, from the last": "/api/v1/connections?limit=20&sort=-name",
    "schedules": "/api/v1/schedules?limit=20",
    "schedules, from the last": "/api/v1/schedules?limit=20&sort=-connection",
}
_ASKED = 40


def measure(options: Options) -> Result:
    """Measure, with its limits; ``--rows`` are the runs in the ledger at last here."""
    many = options.rows or RUNS
    asked = replace(options, rows=None)
    with stack.running() as atlas, peers.bare_web(atlas) as endpoint:
        key = atlas.key("operator")
        # As many as accepting needs; the seeded ones are no use to it, for theirs is no source.
        names = accept.names(asked)
        atlas.apply(*(plain.connection(atlas, name) for name in names))
        with atlas.frozen():
            few: dict[str, list[float]] = {}
            with atlas.admin() as cursor:
                ledger.connections(cursor)
                ledger.runs(cursor, _FEW)
                few = {name: _ask(atlas.api_url, path, key) for name, path in _LISTS.items()}
                ledger.runs(cursor, _OVERVIEW_RUNS - _FEW)
                options.say(f"{_OVERVIEW_RUNS} runs are in the ledger")
                overview = _ask(atlas.api_url, _OVERVIEW, key)
                ledger.runs(cursor, max(many - _OVERVIEW_RUNS, _FEW), streams=1)
                # The newest are as they were when there were few.
                ledger.runs(cursor, _FEW)
                options.say(f"{many} runs are in the ledger")
                lists = {name: _ask(atlas.api_url, path, key) for name, path in _LISTS.items()}
            atlas.calm()
            accepted = accept.compare(asked, atlas, endpoint, key, names)
    # The fastest of each: what else the machine does falls on one time and not on the other.
    ratios = {name: min(lists[name]) / min(few[name]) for name in _LISTS}
    worst = max(ratios, key=lambda name: ratios[name])
    tables = [
        Table(
            f"web: seconds of {_ASKED} answers, one after the other",
            ["", "fastest", "median", "p95"],
            [
                [f"overview, {_OVERVIEW_RUNS:,} runs", *_figures(overview)],
                *(
                    [f"{name}, {count:,} runs", *_figures(times[name])]
                    for name in _LISTS
                    for count, times in ((_FEW, few), (many, lists))
                ),
            ],
        ),
        *accepted.tables,
    ]
    limits = [
        Limit("the overview, median", median(overview), OVERVIEW_LIMIT, "s"),
        Limit(
            f"{worst}, {many:,} against {_FEW}",
            ratios[worst],
            LIST_LIMIT,
            "x",
            binding=many == RUNS,
        ),
        *accepted.limits,
    ]
    figures = {"overview": overview, "few": few, "many": lists, "accept": accepted.figures}
    return Result("web", tables, limits, figures)


def _figures(times: list[float]) -> tuple[float, float, float]:
    """The fastest, the median and the 95th percentile."""
    return min(times), median(times), quantiles(times, n=20)[18]


def _ask(base: str, path: str, key: str) -> list[float]:
    """Seconds of each answer to GET of a path, over one connection, the first ones left out.

    Raises:
        BenchError: an answer was not 200.
    """
    place = urlsplit(base)
    client = HTTPConnection(str(place.hostname), place.port, timeout=60)
    times = []
    try:
        for number in range(_ASKED + 5):
            started = time.perf_counter()
            client.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = client.getresponse()
            answer.read()
            if answer.status != 200:
                raise BenchError(f"GET {path}: {answer.status}")
            if number >= 5:
                times.append(time.perf_counter() - started)
    finally:
        client.close()
    return times
