"""How many requests a key, or an address without one, may make in a while: counted in Redis.

A window is a piece of the clock, the same for all processes, so that one round trip counts a
request and says what is left. With Redis away requests are served and nothing is counted: whoever
works with Atlas does not wait for what only holds back the few who ask too much.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from flask import g, request

from atlas.errors import AtlasError
from atlas.ledger.logins import network
from atlas.settings import Rate, Settings, redis_url
from atlas.web.database import settings
from atlas.web.problems import Problem

if TYPE_CHECKING:
    from limits.storage import RedisStorage

log = logging.getLogger(__name__)

_PATIENCE = 0.1
"""Seconds that Redis may take to answer."""
_REST = 5.0
"""Seconds that Redis is left alone after it did not answer: no request waits for it meanwhile."""
_resting_until = 0.0


def count_asker() -> None:
    """Count this request for the key, or the person, that asks.

    Raises:
        Problem: 429, it is one too many.
    """
    _count(f"{g.key.kind}:{g.key.id}", settings().rate_limit, g.key.kind)


def count_address() -> None:
    """Count this request, of nobody known, for its address.

    Raises:
        Problem: 429, it is one too many.
    """
    place = network(request.remote_addr or "")
    _count(f"address:{place}", settings().rate_limit_address, "address")


def _count(who: str, rate: Rate | None, policy: str) -> None:
    if rate is None:
        return
    window, into = divmod(time.time(), rate.seconds)
    seconds = max(1, round(rate.seconds - into))
    made = _incremented(f"{who}:{rate.seconds}:{int(window)}", rate.seconds)
    if made is None:
        return
    # As the IETF's draft "RateLimit header fields for HTTP" has them.
    g.rate_headers = {
        "RateLimit-Policy": f'"{policy}";q={rate.requests};w={rate.seconds}',
        "RateLimit": f'"{policy}";r={max(0, rate.requests - made)};t={seconds}',
    }
    if made > rate.requests:
        raise Problem(
            "rate-limited",
            f"more than {rate.requests} requests in {rate.seconds} seconds from this {policy}; "
            f"ask again in {seconds} seconds",
            headers={"Retry-After": str(seconds)},
        )


def _incremented(name: str, seconds: int) -> int | None:
    """How many there are now, or None while Redis is away."""
    global _resting_until
    if time.monotonic() < _resting_until:
        return None
    # Slow to import, and the factory must not wait for it.
    from redis.exceptions import RedisError

    try:
        return _storage(os.getpid(), settings()).incr(name, seconds)
    except (AtlasError, RedisError, ValueError, OSError) as error:
        # ValueError: a URL that is none. Its text might quote the password.
        log.warning("rate limits: Redis: %s; nothing is counted", type(error).__name__)
        _resting_until = time.monotonic() + _REST
        return None


@functools.cache
def _storage(pid: int, of: Settings) -> RedisStorage:
    from limits.storage import RedisStorage
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    url = redis_url(of)
    options: dict[str, Any] = {
        "key_prefix": "atlas:rate",
        "socket_timeout": _PATIENCE,
        "socket_connect_timeout": _PATIENCE,
        # Once, for a connection that went stale.
        "retry": Retry(NoBackoff(), 1),
    }
    # limits spells sockets of files its own way.
    return RedisStorage(f"redis+{url}" if url.startswith("unix:") else url, **options)
