"""Sync requests that the API accepts, against a bare endpoint that inserts a row and sends a task.

Measured: requests per second and the time that 95 of 100 answers stay below, over real HTTP, each
request for another connection, with an API key as users have it. The peer (:mod:`bench.bare`) is a
Flask function under the very same gunicorn settings, with the same PostgreSQL server and settings
(durable) and the same Redis; it knows no keys, no problems, no outbox. Same client, as many
requests at a time for both. They take many short turns, so that whatever else the machine does
falls on both; the limit is for the median of the turns' ratios. Nobody works on what is asked for:
the workers stand still, so that only accepting is measured.
"""

from __future__ import annotations

from statistics import median, quantiles

from bench import Options, client, peers, plain, stack
from bench.client import Load
from bench.report import Limit, Result, Table

LIMIT = 0.5
REQUESTS = 50
_AT_ONCE = 16
_WARM = 64


def measure(options: Options) -> Result:
    """Measure, with its limit; ``--rows`` are requests in a round here."""
    with stack.running() as atlas, peers.bare_web(atlas) as endpoint:
        every = names(options)
        atlas.apply(*(plain.connection(atlas, name) for name in every))
        key = atlas.key("operator")
        options.say(f"{len(every)} connections are applied")
        with atlas.frozen():
            return compare(options, atlas, endpoint, key, every)


def names(options: Options) -> list[str]:
    """Names of the connections that the requests are for: each has one run only."""
    requests, rounds = _size(options)
    return [f"c{number}" for number in range(_WARM + requests * rounds)]


def _size(options: Options) -> tuple[int, int]:
    return options.rows or REQUESTS, options.runs or 20


def compare(
    options: Options, atlas: stack.Stack, endpoint: str, key: str, names: list[str]
) -> Result:
    """The measurement itself, on a stack whose workers stand still and that has the connections
    ``names``, and with the bare endpoint beside it."""
    requests, rounds = _size(options)
    ours: list[Load] = []
    bare: list[Load] = []
    for number in range(rounds + 1):
        count = requests if number else _WARM
        now, names = names[:count], names[count:]
        paths = [f"/api/v1/connections/{name}/syncs" for name in now]
        mine = client.post(atlas.api_url, paths, at_once=_AT_ONCE, key=key)
        paths = [f"/requests/{name}" for name in now]
        theirs = client.post(endpoint, paths, at_once=_AT_ONCE)
        if number:
            ours.append(mine)
            bare.append(theirs)
    ratios = [one.seconds / other.seconds for one, other in zip(bare, ours, strict=True)]
    table = Table(
        f"accept: {requests} requests, {_AT_ONCE} at a time, median of {rounds} rounds",
        ["", "requests/s", "from", "to", "median, s", "p95, s"],
        [
            [
                what,
                median(speeds := [requests / load.seconds for load in loads]),
                min(speeds),
                max(speeds),
                *_latencies(loads),
            ]
            for what, loads in (("Atlas: POST …/syncs", ours), ("bare Flask: a row, a task", bare))
        ],
    )
    limit = Limit(
        "requests accepted per second, against bare Flask",
        median(ratios),
        LIMIT,
        "x",
        at_most=False,
        binding=requests == REQUESTS,
    )
    figures = {
        what: [{"seconds": load.seconds, "latencies": load.latencies} for load in loads]
        for what, loads in (("ours", ours), ("bare", bare))
    }
    return Result("accept", [table], [limit], figures)


def _latencies(loads: list[Load]) -> tuple[float, float]:
    """Median and 95th percentile of the seconds of all answers."""
    cuts = quantiles([each for load in loads for each in load.latencies], n=20)
    return cuts[9], cuts[18]
