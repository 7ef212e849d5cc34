"""The API as it runs: gunicorn's processes on servers that go away and come back."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
import sqlalchemy as sa

from atlas.ledger import connections, keys, migrations
from atlas.ledger.tables import outbox, run
from atlas.local.postgres import Postgres
from atlas.local.redis import Redis
from atlas.model.connection import Connection
from atlas.process import end, spawn
from atlas.web.app import operations

SECRET = "s" * 40
COMMAND = [sys.executable, "-m", "gunicorn", "-c", "python:atlas.web.gunicorn"]
SYNCS = "/api/v1/connections/shop/syncs"


def _environ(home: Path, **settings: str) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "ATLAS_HOME": str(home),
        "ATLAS_PORT": "0",
        "ATLAS_SECRET_KEY": SECRET,
        **settings,
    }


@dataclass
class Stack:
    """Two servers and the web process, whose log goes to ``log``."""

    postgres: Postgres
    redis: Redis
    engine: sa.Engine
    web: subprocess.Popen[bytes]
    log: Path
    port: int
    key: str

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the answer to a request with the key."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            sent["Authorization"] = f"Bearer {self.key}"
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), json.loads(answer.read())
        finally:
            connection.close()

    def watch(self, path: str) -> socket.socket:
        """The connection on which a stream of events is answered."""
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        head = f"GET {path} HTTP/1.1\r\nHost: atlas\r\nAuthorization: Bearer {self.key}\r\n\r\n"
        stream.sendall(head.encode())
        return stream

    def runs(self) -> list[str]:
        """Ids of the runs, oldest first."""
        with self.engine.connect() as conn:
            return list(conn.execute(sa.select(run.c.id).order_by(run.c.seq)).scalars())

    def end_runs(self) -> None:
        """Let the next sync begin."""
        with self.engine.begin() as conn:
            conn.execute(run.update().values(status="succeeded"))

    def waiting(self) -> list[str]:
        """What waits in the outbox."""
        with self.engine.connect() as conn:
            return list(conn.execute(sa.select(outbox.c.ref)).scalars())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Stack]:
    """The API on servers of its own, with a connection ``shop`` and an operator's key."""
    home = tmp_path_factory.mktemp("stack")
    log = home / "web.log"
    with Postgres(home, durable=False) as postgres, Redis(home) as redis:
        engine = sa.create_engine(postgres.url(), pool_pre_ping=True)
        migrations.upgrade(engine)
        with engine.begin() as conn:
            key = keys.create(conn, "test", "operator", actor="test")["key"]
            shop = Connection("shop", connector="source-faker", executable=None, config={})
            connections.put(conn, SECRET.encode(), shop)
        environ = _environ(home, ATLAS_DATABASE_URL=postgres.url(), ATLAS_REDIS_URL=redis.url())
        with log.open("wb") as file:
            web = spawn(COMMAND, env=environ, cwd=checkout, stderr=file)
        try:
            yield Stack(postgres, redis, engine, web, log, _port(log, web), key)
        finally:
            end(web, grace=20)
            engine.dispose()


def _port(log: Path, web: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            return int(found[1])
        assert web.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"the web process does not listen: {log.read_text()}")


@pytest.fixture
def queue(stack: Stack) -> Iterator[redis_client.Redis]:
    """The emptied Redis of the stack; the connection has no active run."""
    stack.end_runs()
    with redis_client.Redis.from_url(stack.redis.url()) as client:
        client.flushall()
        yield client


def test_a_request_becomes_a_message(stack: Stack, queue: redis_client.Redis) -> None:
    status, _, ready = stack.call("GET", "/readyz")
    assert (status, ready["status"]) == (200, "ready")
    status, headers, accepted = stack.call("POST", SYNCS)
    assert status == 202
    assert queue.llen("extract") == 1
    assert accepted["run_id"] in str(queue.lindex("extract", 0))
    assert stack.call("GET", headers["Location"])[2]["run_id"] == accepted["run_id"]


def test_each_process_tells_of_all_requests(stack: Stack, queue: redis_client.Redis) -> None:
    def answered() -> float:
        connection = HTTPConnection("127.0.0.1", stack.port, timeout=300)
        try:
            headers = {"Authorization": f"Bearer {stack.key}"}
            connection.request("GET", "/metrics", headers=headers)
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        found = re.search(
            r'^atlas_http_requests_total\{(?=[^}]*route="/healthz")[^}]*\} (\S+)$',
            text,
            re.MULTILINE,
        )
        return float(found[1]) if found else 0.0

    before = answered()
    for _ in range(40):
        stack.call("GET", "/healthz")
    # Whichever of the processes is asked.
    assert {answered() for _ in range(20)} == {before + 40}


def test_identical_requests_to_several_processes_make_one_run(
    stack: Stack, queue: redis_client.Redis
) -> None:
    before = stack.runs()
    answers: list[tuple[int, dict[str, str], Any]] = []
    gate = threading.Barrier(12)

    def post() -> None:
        gate.wait()
        answers.append(stack.call("POST", SYNCS, Idempotency_Key="one"))

    threads = [threading.Thread(target=post) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _, _ in answers] == [202] * 12
    made = stack.runs()[len(before) :]
    assert {document["run_id"] for _, _, document in answers} == set(made)
    assert len(made) == 1
    assert queue.llen("extract") == 1


def test_who_watches_takes_no_thread(stack: Stack, queue: redis_client.Redis) -> None:
    """More streams than both processes have threads, and a request is answered all the same."""
    run_id = stack.call("POST", SYNCS)[2]["run_id"]
    streams = [stack.watch(f"/api/v1/runs/{run_id}/events") for _ in range(40)]
    try:
        for stream in streams:
            head = _until(stream, b"event: progress")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Content-Type: text/event-stream" in head
            assert b"X-Content-Type-Options: nosniff" in head
            assert b"ransfer-Encoding" not in head
        assert stack.call("GET", f"/api/v1/runs/{run_id}")[2]["status"] == "queued"
        assert stack.call("POST", f"/api/v1/runs/{run_id}/cancel")[0] == 200
        for stream in streams:
            rest = _until(stream, None)
            assert b"the run was cancelled" in rest
            assert b"event: end" in rest
    finally:
        for stream in streams:
            stream.close()
    with stack.engine.connect() as conn:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"
        asked = conn.execute(sa.text(sessions), {"name": "atlas web events"}).scalar_one()
    assert 1 <= asked <= 2  # one a process


def _until(stream: socket.socket, sign: bytes | None) -> bytes:
    """What comes up to ``sign``, or to the end of the stream."""
    came = b""
    while sign is None or sign not in came:
        more = stream.recv(65536)
        assert more or sign is None, came
        if not more:
            break
        came += more
    return came


def test_a_body_without_a_length_has_its_limit(stack: Stack, queue: redis_client.Redis) -> None:
    # Chunked: nothing announces how much will come.
    pieces = (b" " * 65536 for _ in range(17))
    status, headers, problem = stack.call("POST", SYNCS, pieces, Content_Type="application/json")
    assert (status, problem["type"]) == (413, "/api/docs#too-large")
    assert headers["Content-Type"] == "application/problem+json"


def test_without_redis_a_request_is_still_accepted(stack: Stack, queue: redis_client.Redis) -> None:
    stack.redis.stop()
    try:
        started = time.monotonic()
        status, _, accepted = stack.call("POST", SYNCS)
        took = time.monotonic() - started
        not_ready = stack.call("GET", "/readyz")
        alive = stack.call("GET", "/healthz")
    finally:
        stack.redis.start()
    assert status == 202
    assert stack.waiting() == [accepted["run_id"]]
    assert took < 3.0  # the attempt to send is brief
    assert not_ready[0] == 503
    assert not_ready[2]["checks"]["redis"]["ok"] is False
    assert not_ready[2]["checks"]["postgresql"]["ok"] is True
    assert alive[0] == 200
    assert stack.call("GET", "/readyz")[0] == 200
    stack.end_runs()
    assert stack.call("POST", SYNCS)[0] == 202
    assert stack.waiting() == [accepted["run_id"]]  # the new one was sent


def test_without_redis_runs_are_cancelled_and_retried(
    stack: Stack, queue: redis_client.Redis
) -> None:
    _, _, accepted = stack.call("POST", SYNCS)
    path = f"/api/v1/runs/{accepted['run_id']}"
    stack.redis.stop()
    try:
        cancelled = stack.call("POST", f"{path}/cancel")
        retried = stack.call("POST", f"{path}/retry")
    finally:
        stack.redis.start()
    assert (cancelled[0], cancelled[2]["status"]) == (200, "cancelled")
    assert (retried[0], retried[2]) == (202, accepted)
    assert accepted["run_id"] in stack.waiting()


def test_without_postgresql_every_route_says_so(stack: Stack, queue: redis_client.Redis) -> None:
    status, _, accepted = stack.call("POST", SYNCS)
    assert status == 202
    asked = [
        (each.method, each.path.replace("<name>", "shop").replace("<run_id>", accepted["run_id"]))
        for each in operations()
        if each.role is not None
    ]
    assert len(asked) >= 5
    stack.engine.dispose()
    stack.postgres.stop()
    try:
        answers = {" ".join(route): stack.call(*route) for route in asked}
    finally:
        stack.postgres.start()
    for route, (status, headers, problem) in answers.items():
        assert status == 503, (route, problem)
        assert headers["Content-Type"] == "application/problem+json", route
        assert problem["type"] == "/api/docs#unavailable", route
        assert int(headers["Retry-After"]) > 0, route
    # The server is back, and nothing was done in between.
    found = stack.call("GET", f"/api/v1/runs/{accepted['run_id']}")
    assert (found[0], found[2]["status"]) == (200, "queued")


def test_without_postgresql_nothing_is_promised(stack: Stack, queue: redis_client.Redis) -> None:
    before = stack.runs()
    stack.engine.dispose()
    stack.postgres.stop()
    try:
        answers = [
            stack.call("POST", SYNCS),
            stack.call("GET", "/api/v1/runs"),
            stack.call("GET", "/readyz"),
        ]
        alive = stack.call("GET", "/healthz")
    finally:
        stack.postgres.start()
    for status, headers, problem in answers:
        assert status == 503
        assert headers["Content-Type"] == "application/problem+json"
        assert int(headers["Retry-After"]) > 0
        assert str(stack.postgres.url()) not in str(problem)
    assert answers[2][2]["checks"]["redis"]["ok"] is True
    assert alive[0] == 200
    assert stack.call("GET", "/readyz")[0] == 200
    assert stack.call("GET", "/api/v1/runs")[0] == 200
    assert stack.runs() == before


def test_the_log_holds_requests_and_no_key(stack: Stack) -> None:
    _, headers, _ = stack.call("GET", "/api/v1/runs?connection=secretish")
    log = stack.log.read_text()
    request_id = headers["X-Request-Id"]
    assert re.search(rf"request={request_id} GET /api/v1/runs 200 ", log)
    assert stack.key not in log
    assert SECRET not in log
    assert "secretish" not in log
    assert "Traceback" not in log


def test_sigterm_ends_it_in_peace(stack: Stack) -> None:
    # Not even somebody who watches holds it up.
    with stack.watch("/api/v1/events") as stream:
        _until(stream, b"retry: ")
        stack.web.send_signal(signal.SIGTERM)
        assert stack.web.wait(120) == 0
        _until(stream, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ATLAS_DATABASE_URL": "postgresql://x/y"}, "no stack is running"),
        ({"ATLAS_REDIS_UR": "redis://x"}, "unknown setting ATLAS_REDIS_UR"),
    ],
)
def test_a_wrong_setting_ends_it_at_start(
    tmp_path: Path, checkout: Path, settings: dict[str, str], message: str
) -> None:
    ended = subprocess.run(
        COMMAND,
        env=_environ(tmp_path, **settings),
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
