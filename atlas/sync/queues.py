"""What waits in the broker's queues, and for how long."""

from __future__ import annotations

import json
import time
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from atlas.errors import AtlasError
from atlas.settings import Settings, redis_url
from atlas.sync.broker import SENT_AT, app

QUEUES = ("extract", "scan", "load", "control")

_PATIENCE = 1.0


def queues(settings: Settings) -> dict[str, Any]:
    """How many messages wait in each queue, and the age in seconds of the oldest.

    Returns:
        ``{"items": [{"queue", "depth", "oldest_seconds"}] | None, "reason": str | None}``; no
        items, and why, where Redis does not answer. ``oldest_seconds`` is None in an empty queue.
    """
    try:
        with _client(settings) as client:
            return {"items": _look(client), "reason": None}
    except _AWAY as error:
        return {"items": None, "reason": f"Redis does not answer ({type(error).__name__})"}


def info(settings: Settings) -> dict[str, Any] | None:
    """What Redis tells of itself, and ``at``, its clock in seconds of Unix time; None: it does not
    answer."""
    try:
        with _client(settings) as client:
            found: dict[str, Any] = client.info()
            seconds, micros = client.time()
            return found | {"at": seconds + micros / 1e6}
    except _AWAY:
        return None


def may_evict(server: dict[str, Any]) -> bool:
    """Whether a Redis that tells this of itself throws messages away when memory is short."""
    return bool(server.get("maxmemory")) and server.get("maxmemory_policy") != "noeviction"


def see_that_it_keeps(settings: Settings) -> None:
    """See that Redis throws no messages away, or may, by the setting. One that does not answer is
    not judged.

    Raises:
        AtlasError: it may when memory is short; says what to set.
    """
    server = info(settings)
    if server is not None and may_evict(server) and not settings.redis_may_evict:
        raise AtlasError(
            "Redis may throw messages away (maxmemory-policy "
            f"{server['maxmemory_policy']}): set it to noeviction, or ATLAS_REDIS_MAY_EVICT=true"
        )


# ValueError: a URL that is none. Its text might quote the password.
_AWAY = (AtlasError, RedisError, ValueError, OSError)


def _client(settings: Settings) -> Redis:
    return Redis.from_url(
        redis_url(settings),
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )


def _look(client: Redis) -> list[dict[str, Any]]:
    # Of a queue, Redis has a list a priority; the next message is at a list's end.
    steps = app().conf.broker_transport_options["priority_steps"]
    keys = {name: [_key(name, step) for step in steps] for name in QUEUES}
    with client.pipeline(transaction=False) as asked:
        for lists in keys.values():
            for key in lists:
                asked.llen(key)
                asked.lindex(key, -1)
        answers = iter(asked.execute())
    # Redis's clock and ours may differ; what counts is that of who sent it, which is a host's too.
    now = time.time()
    found = []
    for name, lists in keys.items():
        depth = 0
        ages = []
        for _ in lists:
            depth += next(answers)
            sent = _sent_at(next(answers))
            if sent is not None:
                ages.append(max(now - sent, 0.0))
        found.append(
            {
                "queue": name,
                "depth": depth,
                "oldest_seconds": round(max(ages), 1) if ages else None,
            }
        )
    return found


def _key(queue: str, step: int) -> str:
    return f"{queue}\x06\x16{step}" if step else queue


def _sent_at(message: bytes | None) -> float | None:
    """When a message was sent, in seconds of Unix time; None: it does not say."""
    if message is None:
        return None
    try:
        found = json.loads(message)["headers"].get(SENT_AT)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None  # none of ours
    return float(found) if isinstance(found, int | float) else None
