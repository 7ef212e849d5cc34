"""Slots: how many connectors may run at once, over all workers and hosts.

A slot is a member of a sorted set in Redis whose score is when it expires, by the clock of Redis
alone. Who holds one renews it within its lease; the slot of a process that died is free when the
lease is over. The bound protects machines and sources, not data: claims and fences do that. So a
holder whose slot Redis forgot (FLUSHALL, a restart without its file) goes on with its work and
enters itself again, and for as long as that work lasts there may be more connectors than slots.
"""

from __future__ import annotations

import logging
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from atlas.errors import TransientError
from atlas.ledger.database import where
from atlas.settings import Settings, redis_url

log = logging.getLogger(__name__)

KEY = "atlas:connector-slots"

_PATIENCE = 2.0
"""Most seconds that Redis may take to answer; a short lease leaves it less."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
# Asking again with a token that holds a slot is no second slot: an answer may have been lost.
_TAKE = f"""{_NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1])
   or redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[3]) then
    redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
    return 1
end
return 0
"""
_RENEW = f"""{_NOW}
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
"""


class Slots:
    """The slots of one Redis; safe to share between threads, and over a fork.

    Raises:
        AtlasError: no Redis is known (nothing is connected to yet).
    """

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.connector_slots
        self._lease = int(settings.lease_seconds * 1000)
        url = redis_url(settings)
        self._where = where(url)
        # Whoever renews a slot renews its claim from the same thread, every third of the lease.
        patience = min(_PATIENCE, settings.lease_seconds / 6)
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            # Once, for a connection that went stale; not for a Redis that does not answer.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._take = self._redis.register_script(_TAKE)
        self._renew = self._redis.register_script(_RENEW)
        self._away = False

    def take(self, token: str) -> bool:
        """Take a slot under ``token``, which no other holder may have; False: all are in use.

        Raises:
            TransientError: Redis does not answer, or refuses. Without a slot no connector starts.
        """
        try:
            return bool(self._take(keys=[KEY], args=[token, self._lease, self._limit]))
        except RedisError as error:
            raise TransientError(
                f"Redis at {self._where} gave no slot for a connector ({type(error).__name__}): "
                "it is tried again when Redis answers"
            ) from error

    def renew(self, token: str) -> None:
        """Keep the slot for another lease, entered again if Redis lost it.

        Never fails: that Redis is away is logged once, and the work goes on without its slot.
        """
        self._try("renewed", self._renew, keys=[KEY], args=[token, self._lease])

    def release(self, token: str) -> None:
        """Give the slot back. Never fails: if Redis is away, the slot expires with its lease."""
        self._try("released", self._redis.zrem, KEY, token)

    def close(self) -> None:
        """Close the connections to Redis; slots that are held stay so until their lease ends."""
        self._redis.close()

    def _try(self, what: str, command: Any, *args: Any, **more: Any) -> None:
        try:
            command(*args, **more)
        except RedisError as error:
            if not self._away:
                log.warning(
                    "a connector's slot cannot be %s: Redis at %s: %s",
                    what,
                    self._where,
                    type(error).__name__,
                )
            self._away = True
        else:
            self._away = False
