"""What a worker's parent has before its pool forks, and what Flower is told of its tasks."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from atlas.settings import Settings
from workers import lifecycle

_PARENT = """
import gc, json, sys
from celery.signals import celeryd_init
from workers import app, lifecycle
# Neither a database nor a model's check is this test's.
celeryd_init.disconnect(lifecycle.refuse_other_keys)
celeryd_init.send(sender=None, options={"queues": sys.argv[1]})
loaded = sorted(name for name in sys.modules if name.startswith("atlas.stages."))
scanners = 0
if "atlas.stages.pii" in sys.modules:
    scanners = sys.modules["atlas.stages.pii"]._scanner.cache_info().currsize
silent = sorted(name for name, task in app.tasks.items() if not task.send_events)
print(json.dumps([loaded, scanners, gc.get_freeze_count() > 0, silent, sorted(sys.modules)]))
"""
_BEAT = """
import gc, json, sys
import celery.apps.beat
from workers import app
app.finalize()
print(json.dumps([sorted(sys.modules), sorted(app.tasks), gc.isenabled(), gc.get_freeze_count()]))
"""


def start_worker(
    queues: str, tmp_path: Path, script: str = _PARENT, **more: str
) -> subprocess.CompletedProcess[str]:
    """The start of a worker on these queues, as far as its parent goes before it forks."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    given = {
        "ATLAS_HOME": str(tmp_path),
        "ATLAS_SECRET_KEY": "s" * 40,
        "ATLAS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere",
        "ATLAS_REDIS_URL": "redis://127.0.0.1:9/0",
    }
    return subprocess.run(
        [sys.executable, "-c", script, queues],
        cwd=Path(__file__).parents[2],
        env={**environ, **given, **more},
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.mark.parametrize(("queue", "starts"), [("control", False), ("load", True)])
def test_one_that_is_told_nonsense_about_lineage_does_not_start(
    queue: str, starts: bool, tmp_path: Path
) -> None:
    path = tmp_path / "openlineage.yml"
    path.write_text("transport: {type: datazone}")
    done = start_worker(queue, tmp_path, ATLAS_OPENLINEAGE_CONFIG=str(path))
    assert (done.returncode == 0) is starts
    assert ("this worker does not start: " in done.stderr) is not starts
    assert ("transport.type: must be one of" in done.stderr) is not starts


@pytest.mark.parametrize(
    ("queues", "stages", "scanners", "used"),
    [
        # pandas: pyarrow imports it for itself, in the middle of the first stream.
        ("scan", {"pii"}, 1, {"atlas.sync.perform", "pandas"}),
        ("load", {"quality", "chart", "navigate", "lineage"}, 0, {"atlas.sync.perform"}),
        ("extract", {"explore"}, 0, {"atlas.sync.perform", "atlas.sync.operate"}),
        ("control", set(), 0, {"atlas.sync.ticks"}),
    ],
)
def test_the_parent_has_what_its_children_use(
    queues: str, stages: set[str], scanners: int, used: set[str], tmp_path: Path
) -> None:
    done = start_worker(queues, tmp_path)
    assert done.returncode == 0, done.stderr
    loaded, found, frozen, silent, modules = json.loads(done.stdout)
    assert {f"atlas.stages.{stage}" for stage in stages} <= set(loaded)
    assert used | {"atlas.sync.presence", "pycparser"} <= set(modules)
    assert (found, frozen) == (scanners, True)
    ticks = ("tick", "deliver", "notify")
    assert {f"atlas.{tick}" for tick in ticks} < set(silent)
    assert not {"atlas.explore", "atlas.pii", "atlas.quality"} & set(silent)


def test_beat_and_flower_know_the_tasks_and_nothing_of_what_they_do(tmp_path: Path) -> None:
    done = start_worker("", tmp_path, _BEAT)
    assert done.returncode == 0, done.stderr
    modules, tasks, collects, kept = json.loads(done.stdout)
    assert {"atlas.tick", "atlas.pii", "atlas.operation"} <= set(tasks)
    assert not {"sqlalchemy", "psycopg2", "openlineage"} & set(modules)
    rooms = ("ledger", "layers", "lineage", "quality", "pii", "connectors", "stages")
    assert not [name for name in modules if name.startswith(tuple(f"atlas.{r}" for r in rooms))]
    # What was imported is not looked through for garbage; what comes after is.
    assert collects
    assert kept > 0


def test_lines_of_a_worker_say_which_worker_and_task_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "settings", lambda: Settings(log_format="json"))
    monkeypatch.setattr(lifecycle, "_node", "scan@here")
    logger = logging.Logger("worker")
    written = io.StringIO()
    logger.addHandler(logging.StreamHandler(written))
    lifecycle.write_lines(logger=logger, format="%(message)s")
    lifecycle.say_which_task(task=SimpleNamespace(name="atlas.pii"), task_id="t1")
    logger.info("begun")
    lifecycle.say_it_is_over()
    logger.info("idle")
    told, idle = map(json.loads, written.getvalue().splitlines())
    assert "task" not in idle
    assert (told["worker"], told["task"], told["task_id"]) == ("scan@here", "atlas.pii", "t1")
