"""The lineage graph over real runs: where columns come from and go to, and what masks them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.ledger import connections, runs
from atlas.ledger import lineage as graph
from atlas.ledger.lineage import Node
from atlas.model.personal import Says
from atlas.stages import ORDER
from atlas.sync import datasets, lineage, personal, request
from tests.lineage.validator import validate
from tests.stages import pipeline
from tests.stages.conftest import Source, row

MAIL = "jane.roe@example.org"
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "E-Mail": {"type": "string"},
        "remark": {"type": ["null", "string"]},
        "updated_at": {"type": "string"},
    },
}
MASK = ["mask EMAIL_ADDRESS"]


def _person(number: int, **more: Any) -> dict[str, Any]:
    return row(number, number, **{"E-Mail": f"p{number}@example.org", "remark": "fine", **more})


@pytest.fixture
def users(shop: Source, database_url: str) -> Source:
    """A dataset that one run brought; a remark holds an address."""
    pipeline.ready(shop, database_url)
    shop.extra = {"users": {"schema": SCHEMA}}
    shop.rows = {"users": [_person(n) for n in range(1, 5)]}
    shop.rows["users"][1] = _person(2, remark=f"write to {MAIL} please")
    pipeline.sync(shop)
    return shop


def _show(shop: Source, name: str, **options: Any) -> dict[str, Any]:
    with shop.engine.connect() as conn:
        return lineage.show(conn, name, **options)


def _nodes(found: dict[str, Any]) -> dict[tuple[str, str | None], Any]:
    """What masks values on the way, by dataset and column; None: nothing."""
    return {
        (node["dataset"], node["column"]): (node["masks"] if node["masked"] else None)
        for node in found["nodes"]
    }


def _runs(shop: Source) -> list[str]:
    return shop.column("SELECT CAST(id AS text) FROM pipeline.run ORDER BY seq")


def _edges(shop: Source) -> int:
    return int(shop.value("SELECT count(*) FROM pipeline.lineage_edge"))


def test_a_column_of_navigate_comes_of_the_sources_property_and_says_what_masked_it(
    users: Source,
) -> None:
    found = _show(users, "shop_users.e_mail", direction="upstream")
    assert _nodes(found) == {
        ("navigate.shop_users", "e_mail"): None,
        ("chart.shop_users", "e_mail"): None,
        ("explore.shop_users_raw", "data.E-Mail"): MASK,
        ("source.shop_users", "E-Mail"): MASK,
    }
    source = found["nodes"][-1]
    assert (source["namespace"], source["name"]) == ("airbyte://scripted.py", "shop.users")
    made = {each["job"]: each["masking"] for each in found["edges"]}
    assert made == {
        "shop.users.navigate": False,
        "shop.users.chart": True,
        "shop.explore": False,
    }
    (step,) = found["edges"][1]["columns"][0]["steps"]
    assert (step["subtype"], step["description"]) == ("TRANSFORMATION", MASK[0])
    assert {each["run_id"] for each in found["edges"]} == set(_runs(users))
    assert (found["column"], found["cut"], found["run_id"]) == ("e_mail", False, None)
    kept = _show(users, "shop_users.updated_at", direction="upstream")
    assert set(_nodes(kept).values()) == {None}


def test_a_property_of_the_source_goes_to_navigate_and_to_the_quarantine(users: Source) -> None:
    found = _show(users, "source.shop_users.E-Mail", direction="downstream")
    assert _nodes(found) == {
        ("source.shop_users", "E-Mail"): None,
        ("explore.shop_users_raw", "data.E-Mail"): None,
        ("chart.shop_users", "e_mail"): MASK,
        ("chart.shop_users_quarantine", "e_mail"): MASK,
        ("navigate.shop_users", "e_mail"): MASK,
    }
    assert _show(users, "source.shop_users.E-Mail", direction="upstream")["edges"] == []


def test_both_ways_from_the_middle_and_no_way_twice(users: Source) -> None:
    found = _show(users, "explore.shop_users_raw.data.remark")
    assert len(found["nodes"]) == len(found["edges"]) + 1 == 5
    assert _show(users, "explore.shop_users_raw", column="data.remark") == found
    # What chart sends elsewhere is no part of where chart comes from, or goes.
    assert len(_show(users, "chart.shop_users.remark")["nodes"]) == 4


def test_between_datasets_an_edge_has_all_columns(users: Source) -> None:
    found = _show(users, "shop_users")
    assert [node["dataset"] for node in found["nodes"]] == [
        "navigate.shop_users",
        "chart.shop_users",
        "explore.shop_users_raw",
        "source.shop_users",
    ]
    assert [node["layer"] for node in found["nodes"]] == ["navigate", "chart", "explore", "source"]
    chart = next(each for each in found["edges"] if each["job"] == "shop.users.chart")
    masked = {
        each["target"]: [step["description"] for step in each["steps"] if step["masking"]]
        for each in chart["columns"]
    }
    assert masked["e_mail"] == masked["remark"] == MASK
    assert masked["id"] == masked["_atlas_id"] == []
    assert chart["masking"]


def test_depth_bounds_it(users: Source) -> None:
    near = _show(users, "shop_users.e_mail", depth=1)
    assert set(_nodes(near)) == {("navigate.shop_users", "e_mail"), ("chart.shop_users", "e_mail")}
    assert len(_show(users, "shop_users.e_mail", depth=2)["nodes"]) == 3


def test_what_masks_earlier_rows_is_told_by_a_run_that_finds_nothing_to_mask(users: Source) -> None:
    edges = _edges(users)
    users.rows["users"].append(_person(5))
    pipeline.sync(users)
    found = _show(users, "shop_users.remark", direction="upstream")
    assert _nodes(found)["source.shop_users", "remark"] == MASK
    # Told again, written once.
    assert _edges(users) == edges
    assert users.value("SELECT count(*) FROM pipeline.lineage_flow") == 8
    # All rows anew: none of them has an address in its remark any more.
    users.rows["users"] = [_person(n) for n in range(1, 5)]
    pipeline.sync(users, full_refresh=True)
    found = _show(users, "shop_users.remark", direction="upstream")
    assert _nodes(found)["source.shop_users", "remark"] is None


@pytest.mark.parametrize("by", ["policy", "word"])
def test_what_is_masked_no_more_is_not_told_to_be(users: Source, by: str) -> None:
    if by == "policy":
        users.pii = {"entities": {"EMAIL_ADDRESS": "keep"}}
        users.apply()
    else:
        with users.engine.begin() as conn:
            personal.say(
                conn,
                "shop_users",
                "remark",
                Says.IS_NOT,
                entity_type="EMAIL_ADDRESS",
                operator=None,
                actor="t",
                why="remarks are public",
            )
    users.rows["users"].append(_person(5, remark=f"or to {MAIL}"))
    pipeline.sync(users)
    assert MAIL in users.value("SELECT remark FROM chart.shop_users WHERE id = 5")
    found = _show(users, "shop_users.remark", direction="upstream")
    assert _nodes(found)["source.shop_users", "remark"] is None


def test_as_of_an_earlier_run_a_later_column_is_not_there(users: Source) -> None:
    (first,) = _runs(users)
    before = _show(users, "shop_users")
    later = {**SCHEMA["properties"], "city": {"type": "string"}}  # type: ignore[dict-item]
    users.extra = {"users": {"schema": {**SCHEMA, "properties": later}}}
    users.rows["users"].append(_person(5, city="Aarhus"))
    pipeline.sync(users)
    assert len(_show(users, "shop_users.city", direction="upstream")["nodes"]) == 4
    with pytest.raises(NotFound, match=rf"has no column 'city' as of run {first}$"):
        _show(users, "shop_users.city", run_id=first)
    as_of = _show(users, "shop_users", run_id=first)
    assert {**as_of, "run_id": None} == before
    down = _show(users, "source.shop_users.city", direction="downstream")
    assert ("navigate.shop_users", "city") in _nodes(down)


def test_a_run_that_did_not_come_to_write_a_dataset_changes_nothing_of_it(users: Source) -> None:
    (first,) = _runs(users)
    run_id = users.begin()
    assert users.attempt(run_id) is None
    found = _show(users, "shop_users")
    runs = {each["job"]: each["run_id"] for each in found["edges"]}
    assert runs == {
        "shop.explore": run_id,
        "shop.users.chart": first,
        "shop.users.navigate": first,
    }


def test_a_stream_leads_to_its_source_also_where_another_broke_the_reading_off(
    users: Source,
) -> None:
    users.rows = {
        "orders": [row(1, 1), row(2, 2)],
        "parcels": [row(number, number) for number in range(1, 6)],
        "refunds": [row(1, 1)],
    }
    users.extra = {}
    users.options = {"state_every": 1, "fail_after": 4}
    run_id = users.begin()
    assert users.attempt(run_id) is not None
    with users.engine.begin() as conn:
        read = [stream.id for stream in runs.streams(conn, run_id) if stream.explored]
    for stream in read:
        for stage in ORDER[1:]:
            pipeline.perform(users, stream, stage)
    with users.engine.connect() as conn:
        upstream = lineage.show(conn, "shop_orders", direction="upstream")["nodes"]
        partly = lineage.show(conn, "explore.shop_parcels_raw", direction="upstream")["nodes"]
        with pytest.raises(NotFound, match="has no lineage yet"):
            lineage.show(conn, "explore.shop_refunds_raw")
    assert upstream[-1]["dataset"] == "source.shop_orders"
    assert partly[-1]["dataset"] == "source.shop_parcels"


def test_one_that_masks_anew_tells_the_masks_of_now_and_no_reading(users: Source) -> None:
    users.pii = {"entities": {"EMAIL_ADDRESS": "redact"}}
    users.apply()
    with users.engine.begin() as conn:
        run_id = request.record_remask(conn, "shop", actor="t", streams=None)
    assert users.attempt(run_id) is None
    pipeline.stages(users, run_id)
    found = _show(users, "shop_users.e_mail", direction="upstream")
    assert _nodes(found)["source.shop_users", "E-Mail"] == ["redact EMAIL_ADDRESS"]
    with users.engine.connect() as conn:
        moved = lineage.of_run(conn, run_id)
    assert {each["job"] for each in moved["edges"]} == {"shop.users.chart", "shop.users.navigate"}


def test_a_run_tells_what_it_moved_and_its_events_in_order(users: Source) -> None:
    (run_id,) = _runs(users)
    with users.engine.connect() as conn:
        moved = lineage.of_run(conn, run_id)
        events = lineage.events(conn, run_id)
        assert lineage.events(conn, run_id, limit=2, after=events[0]["id"]) == events[1:3]
    assert [node["dataset"] for node in moved["nodes"]] == [
        "source.shop_users",
        "explore.shop_users_raw",
        "chart.shop_users",
        "chart.shop_users_quarantine",
        "navigate.shop_users",
    ]
    assert len(moved["edges"]) == 4
    told = [(each["event"]["job"]["name"], each["event"]["eventType"]) for each in events]
    assert told[:3] == [("shop", "START"), ("shop.explore", "START"), ("shop.explore", "COMPLETE")]
    assert told[3:5] == [("shop.users.pii", "START"), ("shop.users.pii", "COMPLETE")]
    assert told[-2:] == [("shop.users.lineage", "COMPLETE"), ("shop", "COMPLETE")]


def _completed(shop: Source, job: str) -> dict[str, Any]:
    """The last COMPLETE of a job."""
    event: dict[str, Any] = shop.value(
        "SELECT event FROM pipeline.lineage_event WHERE event -> 'job' ->> 'name' = :j"
        " AND event ->> 'eventType' = 'COMPLETE' ORDER BY id DESC LIMIT 1",
        j=job,
    )
    validate(event)
    return event


def _changes(shop: Source) -> dict[str, str | None]:
    """What became of tables in the last run, by table."""
    outputs = [
        each
        for job in ("shop.users.chart", "shop.users.navigate")
        for each in _completed(shop, job)["outputs"]
    ]
    return {
        each["name"].partition(".")[2]: each["facets"]
        .get("lifecycleStateChange", {})
        .get("lifecycleStateChange")
        for each in outputs
    }


def test_what_was_made_of_tables_is_told(users: Source) -> None:
    tables = ["chart.shop_users", "chart.shop_users_quarantine", "navigate.shop_users"]
    assert _changes(users) == dict.fromkeys(tables, "CREATE")
    users.rows["users"].append(_person(5))
    pipeline.sync(users)
    assert _changes(users) == dict.fromkeys(tables)
    later = {**SCHEMA["properties"], "city": {"type": "string"}}  # type: ignore[dict-item]
    users.extra = {"users": {"schema": {**SCHEMA, "properties": later}}}
    users.rows["users"].append(_person(6, city="Aarhus"))
    pipeline.sync(users)
    assert _changes(users) == dict.fromkeys(tables, "ALTER")


def test_the_statements_are_told_without_values(users: Source) -> None:
    for job, start in (
        ("shop.users.chart", 'INSERT INTO "chart"."shop_users"'),
        ("shop.users.navigate", 'INSERT INTO "navigate"."shop_users"'),
    ):
        facet = _completed(users, job)["job"]["facets"]["sql"]
        assert (start in facet["query"], facet["dialect"]) == (True, "postgres")
        assert "example.org" not in facet["query"]
    assert "sql" not in _completed(users, "shop.users.pii")["job"]["facets"]


def test_what_people_say_of_a_dataset_goes_with_it(users: Source) -> None:
    with users.engine.begin() as conn:
        datasets.describe(conn, "shop_users", {"owner": "Sales", "tag": ["core"]}, actor="t")
    pipeline.sync(users)
    (table,) = _completed(users, "shop.users.navigate")["outputs"]
    assert table["facets"]["ownership"]["owners"] == [{"name": "Sales"}]
    tags = {(tag["key"], tag.get("field")) for tag in table["facets"]["tags"]["tags"]}
    assert ("core", None) in tags


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "there is no dataset 'navigate.nowhere'"),
        ("chart.nowhere.id", "there is no dataset 'chart.nowhere'"),
        ("explore.shop_users", "there is no dataset 'explore.shop_users'"),
        ("source.nowhere", "there is no dataset 'source.nowhere'"),
        ("shop_users.email", "has no column 'email': did you mean e_mail?"),
        ("explore.shop_users_raw.id", r"has no column 'id': did you mean data\.id\?"),
        ("source.shop_users.e_mail", "has no column 'e_mail'"),
        ("shop_users.", "has no column ''"),
    ],
)
def test_what_is_not_there_is_said(users: Source, name: str, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        _show(users, name)


def test_a_column_of_our_own_is_there_and_comes_of_none(users: Source) -> None:
    found = _show(users, "shop_users.valid_from")
    assert (_nodes(found), found["edges"]) == ({("navigate.shop_users", "valid_from"): None}, [])


def test_a_dataset_before_its_first_run_and_a_run_that_is_not_there(
    users: Source, shop: Source
) -> None:
    (first,) = _runs(users)
    shop.rows["orders"] = [row(1, 1)]
    shop.run()
    with pytest.raises(NotFound, match=r"dataset navigate\.shop_orders has no lineage yet"):
        _show(shop, "shop_orders")
    assert len(_show(shop, "explore.shop_orders_raw")["nodes"]) == 2
    with pytest.raises(NotFound, match=f"has no lineage as of run {first}"):
        _show(shop, "explore.shop_orders_raw", run_id=first)
    with pytest.raises(NotFound, match="there is no run 'nonsense'"):
        _show(shop, "shop_users", run_id="nonsense")


def test_what_deleted_runs_told_is_gone_and_what_others_told_stays(users: Source) -> None:
    users.rows["users"].append(_person(5))
    pipeline.sync(users)
    first, _ = _runs(users)
    # The edges were written with the first run, and hold for the second.
    with users.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM pipeline.run WHERE id = :r"), {"r": first})
    assert len(_show(users, "shop_users.e_mail")["nodes"]) == 4
    with users.engine.begin() as conn:
        connections.forget_runs(conn, "shop")
    assert _edges(users) == 0
    with pytest.raises(NotFound, match="has no lineage yet"):
        _show(users, "shop_users")


# --- graphs that Atlas does not make, by hand ----------------------------------------------------


def _draw(shop: Source, *edges: tuple[str, str], masks: str = "") -> None:
    """Have column ``x`` of each second table come of that of the first; one edge masks."""
    (run_id,) = _runs(shop)
    with shop.engine.begin() as conn:
        for number, (source, target) in enumerate(edges):
            told = sa.text(
                "INSERT INTO pipeline.lineage_flow"
                " (run_id, run_seq, job, namespace, name, digest, at)"
                " SELECT :r, 1, 'j', 'postgres://h:1', :t, :t, now()"
                " WHERE NOT EXISTS (SELECT FROM pipeline.lineage_flow WHERE name = :t)"
            )
            conn.execute(told, {"r": run_id, "t": target})
            steps = '[{"masking": true, "description": "m"}]' if masks == f"{number}" else "[]"
            conn.execute(
                sa.text(
                    "INSERT INTO pipeline.lineage_edge (digest, namespace, name, field,"
                    " source_namespace, source_name, source_field, steps)"
                    " VALUES (:t, 'postgres://h:1', :t, 'x', 'postgres://h:1', :s, 'x',"
                    " CAST(:steps AS jsonb))"
                ),
                {"t": target, "s": source, "steps": steps},
            )


def _walk(shop: Source, name: str, **options: Any) -> list[tuple[str, str]]:
    with shop.engine.connect() as conn:
        found = graph.walk(conn, Node("postgres://h:1", name, "x"), **options)
    return [(edge.source.name, edge.target.name) for edge in found]


def test_a_circle_ends(users: Source) -> None:
    _draw(users, ("a", "b"), ("b", "c"), ("c", "a"))
    for upstream in (True, False):
        found = _walk(users, "a", upstream=upstream, depth=20, limit=1000)
        assert set(found) == {("a", "b"), ("b", "c"), ("c", "a")}
        assert len(found) == 20


def test_what_is_more_than_the_bound_is_cut_and_said_to_be(
    users: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "MOST", 2)
    found = _show(users, "shop_users.e_mail")
    assert (found["cut"], len(found["edges"]), len(found["nodes"])) == (True, 2, 3)
    monkeypatch.setattr(lineage, "MOST", 3)
    assert not _show(users, "shop_users.e_mail")["cut"]


def test_many_ways_are_not_walked_one_by_one(users: Source) -> None:
    # Two ways from each stage to the next: a million ways in all.
    names = [f"n{number}" for number in range(20)]
    edges = [
        (near + left, far + right)
        for near, far in itertools.pairwise(names)
        for left in "ab"
        for right in "ab"
    ]
    _draw(users, *edges)
    found = _walk(users, "n19a", upstream=True, depth=20, limit=1000)
    assert len(found) == len(set(found)) == 2 + 18 * 4


def test_a_way_around_the_mask_is_no_masked_way(users: Source) -> None:
    a, b, c, d = (Node("n", name, "x") for name in "abcd")

    def edge(source: Node, target: Node, *steps: dict[str, Any]) -> graph.Edge:
        return graph.Edge(source, target, list(steps), "", "", "", None)  # type: ignore[arg-type]

    mask = {"masking": True, "description": "m"}
    ways = [edge(a, b, mask), edge(b, d), edge(a, c), edge(c, d)]
    masks, clear = lineage._masks(a, [], ways)
    assert masks == {
        "datasetField:n:a:x": [],
        "datasetField:n:b:x": ["m"],
        "datasetField:n:c:x": [],
        "datasetField:n:d:x": ["m"],
    }
    assert clear == {f"datasetField:n:{name}:x" for name in "acd"}
    assert lineage._masks(a, [], ways[:2])[1] == {"datasetField:n:a:x"}
