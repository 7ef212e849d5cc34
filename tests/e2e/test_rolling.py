"""A rolling restart under load: every process is started anew, one after the other, as
docs/operations.md says, while several connections are synced and the API is asked all the time."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.conftest import Atlas
from tests.soak.account import Book
from tests.soak.world import World

NAMES = ("people_a", "slow", "notes_a", "stock_a")
PROCESSES = (
    "web",
    "worker-extract",
    "worker-scan",
    "worker-load",
    "worker-control",
    "beat",
    "flower",
)
HOLD = ("worker-extract", "worker-scan", "worker-load")
"""These hold claims."""


class Load:
    """Syncs each connection again and again, and reads, each in a thread, while it is open."""

    def __init__(self, atlas: Atlas, world: World) -> None:
        self._atlas = atlas
        self._world = world
        status = atlas.status
        self._netloc = urlsplit(status["api_url"]).netloc
        self._key = atlas.json("keys", "create", "--name", "rolling", "--role", "operator")["key"]
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(step, pause))
            # A key may ask fifty times a second: however fast the machine is, these do not.
            for step, pause in ((self._sync, 0.5), (self._read, 0.2), (self._read, 0.2))
        ]
        self.answers: Counter[str] = Counter()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, step: Callable[[], None], pause: float) -> None:
        while not self._ended.wait(pause):
            step()

    def _sync(self) -> None:
        self._world.go_on()
        for name in NAMES:
            self._ask("POST", f"/api/v1/connections/{name}/syncs", (202, 409))

    def _read(self) -> None:
        for path in ("/api/v1/runs?limit=20", "/readyz", "/api/v1/overview"):
            self._ask("GET", path, (200,))

    def _ask(self, method: str, path: str, expected: tuple[int, ...]) -> None:
        """Ask once, over a connection of its own, as a client that is not told of the restart."""
        asked = http.client.HTTPConnection(self._netloc, timeout=60)
        try:
            asked.request(method, path, headers={"Authorization": f"Bearer {self._key}"})
            answer = asked.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.answers[f"{method} {path}: {type(error).__name__}"] += 1
        else:
            fine = answer.status in expected
            said = "as expected" if fine else f"{method} {path}: {answer.status} {body[:200]!r}"
            self.answers[said] += 1
        finally:
            asked.close()


@pytest.mark.timeout(900)
def test_no_run_fails_and_no_attempt_is_lost(atlas: Atlas, tmp_path: Path) -> None:
    world = World(tmp_path / "sources", NAMES, random.Random(8))
    # By hand alone; and so slowly read that each process is met at its work.
    connections = [{**each, "schedule": None} for each in world.connections()]
    for each in connections:
        each["config"]["pace"] = 0.03
    atlas.apply(*connections)
    with Load(atlas, world) as load:
        for name in PROCESSES:
            _restart(atlas, name)
    last = {name: atlas.sync(name)["run_id"] for name in NAMES if _idle(atlas, name)}
    assert list(last) == list(NAMES)

    assert load.answers.keys() == {"as expected"}, load.answers
    outcomes = Counter(
        dict(
            atlas.rows(
                "SELECT a.outcome, count(*) FROM pipeline.attempt a"
                " JOIN pipeline.stage_run s ON s.id = a.stage_run_id"
                " JOIN pipeline.run r ON r.id = s.run_id WHERE r.connection = ANY(:names)"
                " GROUP BY 1",
                names=list(NAMES),
            )
        )
    )
    assert outcomes.keys() <= {"succeeded", "handed_back"}, outcomes
    statuses = atlas.rows(
        "SELECT DISTINCT status FROM pipeline.run WHERE connection = ANY(:names)",
        names=list(NAMES),
    )
    assert statuses == [("succeeded",)]
    with atlas.engine.connect() as conn:
        found = Book(world.streams).close(conn, world.versions)
    assert (found.lost, found.twice) == ([], [])


def _restart(atlas: Atlas, name: str) -> None:
    """Start a process anew, once there is work that it is in the midst of."""
    before = _processes(atlas)
    if name == "web":
        children = _pool(before[name])
        os.kill(before[name], signal.SIGHUP)
        atlas.until(lambda: _pool(before[name]) and not _pool(before[name]) & children)
        assert _processes(atlas)[name] == before[name]
        return
    if name in HOLD:
        atlas.until(lambda: _at_work(atlas, before[name]))
    os.kill(before[name], signal.SIGTERM)
    atlas.until(lambda: _processes(atlas).get(name, before[name]) != before[name])
    assert not psutil.pid_exists(before[name])
    if name in HOLD:
        # The next one goes when this one works.
        atlas.until(lambda: _at_work(atlas, _processes(atlas)[name]))


def _processes(atlas: Atlas) -> dict[str, int]:
    state = json.loads((atlas.home / "stack.json").read_text())
    return {each["name"]: each["pid"] for each in state["processes"]}


def _pool(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children()}


def _at_work(atlas: Atlas, pid: int) -> bool:
    """Whether a process of a worker's pool holds a claim."""
    try:
        pool = _pool(pid)
    except psutil.NoSuchProcess:
        return False
    held: list[Any] = atlas.rows(
        "SELECT holder FROM pipeline.stage_run WHERE lease_until > now()"
        " UNION SELECT holder FROM pipeline.scan_part WHERE lease_until > now()"
    )
    holders = {int(holder.rpartition(":")[2]) for (holder,) in held if holder}
    return bool(pool & holders)


def _idle(atlas: Atlas, name: str) -> bool:
    """Wait until no run of a connection is under way."""
    query = "SELECT 1 FROM pipeline.run WHERE connection = :n AND finished_at IS NULL"
    return bool(atlas.until(lambda: not atlas.rows(query, n=name)))
