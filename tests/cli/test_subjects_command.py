"""``atlas pii find``, ``export``, ``erase`` and ``atlas audit``: what they print and refuse."""

from __future__ import annotations

import getpass
import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import explore, names
from atlas.ledger.database import cursor
from atlas.model.stream import StreamKey
from tests import command
from tests.cli.test_bad_input import KEY, refused

JANE = "jane.roe@example.org"
RUN_ID = "0192f5a2-1111-7111-8111-123456789abc"
Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command, with identifiers on standard input, where two rows are of Jane's."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        cur = cursor(conn)
        tables = names.tables(cur, "shop", StreamKey("users"))
        explore.ensure(cur, tables)
        row = b'{"id": 12345678901234567890.25, "mails": ["jane.roe@example.org"]}'
        explore.RawWriter(cur, RUN_ID).write(tables, [(row, 1), (row, 2), (b"{}", 3)])

    def run_command(
        *args: str, whom: str = f"\n {JANE}\n", largest: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
        given = {
            "ATLAS_HOME": str(tmp_path),
            "ATLAS_DATABASE_URL": database_url,
            "ATLAS_SECRET_KEY": KEY,
        }
        return command.run(*args, env=kept | given, stdin=whom, largest=largest)

    return run_command


def test_find_export_erase_and_the_log_of_it(run: Run, tmp_path: Path) -> None:
    found = json.loads(run("pii", "find", "--json").stdout)
    assert found["total"] == {"explore": 2, "chart": 0, "quarantine": 0, "navigate": 0}
    assert "shop" in run("pii", "find").stdout
    file = tmp_path / "jane.json"
    assert run("pii", "export", "--output", str(file)).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().count("12345678901234567890.25") == 2
    assert JANE in run("pii", "export", "--json").stdout
    refused(run("pii", "export", "--output", str(file)), 2, "is there already")
    other = tmp_path / "other.json"
    full = run("pii", "export", "--output", str(other), largest=10)
    refused(full, 2, "other.json cannot be written")
    assert not other.exists()
    refused(run("pii", "export"), 2, "--output", "--json")

    dry = run("pii", "erase", "--dry-run", "--json")
    assert json.loads(dry.stdout)["total"]["explore"] == 2
    asked = run("pii", "erase")
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    assert json.loads(run("pii", "find", "--json").stdout)["total"]["explore"] == 2
    whom = tmp_path / "whom.txt"
    whom.write_text(JANE)
    done = run("pii", "erase", "--yes", "-f", str(whom), "--json", whom="")
    assert json.loads(done.stdout)["streams"][0]["rows"]["explore"] == 2
    again = run("pii", "erase", "--yes")
    assert (again.returncode, "is done" in again.stderr) == (0, True)

    page = json.loads(run("audit", "list", "--limit", "2", "--json").stdout)
    assert [each["action"] for each in page["items"]] == ["pii.erase.end", "pii.erase"]
    assert page["items"][0]["actor"] == f"cli: {getpass.getuser()}"
    text = run("audit", "list", "--action", "pii.erase.stream").stdout
    assert found["subjects"][0] in text
    assert text.count("pii.erase.stream") == 1
    assert JANE not in run("audit", "list", "--json").stdout


def test_what_it_refuses(run: Run) -> None:
    refused(run("pii", "find", whom=""), 2, "at least one identifier")
    refused(run("pii", "find", whom="Bob\n"), 2, "say in which columns")
    refused(run("pii", "find", "--connection", "nowhere"), 2, "nowhere")
    assert run("pii", "find", "--column", "name", whom="Bob\n").returncode == 0
