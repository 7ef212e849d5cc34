"""What a worker has in hand of its queue, when Redis does not answer; and the client that a channel
keeps."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue

from atlas.local.redis import Redis
from atlas.sync.broker import _Connection

log = logging.getLogger(__name__)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path) as server:
        yield server


@pytest.fixture
def connection(server: Redis) -> Iterator[Connection]:
    socket = server.url().removeprefix("unix://").partition("?")[0]
    options = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "max_retries": 0}
    with _Connection(f"redis+socket://{socket}", transport_options=options) as connection:
        yield connection


@pytest.mark.parametrize("how", ["ack_log_error", "reject_log_error"])
def test_a_lost_acknowledgement_leaves_its_place_free(
    server: Redis, connection: Connection, how: str
) -> None:
    queue = Queue("work")
    got: list[Any] = []
    channel = connection.channel()
    consumer = Consumer(channel, [queue], on_message=got.append, prefetch_count=1)
    producer = connection.Producer()
    for number in range(2):
        producer.publish({"n": number}, routing_key="work", declare=[queue])
    with consumer:
        connection.drain_events(timeout=60)
        assert not channel.qos.can_consume()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            getattr(got[0], how)(log, (*connection.connection_errors, OSError))
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert channel.qos.can_consume()
        connection.drain_events(timeout=60)
    assert [message.payload["n"] for message in got] == [0, 1]


def test_a_channel_of_the_pool_keeps_its_client(connection: Connection) -> None:
    with connection.Pool(1).acquire() as pooled:
        channel: Any = pooled.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        # As kombu does when the broker is lost: the old pool has no connection any more.
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.connection_pool is channel.pool


def test_messages_go_on_after_a_lost_connection(connection: Connection) -> None:
    with connection.Pool(1).acquire() as pooled:
        producer = pooled.Producer()
        producer.publish({"n": 0}, routing_key="work")
        channel: Any = pooled.default_channel
        with channel.conn_or_acquire() as client:
            client.client_kill_filter(_type="normal", skipme=False)
            # The first may notice it; then it is over.
            with contextlib.suppress(*connection.connection_errors):
                producer.publish({"n": 1}, routing_key="work")
            producer.publish({"n": 2}, routing_key="work")
            assert client.llen("work") >= 2
