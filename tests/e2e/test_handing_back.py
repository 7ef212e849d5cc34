"""A worker that is told to stop hands back what it does, and the run goes on elsewhere."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Atlas
from tests.e2e.data import layers
from tests.e2e.held import Source, gone, held
from tests.e2e.test_kill import WORKER


def _two_syncs(atlas: Atlas, there: Source, name: str, stop: str | None) -> Any:
    there.first()
    atlas.apply(there.connection(name))
    atlas.sync(name)
    there.then()
    if stop is None:
        atlas.sync(name)
        return layers(atlas, name)
    atlas.apply(there.connection(name, **(there.stalls() if stop == "explore" else {})))
    with held(atlas, name, stop, lambda: atlas.start(name)) as run_id:
        (pid,) = (p["pid"] for p in atlas.status["processes"] if p["name"] == WORKER[stop])
        connector = there.group() if stop == "explore" else []
        os.kill(pid, signal.SIGTERM)
        atlas.until(lambda: gone([pid]))
        assert gone(connector)
        outcomes = [
            (item["outcome"], item["error"])
            for item in atlas.json("runs", "show", run_id, "--attempts")["attempts"]
            if item["stage"] == stop
        ]
        assert outcomes[0] == ("handed_back", None)
    document = atlas.wait(run_id)
    assert document["status"] == "succeeded", document
    return layers(atlas, name)


@pytest.fixture(scope="module")
def undisturbed(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two syncs leave when no worker is stopped."""
    return _two_syncs(atlas, Source(tmp_path_factory.mktemp("kept")), "kept_on", None)


@pytest.mark.parametrize("stage", ["explore", "pii", "chart"])
def test_work_is_handed_back(atlas: Atlas, tmp_path: Path, undisturbed: Any, stage: str) -> None:
    assert _two_syncs(atlas, Source(tmp_path), f"stopped_{stage}", stage) == undisturbed
