"""Nothing starts with a secret key, or keys at work, that the data were not made with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from atlas.ledger import secrets
from tests.cli.test_bad_input import KEY, atlas

OTHER = "o" * 40


@pytest.fixture
def begun(database_url: str, migrated_database: str) -> str:
    """URL of a database whose keys were made under ``KEY``."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        secrets.keys(conn, KEY.encode())
    return database_url


def _lose(database_url: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM pipeline.secret_slot"))


@pytest.mark.parametrize("command", ["up", "migrate"])
@pytest.mark.parametrize(
    ("lost", "key", "told"),
    [
        (False, OTHER, "the secret key is not the one of this database"),
        (True, KEY, "every token would change its meaning"),
    ],
)
def test_the_start_is_refused(
    tmp_path: Path, begun: str, command: str, lost: bool, key: str, told: str
) -> None:
    if lost:
        _lose(begun)
    given = {"ATLAS_DATABASE_URL": begun, "ATLAS_SECRET_KEY": key, "ATLAS_PORT": "0"}
    done = atlas(tmp_path, command, **given)
    assert done.returncode == 1
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    status = atlas(tmp_path, "status", "--json", **given)
    assert '"processes": []' in status.stdout


@pytest.mark.parametrize(("lost", "key"), [(False, OTHER), (True, KEY)])
def test_no_worker_starts(tmp_path: Path, begun: str, lost: bool, key: str) -> None:
    if lost:
        _lose(begun)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "load", "-c", "1"],
        env=kept
        | {
            "ATLAS_HOME": str(tmp_path),
            "ATLAS_DATABASE_URL": begun,
            "ATLAS_REDIS_URL": "redis://127.0.0.1:1/0",
            "ATLAS_SECRET_KEY": key,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "this worker does not start" in done.stderr
    assert key not in done.stderr
