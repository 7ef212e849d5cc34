"""`atlas worker-health` and the supervisor's use of it, on real workers that are made to fail."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from redis import Redis

from atlas.ledger.database import engine
from atlas.ledger.migrations import upgrade
from atlas.local.children import Child, children
from atlas.local.stack import Stack
from atlas.settings import Settings, parse
from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write
from tests.local.stack_parts import Eventually, entries

HOST = socket.gethostname()
SHORT = {
    "ATLAS_LEASE_SECONDS": "2",
    "ATLAS_LOAD_CONCURRENCY": "2",
    "ATLAS_EXTRACT_CONCURRENCY": "1",
}


class Proxy:
    """A way to a Redis on a Unix socket, over TCP, that can be cut, and closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cut = threading.Event()
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self, yes: bool) -> None:
        """Let nothing through, as a network does that is cut: nobody is told."""
        self._cut.set() if yes else self._cut.clear()

    def close(self) -> None:
        """Refuse connections and break those there are, as a server does that has ended."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def open(self) -> None:
        """Listen again."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                self._sockets += [near, far]
                far.connect(str(self._path))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                while self._cut.is_set():
                    time.sleep(0.05)
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


def migrate(url: str) -> None:
    bound = engine(parse({}), url=url)
    upgrade(bound)
    bound.dispose()


def workers(settings: Settings, *queues: str) -> list[Child]:
    return [child for child in children(settings) if child.queues and child.queues[0] in queues]


def family(settings: Settings, name: str) -> list[psutil.Process]:
    """The children of a worker's pool."""
    found = psutil.Process(entries(settings)[name]["pid"]).children()  # type: ignore[arg-type]
    assert found
    return found


def health(settings: Settings, *names: str, timeout: float = 120) -> dict[str, str]:
    """What `atlas worker-health --json` finds; its exit code says the same."""
    done = Atlas(settings.home, SHORT).run(
        "worker-health", "--json", "--timeout", str(timeout), *names, check=False
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["healthy"] == (done.returncode == 0) == all(w["healthy"] for w in found["workers"])
    return {worker["name"]: worker["state"] for worker in found["workers"]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("liveness")


@pytest.fixture(scope="module")
def proxy(home: Path) -> Iterator[Proxy]:
    found = Proxy(home / "run" / "redis.sock")
    yield found
    found.close()


@pytest.fixture(scope="module")
def settings(home: Path, proxy: Proxy) -> Iterator[Settings]:
    """Of a stack that looks at nobody by itself; its worker-load reaches Redis by the proxy."""
    chosen = parse({"ATLAS_HOME": str(home), "ATLAS_PORT": "0", **SHORT})
    chosen = replace(chosen, probe_interval=600.0)
    extract, load = workers(chosen, "extract", "load")
    load = replace(load, argv=("env", f"ATLAS_REDIS_URL={proxy.url}", *load.argv))
    with Stack(chosen, prepare=migrate, processes=[extract, load]):
        deadline = time.monotonic() + 300
        while set(health(chosen).values()) != {"consuming"}:
            assert time.monotonic() < deadline
        yield chosen


@pytest.fixture
def broker(home: Path) -> Iterator[Celery]:
    """Another client of the workers' broker."""
    url = f"redis+socket://{home / 'run' / 'redis.sock'}?virtual_host=0"
    with Celery("test", broker=url, set_as_current=False) as found:
        yield found


@pytest.fixture
def redis(home: Path, settings: Settings) -> Iterator[Redis]:
    with Redis(unix_socket_path=str(home / "run" / "redis.sock"), decode_responses=True) as found:
        yield found


def test_workers_that_consume_are_healthy_and_nothing_is_left_of_the_question(
    settings: Settings, redis: Redis
) -> None:
    health(settings)
    before = set(redis.keys())
    assert health(settings) == {"worker-extract": "consuming", "worker-load": "consuming"}
    assert health(settings, "load", f"extract@{HOST}") == {
        "worker-load": "consuming",
        "worker-extract": "consuming",
    }
    assert set(redis.keys()) <= before


def test_an_error_is_one_line_that_names_the_worker(settings: Settings) -> None:
    done = Atlas(settings.home).run("worker-health", "--timeout", "0.2", "nobody", check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("atlas: nobody does not answer within 0.2 s")


def test_without_a_stack_a_name_is_asked_for(tmp_path: Path) -> None:
    done = Atlas(tmp_path).run("worker-health", check=False)
    assert done.returncode == 2
    assert "atlas worker-health scan" in done.stderr


def test_questions_to_a_worker_that_is_gone_do_not_pile_up(
    settings: Settings, redis: Redis
) -> None:
    queue = f"gone@{HOST}.dq2"
    redis.lpush(queue, *range(50))
    assert health(settings, "gone", timeout=0.1) == {"gone": "silent"}
    assert redis.llen(queue) <= 10
    assert redis.ttl(queue) > 0
    # Nor does one who only asks make the queue known to the broker.
    assert not any("gone@" in binding for binding in redis.smembers("_kombu.binding.C.dq2"))


def test_a_stopped_worker_is_silent(settings: Settings) -> None:
    parent = psutil.Process(entries(settings)["worker-load"]["pid"])  # type: ignore[arg-type]
    parent.suspend()
    try:
        assert health(settings, "load", timeout=1) == {"worker-load": "silent"}
        assert health(settings, "extract") == {"worker-extract": "consuming"}
    finally:
        parent.resume()
    assert health(settings, "load") == {"worker-load": "consuming"}


def test_a_worker_whose_pool_is_stopped_is_stuck(settings: Settings) -> None:
    pool = family(settings, "worker-load")
    for process in pool:
        process.suspend()
    try:
        assert health(settings, "load", timeout=1) == {"worker-load": "stuck"}
    finally:
        for process in pool:
            process.resume()
    assert health(settings, "load") == {"worker-load": "consuming"}


def test_a_worker_that_gave_up_its_queue_is_deaf_although_it_answers(
    settings: Settings, broker: Celery
) -> None:
    here = [f"load@{HOST}"]
    broker.control.cancel_consumer("load", destination=here, reply=True)
    try:
        assert broker.control.ping(here)
        assert health(settings, "load") == {"worker-load": "deaf"}
    finally:
        broker.control.add_consumer("load", destination=here, reply=True)
    assert health(settings, "load") == {"worker-load": "consuming"}


def test_a_worker_that_is_cut_off_is_silent_and_consumes_again_afterwards(
    settings: Settings, proxy: Proxy
) -> None:
    proxy.cut(True)
    try:
        assert health(settings, "load", timeout=1) == {"worker-load": "silent"}
        assert health(settings, "extract") == {"worker-extract": "consuming"}
    finally:
        proxy.cut(False)
    proxy.close()
    proxy.open()
    assert health(settings, "load", timeout=60) == {"worker-load": "consuming"}


def test_a_full_pool_is_busy_for_as_long_as_its_leases_are_alive(
    settings: Settings, tmp_path: Path
) -> None:
    atlas = Atlas(settings.home, SHORT)
    write(tmp_path / "rows.json", *(row(n, n) for n in range(1, 31)))
    # Hangs the first time only: what is left of the run must not hold up the stack's end.
    marker = str(tmp_path / "hung")
    options = {"state_every": 5, "hang_after": 12, "fail_once_marker": marker}
    atlas.apply(source("shop", tmp_path / "rows.json", **options))
    atlas.start("shop")
    running = "SELECT 1 FROM pipeline.stage_run WHERE status = 'running'"
    held = f"{running} AND lease_until > clock_timestamp()"
    atlas.until(lambda: atlas.rows(held))
    # Past the time that a task without a lease is given.
    aged = f"{held} AND started_at < clock_timestamp() - interval '4 seconds'"
    atlas.until(lambda: atlas.rows(aged))
    assert health(settings, "extract", timeout=1) == {"worker-extract": "busy"}
    (child,) = family(settings, "worker-extract")
    child.suspend()
    try:
        atlas.until(lambda: atlas.rows(running) and not atlas.rows(held))
        assert health(settings, "extract", timeout=1) == {"worker-extract": "stuck"}
    finally:
        child.kill()


def test_the_supervisor_starts_a_worker_anew_that_no_longer_works_and_spares_it_without_redis(
    tmp_path: Path, eventually: Eventually, database_url: str
) -> None:
    from atlas.local.redis import Redis as Server

    events: list[str] = []

    def told(text: str) -> Callable[[], bool]:
        return lambda: any(text in line for line in events)

    with Server(tmp_path / "redis") as server, contextlib.ExitStack() as ending:
        way = Proxy(Path(server.url().removeprefix("unix://").partition("?")[0]))
        ending.callback(way.close)
        chosen = parse(
            {
                "ATLAS_HOME": str(tmp_path / "home"),
                "ATLAS_PORT": "0",
                "ATLAS_PROBE_INTERVAL": "3",
                "ATLAS_DATABASE_URL": database_url,
                "ATLAS_REDIS_URL": way.url,
                "ATLAS_SECRET_KEY": "k" * 40,
                **SHORT,
            }
        )
        load = workers(chosen, "load")
        stack = Stack(chosen, prepare=migrate, processes=load, on_event=events.append)
        ending.enter_context(stack)
        first = entries(chosen)["worker-load"]["pid"]
        node = [f"load@{HOST}"]

        # It has answered, and then Redis is gone, for longer than three looks.
        eventually(lambda: _well(stack, first), 60.0)
        way.close()
        eventually(told("cannot look whether the workers work: Redis does not answer"), 60.0)
        time.sleep(15)
        assert entries(chosen)["worker-load"]["pid"] == first
        way.open()
        eventually(told("the workers are looked at again"), 60.0)

        # It lives, answers a ping, and consumes nothing.
        def cancel() -> Any:
            with Celery("test", broker=way.url, set_as_current=False) as broker:
                return broker.control.cancel_consumer("load", destination=node, reply=True)

        eventually(cancel, 60.0)
        eventually(told("worker-load was found deaf 3 times on end and is killed"), 90.0)
        eventually(lambda: entries(chosen)["worker-load"]["pid"] != first)
        atlas = Atlas(chosen.home, {"ATLAS_REDIS_URL": way.url})
        eventually(lambda: atlas.run("worker-health", check=False).returncode == 0, 60.0)
        looks = stack._liveness
    assert looks is not None
    assert not looks._thread.is_alive()


def _well(stack: Stack, pid: object) -> bool:
    seen = stack._liveness and stack._liveness._seen.get(pid)  # type: ignore[arg-type]
    return bool(seen and seen.well)
