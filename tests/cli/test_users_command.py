"""``atlas users``: accounts and links, and that no password is an argument."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import command
from tests.cli.test_bad_input import KEY, refused

PASSWORD = "correct horse battery\n"
Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command on a database without users."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "ATLAS_HOME": str(tmp_path / "home"),
        "ATLAS_DATABASE_URL": database_url,
        "ATLAS_SECRET_KEY": KEY,
        "ATLAS_PUBLIC_URL": "https://atlas.example.org",
    }
    return lambda *args, stdin=None: command.run(*args, env=environ, cwd=tmp_path, stdin=stdin)


def test_the_life_of_users(run: Run) -> None:
    link = json.loads(run("users", "setup-link", "--json").stdout)["link"]
    assert link.startswith("https://atlas.example.org/setup?token=")
    refused(run("users", "create", "--name", "ann", "--role", "admin", stdin="short\n"), 2, "12")
    ann = ("users", "create", "--name", "ann", "--role", "admin", "--json")
    made = json.loads(run(*ann, stdin=PASSWORD).stdout)
    assert (made["name"], made["role"]) == ("ann", "admin")
    assert "password" not in made
    refused(run(*ann, stdin=PASSWORD), 2, "'ann'")
    refused(run("users", "setup-link"), 1, "there are users already")
    bob = json.loads(
        run("users", "create", "--name", "bob", "--role", "viewer", "--link", "--json").stdout
    )
    assert bob["link"].startswith("https://atlas.example.org/setup?token=")
    assert run("users", "reset", "bob", stdin=PASSWORD).returncode == 0
    refused(run("users", "set-role", "ann", "viewer"), 1, "last admin")
    refused(run("users", "disable", "ann"), 1, "last admin")
    assert run("users", "set-role", "bob", "admin").returncode == 0
    assert run("users", "disable", "ann").returncode == 0
    assert run("users", "enable", "ann").returncode == 0
    refused(run("users", "disable", "nobody"), 2, "atlas users list")
    items = json.loads(run("users", "list", "--json").stdout)["items"]
    assert [(u["name"], u["role"], u["disabled_at"]) for u in items] == [
        ("ann", "admin", None),
        ("bob", "admin", None),
    ]
    told = json.loads(run("audit", "list", "--json").stdout)["items"]
    assert {each["action"] for each in told} == {
        *("user.link", "user.create", "user.password"),
        *("user.role", "user.disable", "user.enable"),
    }
    assert all(each["actor"].startswith("cli") for each in told)
    assert PASSWORD.strip() not in json.dumps(told)
