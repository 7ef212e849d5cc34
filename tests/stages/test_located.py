"""The end of explore tells which tables and files were read, and no more of the config."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from atlas.model.connection import Connection
from tests.lineage.validator import validate
from tests.stages import pipeline
from tests.stages.conftest import Source


@dataclass
class Native(Source):
    """A connection ``shop`` to one of Atlas's own sources."""

    connector: str = ""

    @property
    def connection(self) -> Connection:
        """The connection as it is to be applied."""
        return replace(
            super().connection, connector=self.connector, executable=None, config=self.options
        )


@pytest.fixture
def native(shop: Source, database_url: str) -> Native:
    """To be given a connector and its config."""
    pipeline.ready(shop, database_url)
    return Native(shop.engine, shop.settings, shop.directory)


@pytest.fixture
def port(database_url: str) -> Iterator[int]:
    """A port of the loopback that leads to the server, which may have but a socket."""
    given = parse_dsn(database_url.replace("postgresql+psycopg2://", "postgresql://"))
    directory = given["host"]
    number = int(given.get("port", 5432))
    family = socket.AF_UNIX if directory.startswith("/") else socket.AF_INET
    there: Any = (directory, number)
    if family is socket.AF_UNIX:
        there = f"{directory}/.s.PGSQL.{number}"

    def pass_on(near: socket.socket) -> None:
        with near, socket.socket(family) as far:
            far.connect(there)
            other = {near: far, far: near}
            while True:
                for each in select.select([near, far], [], [])[0]:
                    data = each.recv(65536)
                    if not data:
                        return
                    other[each].sendall(data)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=pass_on, args=(near,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def _told(shop: Source) -> dict[str, list[dict[str, str]] | None]:
    """What the last COMPLETE of explore says its inputs are, by name."""
    events = shop.column("SELECT event FROM pipeline.lineage_event ORDER BY id")
    for event in events:
        validate(event)
    done = [
        event
        for event in events
        if event["job"]["name"] == "shop.explore" and event["eventType"] == "COMPLETE"
    ]
    return {
        each["name"]: each["facets"].get("symlinks", {}).get("identifiers")
        for each in done[-1]["inputs"]
    }


def _everything(shop: Source) -> str:
    return json.dumps(shop.column("SELECT event FROM pipeline.lineage_event"))


def test_tables_of_a_database(native: Native, database_url: str, port: int) -> None:
    given = parse_dsn(database_url.replace("postgresql+psycopg2://", "postgresql://"))
    with closing(psycopg2.connect(**given)) as connection, connection, connection.cursor() as cur:
        cur.execute("CREATE TABLE cities (id int PRIMARY KEY); INSERT INTO cities VALUES (1)")
        cur.execute("CREATE SCHEMA eu; CREATE VIEW eu.towns AS SELECT * FROM public.cities")
    native.connector = "source-postgres"
    native.options = {
        "host": "LOCALHOST",
        "port": port,
        "database": given["dbname"],
        "username": given["user"],
        "password": given.get("password", "planted-s3cret"),
        "schemas": ["public", "eu"],
        "ssl_mode": {"mode": "prefer"},
        "lookback_seconds": 271828,
    }
    native.run()
    assert _told(native) == {
        f"shop.{schema}.{table}": [
            {
                "namespace": f"postgres://localhost:{port}",
                "name": f"{given['dbname']}.{schema}.{table}",
                "type": "TABLE",
            }
        ]
        for schema, table in (("public", "cities"), ("eu", "towns"))
    }
    told = _everything(native)
    for hidden in (native.options["password"], "271828", "prefer", "ssl_mode"):
        assert hidden not in told


def test_files_listed_and_one_alone(native: Native, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.csv", "in/b.csv", "goods.csv"):
        (tmp_path / name).write_text("id\n1\n")
    native.connector = "source-files"
    native.options = {
        "path": str(tmp_path),
        "streams": [{"name": "both", "glob": "in/*"}, {"name": "goods", "glob": "g*.csv"}],
    }
    native.run()

    def file(name: str) -> list[dict[str, str]]:
        return [{"namespace": "file", "name": f"{tmp_path}/{name}", "type": "LOCATION"}]

    assert _told(native) == {"shop.both": file("in"), "shop.goods": file("g*.csv")}
    native.options = {"path": str(tmp_path / "goods.csv")}
    native.run()
    assert _told(native) == {"shop.goods": file("goods.csv")}


def test_what_a_reference_stands_for_is_not_told(
    native: Native, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "hidden")
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "goods.csv").write_text("id\n1\n")
    native.connector = "source-files"
    native.options = {"path": f"{tmp_path}/${{env:PLANTED}}/goods.csv"}
    native.run()
    assert _told(native) == {"shop.goods": None}
    for hidden in ("PLANTED", "hidden", str(tmp_path)):
        assert hidden not in _everything(native)


def test_any_other_connector_tells_nothing(shop: Source, database_url: str) -> None:
    pipeline.ready(shop, database_url)
    shop.rows = {"users": [{"id": 1, "updated_at": "2026-01-01"}]}
    shop.options = {"host": "db.example", "database": "sales"}
    shop.run()
    assert _told(shop) == {"shop.users": None}
