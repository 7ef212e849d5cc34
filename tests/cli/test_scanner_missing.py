"""Without what a scanner is made of nothing starts that is to scan, and it says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_bad_input import KEY

UP = ["atlas.cli", "up", "--detach"]
SCANS = ["celery", "-A", "workers", "worker", "-Q", "scan", "-c", "1"]


@pytest.mark.parametrize("command", [UP, SCANS])
@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("ATLAS_PII_MODEL", "en_core_web_huge", "en_core_web_huge (ATLAS_PII_MODEL) is not inst"),
        ("ATLAS_PII_NLP", "[", "setting ATLAS_PII_NLP: "),
        ("ATLAS_PII_RECOGNIZERS", "[", "setting ATLAS_PII_RECOGNIZERS: "),
    ],
)
def test_nothing_starts_that_could_not_scan(
    tmp_path: Path, command: list[str], setting: str, value: str, told: str
) -> None:
    if value == "[":
        file = tmp_path / "broken.yml"
        file.write_text(value)
        value = str(file)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
    given = {
        "ATLAS_HOME": str(tmp_path / "home"),
        "ATLAS_PORT": "0",
        "ATLAS_DATABASE_URL": "postgresql://atlas@127.0.0.1:1/atlas",
        "ATLAS_REDIS_URL": "redis://127.0.0.1:1/0",
        "ATLAS_SECRET_KEY": KEY,
        setting: value,
    }
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=kept | given,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
