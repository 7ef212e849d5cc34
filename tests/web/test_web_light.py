"""The web process is light: it imports little, and no engine at all, whatever it is asked.

How long that takes is measured by `make bench ARGS=start`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENGINES = [
    "airbyte",
    "spacy",
    "presidio_analyzer",
    "presidio_anonymizer",
    "soda",
    "pyarrow",
    "pandas",
    "numpy",
]
SLOW = ["celery", "kombu", "redis", "alembic"]

_SCRIPT = """
import gc, json, sys
import atlas.web
app = atlas.web.create_app()
cold = sorted(sys.modules)
kept = [gc.isenabled(), gc.get_freeze_count()]
atlas.web.create_app()
assert [gc.isenabled(), gc.get_freeze_count()] == kept, "another application keeps more"
assert kept[0] and kept[1] > 0, "what was imported is looked through for garbage"
from atlas.web.app import warm_up
warm_up()
app.test_client().get("/readyz")
app.test_client().post("/api/v1/connections/shop/syncs")
print(json.dumps([cold, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def modules(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """Modules that there are once there is an application, and when it is warm."""
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "ATLAS_HOME": str(tmp_path_factory.mktemp("home")),
        "ATLAS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere",
        "ATLAS_REDIS_URL": "redis://127.0.0.1:9/0",
    }
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=checkout,
        env=environ,
        capture_output=True,
        check=True,
        text=True,
    )
    cold, warm = json.loads(ended.stdout)
    return set(cold), set(warm)


def test_what_is_slow_is_left_for_later(modules: tuple[set[str], set[str]]) -> None:
    assert not {*ENGINES, *SLOW} & modules[0]


def test_no_engine_ever(modules: tuple[set[str], set[str]]) -> None:
    assert set(SLOW) <= modules[1]  # it was warm
    assert not set(ENGINES) & modules[1]
