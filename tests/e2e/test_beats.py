"""Schedules and recovery with more than one beat, and with none."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from tests import command
from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write

MANY = 6
ROUNDS = 3

FIRE = """if True:
    import logging, pathlib, sys, time
    from atlas.ledger.database import shared
    from atlas.settings import settings
    from atlas.sync.request import fire
    logging.basicConfig()
    engine = shared(settings())
    print("ready", flush=True)
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.001)
    print(fire(engine), flush=True)
"""


def _apply(atlas: Atlas, rows: Path, *names: str, **options: object) -> None:
    write(rows, row(1, 1))
    atlas.apply(
        *(
            source(name, rows, schedule={"cron": "0 3 1 1 *", "timezone": "UTC"}, **options)
            for name in names
        )
    )


def _make_due(atlas: Atlas, pattern: str) -> None:
    """All at one moment, in one transaction."""
    with atlas.engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.connection SET due_at = clock_timestamp() - interval '1 second'"
                " WHERE name LIKE :p"
            ),
            {"p": pattern},
        )


def _fired(atlas: Atlas, pattern: str) -> dict[str, int]:
    """How many runs the schedule of each connection made."""
    return dict(
        atlas.rows(
            "SELECT connection, count(*) FROM pipeline.run"
            " WHERE connection LIKE :p AND trigger = 'schedule' GROUP BY connection",
            p=pattern,
        )
    )


def _over(atlas: Atlas, pattern: str) -> bool:
    return not atlas.rows(
        "SELECT 1 FROM pipeline.run WHERE connection LIKE :p AND finished_at IS NULL"
        " UNION ALL SELECT 1 FROM pipeline.connection WHERE name LIKE :p"
        " AND due_at < clock_timestamp()",
        p=pattern,
    )


def _skipped(atlas: Atlas, name: str) -> bool:
    """Whether somebody tried to fire a schedule whose run was active: a second time, that is."""
    log = (atlas.home / "logs" / "worker-control.log").read_text()
    return f"schedule of {name}" in log and "skipped" in log.split(f"schedule of {name}", 1)[1]


@contextlib.contextmanager
def _beats(atlas: Atlas, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Further beats beside the stack's own."""
    command = [*(sys.executable, "-P", "-m", "celery", "-A", "workers", "beat")]
    command += ["--scheduler=celery.beat:Scheduler", "--pidfile="]
    environ = {**atlas.environ, "ATLAS_RELAY_INTERVAL": "0.2"}
    processes = []
    try:
        for number in range(count):
            with (atlas.home / "logs" / f"further-beat-{number}.log").open("wb") as log:
                processes.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log))
        yield processes
        assert [process.poll() for process in processes] == [None] * count
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _no_beat(atlas: Atlas) -> Iterator[None]:
    """The stack's beat frozen, which nobody notices."""
    pid = next(p["pid"] for p in atlas.status["processes"] if p["name"] == "beat")
    beat = psutil.Process(pid)
    beat.suspend()
    try:
        yield
    finally:
        beat.resume()


def test_one_due_time_makes_one_run_however_many_processes_fire_at_once(
    atlas: Atlas, tmp_path: Path
) -> None:
    names = [f"fired_{number}" for number in range(MANY)]
    _apply(atlas, tmp_path / "rows.json", *names)
    go = tmp_path / "go"
    firing = [
        subprocess.Popen(
            [sys.executable, "-c", FIRE, str(go)],
            env=atlas.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for process in firing:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        _make_due(atlas, "fired%")
        go.touch()
        said = [process.communicate(timeout=300) for process in firing]
    finally:
        for process in firing:
            process.kill()
            process.wait()
    assert all(process.returncode == 0 for process in firing), said
    assert not any("skipped" in errors for _, errors in said)
    atlas.until(lambda: _over(atlas, "fired%"), 120)
    assert _fired(atlas, "fired%") == dict.fromkeys(names, 1)
    assert not any(_skipped(atlas, name) for name in names)


def test_three_beats_fire_no_due_time_twice(atlas: Atlas, tmp_path: Path) -> None:
    names = [f"beaten_{number}" for number in range(MANY)]
    _apply(atlas, tmp_path / "rows.json", *names)
    with _beats(atlas, 2):
        for number in range(1, ROUNDS + 1):
            _make_due(atlas, "beaten%")
            atlas.until(lambda: _over(atlas, "beaten%"), 120)
            assert _fired(atlas, "beaten%") == dict.fromkeys(names, number)
    assert not any(_skipped(atlas, name) for name in names)


def test_without_beat_a_schedule_fires(atlas: Atlas, tmp_path: Path) -> None:
    _apply(atlas, tmp_path / "rows.json", "unbeaten")
    with _no_beat(atlas):
        _make_due(atlas, "unbeaten")
        atlas.until(lambda: _fired(atlas, "unbeaten") == {"unbeaten": 1}, 60)
        atlas.until(lambda: _over(atlas, "unbeaten"), 120)


@pytest.mark.parametrize("lost", ["worker", "message"])
def test_without_beat_what_is_lost_is_taken_up(atlas: Atlas, tmp_path: Path, lost: str) -> None:
    name = f"lost_{lost}"
    marker = tmp_path / "hung"
    _apply(atlas, tmp_path / "rows.json", name, hang_after=0, fail_once_marker=str(marker))
    with _no_beat(atlas):
        if lost == "worker":
            run_id = atlas.start(name)
            atlas.until(marker.exists)
            atlas.kill("worker-extract")
        else:
            marker.touch()
            # Written down, and never sent: the message's outbox row is due, and nobody is told.
            environ = {**atlas.environ, "ATLAS_REDIS_URL": "redis://127.0.0.1:1/0"}
            done = command.run("sync", name, "--no-wait", "--json", env=environ)
            assert done.returncode == 0, done.stderr
            run_id = json.loads(done.stdout)["run_id"]
        assert atlas.wait(run_id)["status"] == "succeeded"
