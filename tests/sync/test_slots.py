"""Slots hold their bound, free themselves, and never stop a connector that runs."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client

from atlas.errors import TransientError
from atlas.local.redis import Redis
from atlas.settings import parse
from atlas.sync.slots import KEY, Slots


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(autouse=True)
def empty(server: Redis) -> None:
    with Client.from_url(server.url()) as client:
        client.flushall()


def make(server: Redis, **given: Any) -> Slots:
    chosen = {"connector_slots": 3, "lease_seconds": 30} | given
    environ = {f"ATLAS_{name.upper()}": str(value) for name, value in chosen.items()}
    return Slots(parse({"ATLAS_REDIS_URL": server.url(), **environ}))


def held(server: Redis) -> int:
    with Client.from_url(server.url()) as client:
        return int(client.zcard(KEY))


def test_many_threads_never_hold_more_than_there_are(server: Redis) -> None:
    slots = [make(server) for _ in range(4)]  # as many hosts
    lock = threading.Lock()
    running = most = taken = 0

    def work(number: int) -> None:
        nonlocal running, most, taken
        mine = slots[number % len(slots)]
        for turn in range(40):
            token = f"{number}:{turn}"
            if not mine.take(token):
                continue
            with lock:
                running += 1
                taken += 1
                most = max(most, running)
            time.sleep(0.001)
            with lock:
                running -= 1
            mine.release(token)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert most == 3
    assert taken > 3
    assert held(server) == 0


def test_a_lost_answer_costs_no_second_slot(server: Redis) -> None:
    slots = make(server)
    assert all(slots.take(token) for token in ("a", "a", "b", "c", "c"))
    assert not slots.take("d")


def test_the_slot_of_a_dead_holder_comes_free(server: Redis) -> None:
    dead = make(server, connector_slots=1, lease_seconds=0.5)
    assert dead.take("dead")
    other = make(server, connector_slots=1)
    deadline = time.monotonic() + 120
    while not other.take("living"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_renewed_slot_stays(server: Redis) -> None:
    slots, other = make(server, connector_slots=1), make(server, connector_slots=1)
    make(server, connector_slots=1, lease_seconds=0.2).take("holder")
    slots.renew("holder")  # for thirty seconds
    time.sleep(0.4)
    assert not other.take("another")


def test_a_flushed_holder_enters_itself_again(server: Redis) -> None:
    slots = make(server, connector_slots=1)
    assert slots.take("first")
    with Client.from_url(server.url()) as client:
        client.flushall()
        client.script_flush()
    slots.renew("first")
    assert not slots.take("second")
    slots.release("first")
    assert slots.take("second")


def test_redis_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Redis(tmp_path / "own")
    server.start()
    slots = make(server)
    try:
        assert slots.take("first")
        server.stop()
        with pytest.raises(TransientError, match=r"Redis at a local socket .*again"):
            slots.take("second")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                slots.renew("first")
            slots.release("first")
        assert len(caplog.records) == 1
        server.start()
        assert slots.take("second")
    finally:
        server.stop()


def test_a_frozen_redis_is_not_waited_for(tmp_path: Path) -> None:
    with Redis(tmp_path / "own") as server:
        slots = make(server, lease_seconds=1)
        assert slots.take("first")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(TransientError, match="TimeoutError"):
                slots.take("second")
            slots.renew("first")
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_an_error_names_no_password() -> None:
    slots = Slots(parse({"ATLAS_REDIS_URL": "redis://user:hunter2@127.0.0.1:9/0"}))
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9") as raised:
        slots.take("any")
    assert "hunter2" not in str(raised.value)
