"""Names of datasets and jobs: by the naming rules, one name for one thing, nothing secret."""

from __future__ import annotations

import traceback

import pytest

from atlas.errors import UsageError
from atlas.lineage.naming import (
    Identity,
    files_identity,
    job_name,
    namespace,
    place,
    source_name,
    source_namespace,
    table_identity,
)
from atlas.model.stage import Stage
from atlas.model.stream import StreamKey


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://atlas:s3cret@db.Example:5433/wh", ("postgres://db.example:5433", "wh")),
        ("postgres://atlas:s3cret@db/wh", ("postgres://db:5432", "wh")),
        ("postgresql://u:p%40ss@[::1]:6000/wh?sslmode=require", ("postgres://[::1]:6000", "wh")),
        ("postgresql://a,b/wh", ("postgres://a:5432", "wh")),
        ("postgresql://a:1,b:2/wh", ("postgres://a:1", "wh")),
        (
            "postgresql://ann@/wh?host=/home/ann/run",
            ("postgres://localhost:5432", "wh"),
        ),
        ("postgresql://%2Fhome%2Fann:7000/wh", ("postgres://localhost:7000", "wh")),
        ("postgresql:///wh?port=7001", ("postgres://localhost:7001", "wh")),
        ("postgresql:///?dbname=wh&password=s3cret", ("postgres://localhost:5432", "wh")),
        ("postgresql://wh:s3cret@db", ("postgres://db:5432", "wh")),
    ],
)
def test_namespace_follows_the_naming_rules(url: str, expected: tuple[str, str]) -> None:
    assert namespace(url) == expected


def test_url_without_database_is_refused() -> None:
    with pytest.raises(UsageError, match="names no database"):
        place("postgresql://db:5432")


def test_unreadable_url_is_refused_without_its_password() -> None:
    url = "postgresql://u:s3cret@db:5432/wh?nosuchoption=s3cret"
    with pytest.raises(UsageError, match="ATLAS_DATABASE_URL") as caught:
        place(url)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_table_is_database_schema_table() -> None:
    assert place("postgresql://db/wh").name("chart", "shop_users") == "wh.chart.shop_users"


def test_jobs() -> None:
    assert job_name("shop") == "shop"
    assert job_name("shop", Stage.EXPLORE) == "shop.explore"
    assert job_name("shop", Stage.PII, StreamKey("users")) == "shop.users.pii"
    assert job_name("shop", Stage.PII, StreamKey("users", "eu")) == "shop.eu.users.pii"


def test_two_streams_never_share_a_name() -> None:
    keys = [StreamKey("a.b"), StreamKey("b", "a"), StreamKey("a%2Eb"), StreamKey("b", "")]
    assert len({source_name("shop", key) for key in keys}) == len(keys)
    assert len({job_name("shop", Stage.PII, key) for key in keys}) == len(keys)


def test_source_of_a_program_with_an_odd_name_is_still_a_uri() -> None:
    assert source_namespace("source-faker") == "airbyte://source-faker"
    assert source_namespace("my source/é.py") == "airbyte://my%20source%2F%C3%A9.py"


def test_what_is_read_has_the_name_that_a_table_written_there_has() -> None:
    for host, shown in (("db.Example", "db.example"), ("2001:DB8::7", "[2001:db8::7]")):
        there = place(f"postgresql://{shown}:5433/wh")
        assert table_identity(host, 5433, "wh", "public", "users") == Identity(
            there.namespace, there.name("public", "users"), "TABLE"
        )
        assert there.namespace == f"postgres://{shown}:5433"


def test_files_are_named_by_their_path() -> None:
    assert files_identity("/srv/in/a.csv") == Identity("file", "/srv/in/a.csv", "LOCATION")
