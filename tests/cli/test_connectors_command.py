"""``atlas connectors``: what it prints, what it refuses, and what a source sends meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from atlas.connectors import catalog
from atlas.ledger import connections
from atlas.model.connection import Connection
from tests.cli.test_bad_input import KEY, atlas, refused
from tests.stages.test_rotation import PROGRAM


def test_in_a_pipe_every_name_is_whole(tmp_path: Path) -> None:
    done = atlas(tmp_path, "connectors", "list")
    names = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert set(catalog.entries()) <= names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{host: a, database: b, username: c, passwrd: [", ("line 1", "neither YAML nor JSON")),
        ("host: a\nhost: hush", ("line 2", "host", "twice")),
        ("- hush", ("must be a mapping",)),
        ("1: hush", ("must be a mapping",)),
        ("", ("is empty",)),
        ("host: a", ("'database' is a required property",)),
        (
            "{host: a, database: b, username: 2026-01-01, port: 2026-01-01}",
            ("config.port: '2026-01-01' is not of type 'integer'",),
        ),
    ],
    ids=["no YAML", "twice", "a list", "a number's name", "empty", "lacks", "a date"],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    done = atlas(tmp_path, "connectors", "check", "source-postgres", "--config", str(file))
    refused(done, 2, *words)
    assert "hush" not in done.stderr


def test_a_token_that_is_rotated_meanwhile_is_kept(
    database_url: str, migrated_database: str, tmp_path: Path
) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    program, valid = tmp_path / "rotating.py", tmp_path / "valid"
    program.write_text(PROGRAM.format(valid=valid))
    valid.write_text("1")
    shop = Connection("shop", connector=None, executable=str(program), config={"token": "token-1"})
    with engine.begin() as conn:
        connections.put(conn, KEY.encode(), shop)

    def stored() -> str:
        with engine.begin() as conn:
            return str(connections.get(conn, KEY.encode(), "shop").connection.config["token"])

    environ = {"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": KEY}
    done = atlas(tmp_path, "connectors", "check", "shop", "--json", **environ)
    assert json.loads(done.stdout) == {"name": "shop", "status": "succeeded"}, done.stderr
    assert stored() == "token-2"
    done = atlas(tmp_path, "connectors", "discover", "shop", "--json", **environ)
    assert [item["stream"] for item in json.loads(done.stdout)["streams"]] == ["users"]
    assert stored() == "token-3"
    # A token that was used up is told as dead; nothing of it is.
    valid.write_text("9")
    done = atlas(tmp_path, "connectors", "check", "shop", **environ)
    refused(done, 1, "the token is dead")
    assert "token-3" not in done.stderr
