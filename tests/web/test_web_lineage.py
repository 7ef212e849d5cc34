"""The lineage graph, and the events of a run, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import deliveries, lineage
from tests.lineage.told import tell

NOWHERE = "0192f5a2-1111-7111-8111-123456789abc"
BASE = "/api/v1/lineage/datasets"


@pytest.fixture
def told(engine: sa.Engine, shop: str) -> list[str]:
    """Two runs that told of a dataset, the first of which masked nothing; their ids."""
    assert shop == "shop"
    with engine.begin() as conn:
        return [tell(conn, masked=False), tell(conn)]


def test_a_column_leads_to_its_source(api: Any, told: list[str]) -> None:
    found = api.get(f"{BASE}/shop_users?column=email&direction=upstream").json
    assert [(node["dataset"], node["column"], node["masks"]) for node in found["nodes"]] == [
        ("navigate.shop_users", "email", []),
        ("chart.shop_users", "email", []),
        ("explore.shop_users_raw", "data.email", ["mask EMAIL_ADDRESS"]),
        ("source.shop_users", "email", ["mask EMAIL_ADDRESS"]),
    ]
    assert [edge["masking"] for edge in found["edges"]] == [False, True, False]
    assert {edge["run_id"] for edge in found["edges"]} == {told[1]}
    assert api.get(f"{BASE}/shop_users.email?direction=upstream").json == found
    first = api.get(f"{BASE}/shop_users?column=email&direction=upstream&run={told[0]}").json
    assert {edge["run_id"] for edge in first["edges"]} == {told[0]}
    assert not any(edge["masking"] for edge in first["edges"])


def test_a_dataset_leads_to_what_comes_of_it(api: Any, told: list[str]) -> None:
    found = api.get(f"{BASE}/source.shop_users?direction=downstream&depth=2").json
    assert [node["dataset"] for node in found["nodes"]] == [
        "source.shop_users",
        "explore.shop_users_raw",
        "chart.shop_users",
        "chart.shop_users_quarantine",
    ]
    assert (found["depth"], found["cut"]) == (2, False)


def test_a_run_and_its_events_in_pages(api: Any, told: list[str]) -> None:
    page = api.get(f"/api/v1/lineage/runs/{told[0]}?limit=2").json
    assert (page["run_id"], len(page["nodes"]), len(page["edges"])) == (told[0], 5, 4)
    assert {edge["run_id"] for edge in page["edges"]} == {told[0]}
    jobs = [each["event"]["job"]["name"] for each in page["items"]]
    assert jobs == ["shop.explore", "shop.users.chart"]
    path = f"/api/v1/lineage/runs/{told[0]}?limit=2&cursor={page['next_cursor']}"
    more = api.get(path).json
    jobs = [each["event"]["job"]["name"] for each in more["items"]]
    assert (jobs, more["next_cursor"]) == (["shop.users.navigate"], None)
    assert more["edges"] == page["edges"]


def test_sinks_and_what_they_lack(api: Any, engine: sa.Engine, told: list[str]) -> None:
    with engine.begin() as conn:
        deliveries.use(conn, {"archive": "/lineage.jsonl", "marquez": "http://marquez:5000"})
        first, *_ = deliveries.waiting(conn, "archive")
        deliveries.delivered(conn, "archive", first.id)
        deliveries.refused(conn, "marquez", first, "lineage endpoint marquez refused it")
        deliveries.away(conn, "marquez", "cannot reach lineage endpoint marquez")
    archive, marquez = api.get("/api/v1/lineage/sinks", "operator").json["items"]
    assert (archive["name"], archive["waiting"], archive["error"]) == ("archive", 5, None)
    assert (marquez["target"], marquez["waiting"]) == ("http://marquez:5000", 6)
    assert (marquez["refused"], marquez["failed_attempts"]) == (1, 1)
    assert marquez["error"] == "cannot reach lineage endpoint marquez"
    assert marquez["next_attempt_at"] is not None
    # Where they are is the operator's business.
    assert api.get("/api/v1/lineage/sinks", "viewer").status_code == 403
    page = api.get(f"/api/v1/lineage/runs/{told[0]}?limit=1")
    (event,) = page.json["items"]
    assert [(one["sink"], one["failed_attempts"]) for one in event["deliveries"]] == [
        ("archive", 0),
        ("marquez", 1),
    ]
    assert "refused it" not in page.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{BASE}/nowhere", "there is no dataset 'navigate.nowhere'"),
        (f"{BASE}/shop_users?column=mail", "no column 'mail': did you mean email?"),
        (f"{BASE}/shop_users.email?column=email", "stands there twice"),
        (f"{BASE}/shop_users?run={NOWHERE}", "there is no run"),
        (f"{BASE}/shop%00users", "there is nothing whose name has a NUL"),
        (f"/api/v1/lineage/runs/{NOWHERE}", "there is no run"),
        ("/api/v1/lineage/runs/nonsense", "there is no run"),
    ],
)
def test_what_is_not_there(api: Any, told: list[str], path: str, said: str) -> None:
    refused = api.get(path)
    assert (refused.status_code, refused.json["type"]) == (404, "/api/docs#not-found")
    assert said in refused.json["detail"]


@pytest.mark.parametrize(
    "query",
    ["depth=0", "depth=21", "direction=sideways", "column=", "column=%00", "more=1", "run=a&run=b"],
)
def test_what_makes_no_sense(api: Any, told: list[str], query: str) -> None:
    refused = api.get(f"{BASE}/shop_users?{query}")
    assert (refused.status_code, query.partition("=")[0] in refused.json["detail"]) == (400, True)


def test_a_key_is_wanted(api: Any, told: list[str]) -> None:
    for path in (f"{BASE}/shop_users", f"/api/v1/lineage/runs/{told[0]}"):
        assert api.get(path, role=None).status_code == 401


def test_what_was_told_last_is_found_by_its_name_in_an_index(engine: sa.Engine) -> None:
    """However many runs have told of other tables."""
    asked: list[tuple[Any, ...]] = []
    with engine.begin() as conn:
        conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
        sa.event.listen(conn, "before_cursor_execute", lambda *told: asked.append(told))
        lineage.last(conn, "chart", "shop_users")
        _, _, statement, values, *_ = asked[0]
        plan = conn.exec_driver_sql(f"EXPLAIN {statement}", values).scalars().all()
    assert [line for line in plan if "Index Cond: ((name = " in line], plan
