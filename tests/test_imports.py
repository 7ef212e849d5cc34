"""The command line's help and the web process stay light: no engine, no connector library in them.

Each is looked at in a process of its own, as nothing else says what *it* imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
HEAVY = {
    "airbyte",
    "pandas",
    "presidio_analyzer",
    "presidio_anonymizer",
    "pyarrow",
    "soda",
    "spacy",
    "thinc",
}

_IMPORT_ALL = """
import importlib, pkgutil, sys

def import_all(name):
    package = importlib.import_module(name)
    names = [m.name for m in pkgutil.walk_packages(package.__path__, name + ".")]
    for module in names:
        if not module.endswith(".__main__"):  # which runs the command line
            importlib.import_module(module)
    return names
"""
_LOADED = """
import json
print(json.dumps(sorted(sys.modules)))
"""
_LOOKS = {
    "import atlas.web": "import sys, atlas.web",
    "create_app": "import sys, atlas.web; atlas.web.create_app()",
    "all of atlas.web, warm": _IMPORT_ALL
    + """
assert "atlas.web.api.syncs" in import_all("atlas.web")
from atlas.web import app, create_app
app.warm_up()
assert create_app().test_client().get("/healthz").status_code == 200
""",
    "all of atlas.cli": _IMPORT_ALL + "assert 'atlas.cli.stack' in import_all('atlas.cli')\n",
}


def _environ(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
    return kept | {
        "ATLAS_HOME": str(home),
        # Read when the web process is warm, never connected to.
        "ATLAS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere",
        "ATLAS_REDIS_URL": "redis://127.0.0.1:9/0",
    }


@pytest.mark.parametrize("look", _LOOKS)
def test_no_engine_is_imported(look: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOKS[look] + _LOADED],
        cwd=CHECKOUT,
        env=_environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert any(name.startswith("atlas.") for name in loaded)
    assert not HEAVY & loaded


def test_at_the_end_of_a_command_nothing_is_looked_through_for_garbage(tmp_path: Path) -> None:
    ends = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print('kept', gc.get_freeze_count() > 0))\n"
        "from atlas.cli import main; sys.argv = ['atlas', '--version']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", ends],
        cwd=CHECKOUT,
        env=_environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("kept True\n"), done.stderr


def test_what_runs_the_servers_has_no_client_of_redis(tmp_path: Path) -> None:
    """`atlas up` supervises for months, and starts often."""
    runs = (
        "import sys\n"
        "from atlas.cli import stack\n"
        "from atlas.ledger import database, migrations, secrets\n"
        "from atlas.local import postgres, redis, supervisor\n"
        "from atlas.pii import installed\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", runs + _LOADED],
        cwd=CHECKOUT,
        env=_environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"atlas.local.redis", "atlas.ledger.migrations"} <= loaded
    assert not {"redis", "celery", "kombu", "flask", "opentelemetry"} & loaded


def test_help_imports_no_engine(tmp_path: Path) -> None:
    """The console script itself, as a user types it."""
    script = Path(sys.executable).with_name("atlas")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(script), "--help"],
        cwd=CHECKOUT,
        env=_environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: atlas" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "atlas.cli" in loaded
    assert not HEAVY & loaded
    # Nor what is only slow: each command imports it when it runs.
    assert not {"celery", "sqlalchemy", "flask", "alembic", "rich.console"} & loaded
