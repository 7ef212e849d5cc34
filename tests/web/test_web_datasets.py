"""The catalog of datasets over HTTP: what it lists and finds, whom it shows what."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from atlas.roles import Role
from tests.web.conftest import JANE, USERS

BASE = "/api/v1/datasets"
CHART, RAW = f"{BASE}/chart/shop_users", f"{BASE}/explore/shop_users_raw"


def _audited(api: Any, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/api/v1/audit?action={action}", "privacy").json["items"]
    return found


def test_datasets_are_listed_found_and_shown(api: Any, users: str) -> None:
    page = api.get(BASE).json
    assert [(each["layer"], each["name"]) for each in page["items"]] == [
        ("chart", "shop_users"),
        ("explore", "shop_users_raw"),
    ]
    assert page["items"][0]["personal"] == ["EMAIL_ADDRESS"]
    assert page["items"][0]["loaded_at"].startswith("20")
    first = api.get(f"{BASE}?limit=1").json
    assert first["items"] == page["items"][:1]
    rest = api.get(f"{BASE}?limit=1&cursor={first['next_cursor']}").json
    assert (rest["items"], rest["next_cursor"]) == (page["items"][1:], None)
    assert api.get(f"{BASE}?layer=chart&q=user").json["items"] == page["items"][:1]
    for nothing in ("q=nonsense", "tag=core", "owner=Sales", "connection=other", "layer=navigate"):
        assert api.get(f"{BASE}?{nothing}").json == {"items": [], "next_cursor": None}
    shown = api.get(CHART).json
    assert (shown["description"], shown["runs"][0]["run_id"]) == (USERS["description"], users)
    assert [each["rows"] for each in shown["layers"]] == [1]


def test_answers_are_as_documented(api: Any, app: Any, users: str) -> None:
    document = app.test_client().get("/api/v1/openapi.json").json
    one = f"{BASE}/{{layer}}/{{table}}"
    for path, method, answer in (
        (BASE, "get", api.get(BASE)),
        (one, "get", api.get(CHART)),
        (one, "patch", api.call("PATCH", CHART, json={"owner": "Sales"})),
        (f"{one}/sample", "get", api.get(f"{CHART}/sample")),
        (f"{one}/sample", "get", api.get(f"{RAW}/sample?why=ticket", "privacy")),
    ):
        assert answer.status_code == 200, answer.json
        content = document["paths"][path][method]["responses"]["200"]["content"]
        schemas = {
            name: {**each, "additionalProperties": False}
            for name, each in document["components"]["schemas"].items()
        }
        root = {**content["application/json"]["schema"], "components": {"schemas": schemas}}
        Draft202012Validator(root).validate(answer.json)


@pytest.mark.parametrize("role", list(Role))
def test_a_sample_of_chart_is_masked_for_everybody(api: Any, users: str, role: str) -> None:
    answer = api.get(f"{CHART}/sample", role)
    assert answer.json["items"] == [{"row": {"id": "1", "email": "***@***"}, "cut": []}]
    assert (answer.json["masked"], JANE in answer.text) == (True, False)
    assert _audited(api, "datasets.sample") == []


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_explore_is_not_shown_to_those_who_may_not_unmask(api: Any, users: str, role: str) -> None:
    for why in ("", "?why=curious"):
        refused = api.get(f"{RAW}/sample{why}", role)
        assert (refused.status_code, refused.json["type"]) == (403, "/api/docs#forbidden")
        assert refused.json["required_role"] == "privacy"
        assert "chart.shop_users" in refused.json["detail"]
        assert JANE not in refused.text
    assert _audited(api, "datasets.sample") == []


@pytest.mark.parametrize("role", ["privacy", "admin"])
def test_who_looks_at_explore_says_why_and_is_written_down(api: Any, users: str, role: str) -> None:
    refused = api.get(f"{RAW}/sample", role)
    assert (refused.status_code, "why" in refused.json["detail"]) == (400, True)
    shown = api.get(f"{RAW}/sample?why=ticket%207", role)
    assert (shown.json["masked"], JANE in shown.text) == (False, True)
    (entry,) = _audited(api, "datasets.sample")
    assert (entry["actor"], entry["subject"]) == (f"api: the {role}", "explore.shop_users_raw")
    assert entry["detail"] == {"why": "ticket 7", "rows": ["1"]}


def test_a_dataset_is_described_by_those_who_configure(api: Any, users: str) -> None:
    assert api.call("PATCH", CHART, "viewer", json={"owner": "Sales"}).status_code == 403
    body = {"owner": "Sales", "tags": ["core"], "columns": {"email": "Login"}}
    described = api.call("PATCH", RAW, json=body).json
    assert (described["owner"], described["tags"]) == ("Sales", ["core"])
    shown = api.get(CHART).json
    assert shown["described_by"] == "api: the operator"
    assert [each["description"] for each in shown["columns"]] == [None, "Login"]
    assert [
        e["name"]
        for e in api.get(f"{BASE}?owner=Sales&tag=core&layer=chart&connection=shop").json["items"]
    ]
    shown = api.call("PATCH", CHART, json={"tags": [], "columns": {"email": None}}).json
    assert (shown["owner"], shown["tags"]) == ("Sales", [])
    assert [each["description"] for each in shown["columns"]] == [None, None]
    assert len(_audited(api, "datasets.describe")) == 2


def test_what_is_not_there(api: Any, users: str) -> None:
    for place in ("chart/nowhere", "gold/shop_users", "explore/shop_users", "navigate/shop_users"):
        for path in (place, f"{place}/sample", f"{place}%00", f"{place}%ff"):
            refused = api.get(f"{BASE}/{path}")
            assert (refused.status_code, refused.json["type"]) == (404, "/api/docs#not-found"), path


def test_what_makes_no_sense(api: Any, users: str) -> None:
    for query in ("limit=0", "limit=201", "layer=gold", "q=", "q=%00", "q=-", f"q={'x' * 10_000}"):
        assert api.get(f"{BASE}?{query}").status_code == 400, query
    for query in (
        "cursor=x",
        "cursor=bnVsbA==",
        "tag=%00",
        "owner=%00",
        "connection=%00",
        "more=1",
    ):
        assert api.get(f"{BASE}?{query}").status_code == 400, query
    for query in ("limit=0", "limit=101", "cursor=x"):
        assert api.get(f"{CHART}/sample?{query}").status_code == 400, query
    for body in (
        {},
        {"nothing": 1},
        {"description": "a\0b"},
        {"description": "x" * 5001},
        {"tags": ["Two words"]},
        {"tags": None},
        {"tag": ["core"]},
        {"columns": {"email": 7}},
    ):
        assert api.call("PATCH", CHART, json=body).status_code == 422, body
    assert api.call("PATCH", CHART, json={"columns": {"nothing": "x"}}).status_code == 404
