"""With the settings as they come: after a single fault a run moves again within half a minute.

That bound is a promise of the product (docs/reliability.md), so it is asserted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import stack, trial
from tests.chaos.brake import Brake, hold, install
from tests.chaos.faults import KilledChild
from tests.chaos.stack import SETTINGS, Stack, wait
from tests.chaos.world import STREAMS, Picture

# It may run on a machine that has much else to do.
pytestmark = pytest.mark.timeout(1800)
PROMISED = 30.0
"""Seconds from the end of a fault to the next step of the run."""


@pytest.fixture(scope="module")
def default(equipped: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with no settings but those that do not bear on time."""
    kept = {key: SETTINGS[key] for key in ("ATLAS_SECRET_KEY", "ATLAS_CHECKPOINT_ROWS")}
    home = tmp_path_factory.mktemp("default")
    with stack.plain(home, kept) as made:
        install(made)
        yield made


@pytest.fixture(scope="module")
def undisturbed(default: Stack, tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """What two syncs leave when nothing happens to them."""
    return trial.calm(default, tmp_path_factory.mktemp("calm"))


def test_a_killed_child(default: Stack, tmp_path: Path, undisturbed: Picture) -> None:
    name = "default_child"
    trial.prepare(default, tmp_path, [name])
    with Brake(default, tmp_path, name, "chart") as held:
        held.set()
        run = default.request(name)
        assert not hold({held: run}), default.document(run)
        KilledChild(default, None, ["chart"]).inject()
        ended = time.monotonic()
    again = _until(
        default,
        "SELECT 1 FROM pipeline.stage_run x JOIN pipeline.run_stream s ON s.id = x.run_stream_id"
        " WHERE x.run_id = :r AND s.stream = 'orders' AND x.stage = 'chart' AND x.attempt > 1"
        "   AND x.status IN ('running', 'succeeded')",
        run,
        ended,
    )
    assert again <= PROMISED, default.document(run)
    outcome = trial.judge(default, undisturbed, {name: run})[name]
    assert outcome.clean, outcome


def test_messages_that_are_gone(default: Stack, tmp_path: Path, undisturbed: Picture) -> None:
    """While the load worker's four processes are held, messages of another run wait: they go."""
    names = [f"default_flush_{number}" for number in range(4)]
    waiting = "default_flush_waiting"
    trial.prepare(default, tmp_path, [*names, waiting])
    with contextlib.ExitStack() as brakes:
        runs: dict[str, str] = {}
        held: dict[Brake, str] = {}
        for name in names:
            brake = brakes.enter_context(Brake(default, tmp_path, name, "quality"))
            brake.set()
            held[brake] = runs[name] = default.request(name)
        assert not hold(held), [default.document(run) for run in runs.values()]
        before = default.redis.llen("load")
        runs[waiting] = default.request(waiting)
        assert wait(lambda: default.redis.llen("load") >= before + len(STREAMS), 60)
        default.redis.flushall()
        ended = time.monotonic()
    again = _until(
        default,
        "SELECT 1 FROM pipeline.stage_run"
        " WHERE run_id = :r AND stage = 'quality' AND attempt > 0 HAVING count(*) = 2",
        runs[waiting],
        ended,
    )
    assert again <= PROMISED, default.document(runs[waiting])
    for name, outcome in trial.judge(default, undisturbed, runs).items():
        assert outcome.clean, f"{name}\n{outcome}"


def _until(made: Stack, query: str, run: str, since: float) -> float:
    """Seconds after ``since`` when the query finds a row, or more than was promised."""
    wait(lambda: made.rows(query, r=run), 2 * PROMISED)
    return time.monotonic() - since
