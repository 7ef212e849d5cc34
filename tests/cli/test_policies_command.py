"""Policies in a connections file, and ``atlas pii policies``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.cli.test_bad_input import KEY, atlas, refused

SCRIPTED = Path(__file__).parents[1] / "connectors" / "scripted.py"
LAX = "policies:\n  lax: {entities: {PERSON: keep}, columns: {note: drop}}\n"
Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command on a migrated database."""
    environ = {"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": KEY}
    return lambda *args: atlas(tmp_path, *args, **environ)


@pytest.fixture
def apply(run: Run, tmp_path: Path) -> Run:
    """Applies a file of the given text."""
    file = tmp_path / "c.yml"

    def apply(text: str, *args: str) -> Any:
        file.write_text(text)
        return run("apply", "-f", str(file), *args)

    return apply


def test_a_file_makes_policies_beside_connections_that_go_by_them(run: Run, apply: Run) -> None:
    text = f"{LAX}connections:\n- {{name: shop, executable: {SCRIPTED}, pii: {{policy: lax}}}}\n"
    for change in ("created", "unchanged"):
        done = apply(text, "--json")
        assert json.loads(done.stdout) == {
            "connections": [{"name": "shop", "change": change}],
            "policies": [{"name": "lax", "change": change}],
        }
    found = json.loads(run("pii", "policies", "--json").stdout)["items"]
    assert [(each["name"], each["connections"]) for each in found] == [
        ("default", []),
        ("lax", ["shop"]),
    ]
    assert "PERSON: keep" in run("pii", "policies").stdout
    shown = json.loads(run("pii", "policy", "lax", "--json").stdout)
    assert (shown["operators"]["PERSON"], shown["columns"]) == ("keep", {"note": "drop"})
    assert shown["actor"].startswith("cli")
    assert "note" in run("pii", "policy", "lax").stdout
    refused(run("pii", "delete-policy", "lax"), 1, "in use", "shop")
    # The file says what to make, not what to delete; a connection alone may come to it later.
    again = apply(f"connections:\n- {{name: shop, executable: {SCRIPTED}}}\n", "--json")
    assert json.loads(again.stdout)["connections"] == [{"name": "shop", "change": "updated"}]
    assert run("pii", "delete-policy", "lax").returncode == 0
    refused(run("pii", "policy", "lax"), 2, "lax", "default")


def test_a_file_of_policies_alone(apply: Run) -> None:
    assert apply(LAX).stdout == "policy lax: created\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policies: {lax: {entities: {PERSN: keep}}}", ("lax", "PERSN", "PERSON")),
        ("policies: {lax: {entities: {PERSON: kep}}}", ("lax", "kep", "keep")),
        ("policies: {lax: {columns: {note: erase}}}", ("lax", "note", "erase")),
        ("policies: {lax: {entites: {}}}", ("lax", "entites", "entities")),
        ("policies: {Lax: {}}", ("Lax", "lower-case")),
        ("policies: [lax]", ("policies", "mapping")),
        ("policies: {lax: {}, lax: {}}", ("lax", "twice")),
        ("polices: {lax: {}}", ("polices", "policies")),
        (
            f"{LAX}connections: [{{name: a, executable: {SCRIPTED}, pii: {{policy: laxx}}}}]",
            ("connection a", "laxx", "lax?"),
        ),
        (f"{LAX}connections: [{{name: a, executable: ./nowhere}}]", ("nowhere",)),
    ],
)
def test_a_wrong_one_writes_nothing(
    apply: Run, database_url: str, text: str, words: tuple[str, ...]
) -> None:
    refused(apply(text), 2, *words)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.connect() as conn:
        for table in ("pii_policy", "audit", "connection"):
            count = sa.select(sa.func.count()).select_from(sa.table(table, schema="pipeline"))
            assert conn.execute(count).scalar_one() == 0
