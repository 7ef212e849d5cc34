"""What a worker has in hand of its queue, when Redis does not answer."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue

from atlas.local.redis import Redis
from atlas.sync.broker import _done_is_done

log = logging.getLogger(__name__)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path) as server:
        yield server


@pytest.fixture
def connection(server: Redis) -> Iterator[Connection]:
    _done_is_done()
    socket = server.url().removeprefix("unix://").partition("?")[0]
    options = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "max_retries": 0}
    with Connection(f"redis+socket://{socket}", transport_options=options) as connection:
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
