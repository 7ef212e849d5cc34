"""`atlas demo`: a real Airbyte connector through every stage, and what it says of it is true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Atlas

STREAMS = {"users", "products", "purchases"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which nothing is."""
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def first(home: Path) -> Any:
    """What the first demo says; it starts and stops a stack of its own."""
    return json.loads(Atlas(home).run("demo", "--json").stdout)


@pytest.fixture(scope="module")
def again(home: Path, first: Any) -> Any:
    """What the second demo in the same home says."""
    return json.loads(Atlas(home).run("demo", "--json").stdout)


@pytest.fixture(scope="module")
def atlas(home: Path, again: Any) -> Iterator[Atlas]:
    """The stack of that home, up once more to be looked into."""
    stack = Atlas(home)
    stack.run("up", "--detach")
    yield stack
    stack.run("down")


def test_every_stage_of_every_stream_succeeded(first: Any) -> None:
    run = first["run"]
    assert run["status"] == "succeeded"
    assert {stream["stream"] for stream in run["streams"]} == STREAMS
    for stream in run["streams"]:
        assert [stage["stage"] for stage in stream["stages"]] == [
            "pii",
            "quality",
            "chart",
            "navigate",
            "lineage",
        ]
        assert {stage["status"] for stage in stream["stages"]} == {"succeeded"}
        rows = stream["rows"]
        assert rows["explore"] == rows["promoted"] + rows["quarantined"] + rows["superseded"] > 0


def test_it_leaves_no_process(again: Any, home: Path) -> None:
    status = Atlas(home).json("status", check=False)
    assert status["ready"] is False
    assert status["processes"] == []


def test_its_counts_are_what_sql_counts(first: Any, again: Any, atlas: Atlas) -> None:
    for told in again["tables"]:
        table = f"demo_{told['stream']}"
        ((explore, chart, navigate, current),) = atlas.rows(
            f"SELECT (SELECT count(*) FROM explore.{table}_raw),"
            f" (SELECT count(*) FROM chart.{table}), (SELECT count(*) FROM navigate.{table}),"
            f" (SELECT count(*) FROM navigate.{table} WHERE is_current)"
        )
        assert (told["explore"], told["chart"], told["navigate"], told["current"]) == (
            explore,
            chart,
            navigate,
            current,
        )
    read = {stream["stream"]: stream["rows"]["explore"] for stream in first["run"]["streams"]}
    assert read == {told["stream"]: told["explore"] for told in first["tables"]}
    assert read["users"] == 1000


def test_the_second_goes_on_from_the_state(again: Any) -> None:
    run = again["run"]
    assert run["status"] == "succeeded"
    assert {stream["sync_mode"] for stream in run["streams"]} == {"incremental"}
    fresh = {stream["stream"]: stream["rows"]["explore"] for stream in run["streams"]}
    assert fresh["users"] == fresh["purchases"] == 0


def test_the_second_says_so_to_people(again: Any, home: Path) -> None:
    told = Atlas(home).run("demo").stdout
    assert "incremental" in told
    assert "went on from the state" in told


def test_no_person_of_the_source_stands_in_chart_or_navigate(atlas: Atlas) -> None:
    people = atlas.rows(
        "SELECT data->>'email', data->>'telephone', data->>'name' FROM explore.demo_users_raw"
    )
    assert len(people) == 1000
    for layer in ("chart", "navigate"):
        # Unique by nature: not even within another value, in any column of any table.
        everything = "\n".join(
            text
            for stream in STREAMS
            for (text,) in atlas.rows(
                f"SELECT CAST(to_jsonb(t) AS text) FROM {layer}.demo_{stream} t"
            )
        )
        assert "DPhil" in everything  # what is not personal is there to be searched
        assert not [email for email, _, _ in people if email in everything]
        assert not [phone for _, phone, _ in people if phone in everything]
        # A first name may be a word elsewhere (a title "Miss", a state "Dakota").
        names = {name for _, _, name in people}
        shown = {name for (name,) in atlas.rows(f"SELECT name FROM {layer}.demo_users")}
        assert not names & shown
        ((streets,),) = atlas.rows(
            f"SELECT count(*) FROM {layer}.demo_users t JOIN explore.demo_users_raw r"
            " ON CAST(r.data->>'id' AS bigint) = t.id"
            " WHERE t.address->>'street_name' = r.data->'address'->>'street_name'"
        )
        assert streets == 0


def test_what_is_no_person_stays_readable(atlas: Atlas) -> None:
    ((same,),) = atlas.rows(
        "SELECT count(*) FROM chart.demo_products t JOIN explore.demo_products_raw r"
        " ON CAST(r.data->>'id' AS bigint) = t.id AND t.make = r.data->>'make'"
        " AND t.model = r.data->>'model' AND t.price = CAST(r.data->>'price' AS numeric)"
    )
    assert same == 100
    ((jobs,),) = atlas.rows(
        "SELECT count(*) FROM chart.demo_users t JOIN explore.demo_users_raw r"
        " ON CAST(r.data->>'id' AS bigint) = t.id AND t.occupation = r.data->>'occupation'"
        " AND t.age = CAST(r.data->>'age' AS bigint)"
    )
    assert jobs == 1000


def test_all_six_dimensions_were_checked(atlas: Atlas) -> None:
    dimensions = atlas.rows(
        "SELECT DISTINCT s.stream, k.dimension FROM pipeline.check_result k"
        " JOIN pipeline.run_stream s ON s.id = k.run_stream_id"
    )
    six = {"completeness", "uniqueness", "timeliness", "validity", "accuracy", "consistency"}
    for stream in STREAMS:
        assert {dimension for name, dimension in dimensions if name == stream} == six


def test_lineage_was_delivered(atlas: Atlas, home: Path) -> None:
    atlas.until(
        lambda: (
            atlas.rows("SELECT count(*) FROM pipeline.lineage_event WHERE delivered_at IS NULL")
            == [(0,)]
        )
    )
    ((count,),) = atlas.rows("SELECT count(*) FROM pipeline.lineage_event")
    lines = (home / "lineage" / "events.jsonl").read_text().splitlines()
    assert len(lines) >= count > 0


def test_secrets_and_files_are_private(atlas: Atlas, home: Path) -> None:
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600
    assert list((home / "tmp").iterdir()) == []
