"""Named policies over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import audit

BASE = "/api/v1/pii/policies"
LAX = {"entities": {"PERSON": "keep"}, "columns": {"address.city": "tokenize"}}


def _put(api: Any, name: str, body: object, role: str = "privacy") -> Any:
    return api.call("PUT", f"{BASE}/{name}", role, json=body)


def test_one_is_made_changed_read_and_deleted(api: Any, engine: sa.Engine) -> None:
    made = _put(api, "lax", LAX)
    assert (made.status_code, made.headers["Location"]) == (201, f"{BASE}/lax")
    assert made.json["operators"]["PERSON"] == "keep"
    assert made.json["operators"]["EMAIL_ADDRESS"] == "mask"
    assert {key: made.json[key] for key in LAX} == LAX
    assert made.json["actor"] == "api: the privacy"
    assert _put(api, "lax", LAX).json == made.json
    changed = _put(api, "lax", {"entities": {"PERSON": "drop"}})
    assert (changed.status_code, changed.json["columns"]) == (200, {})
    assert api.get(f"{BASE}/lax").json == changed.json
    assert api.call("DELETE", f"{BASE}/lax", "privacy").json == {"name": "lax"}
    assert api.get(f"{BASE}/lax").status_code == 404
    with engine.connect() as conn:
        assert [each["action"].rpartition(".")[2] for each in audit.entries(conn, limit=3)] == [
            "deleted",
            "updated",
            "created",
        ]


def test_they_are_listed_by_name_in_pages(api: Any) -> None:
    assert [each["name"] for each in api.get(BASE).json["items"]] == ["default"]
    for name in ("zeta", "alpha", "lax"):
        _put(api, name, {})
    first = api.get(f"{BASE}?limit=3").json
    assert [each["name"] for each in first["items"]] == ["alpha", "default", "lax"]
    rest = api.get(f"{BASE}?limit=3&cursor={first['next_cursor']}").json
    assert ([each["name"] for each in rest["items"]], rest["next_cursor"]) == (["zeta"], None)
    assert api.get(f"{BASE}?cursor=A").status_code == 400


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("lax", {"entities": {"EMAIL": "keep"}}, "did you mean EMAIL_ADDRESS?"),
        ("lax", {"entities": {"PERSON": "tokenise"}}, "did you mean tokenize?"),
        ("lax", {"columns": {"note": "masc"}}, "did you mean mask?"),
        ("lax", {"columns": {"a\x00": "mask"}}, "NUL"),
        ("lax", {"columns": {"": "mask"}}, "no column can have"),
        ("lax", {"column": {}}, "did you mean columns?"),
        ("lax", {"entities": ["PERSON"]}, "entities"),
        ("Lax", {}, "lower-case"),
        ("x" * 41, {}, "lower-case"),
    ],
)
def test_what_is_wrong_is_refused_with_the_nearest_name(
    api: Any, name: str, body: object, told: str
) -> None:
    refused = _put(api, name, body)
    assert (refused.status_code, told in refused.json["detail"]) == (422, True), refused.json
    assert [each["name"] for each in api.get(BASE).json["items"]] == ["default"]


def test_only_privacy_may_write(api: Any) -> None:
    assert _put(api, "lax", LAX, "operator").status_code == 403
    assert api.call("DELETE", f"{BASE}/lax", "operator").status_code == 403
    assert api.call("DELETE", f"{BASE}/lax", "privacy").status_code == 404
    assert api.get(f"{BASE}/default", None).status_code == 401


def test_a_connection_goes_by_one_that_is_there(api: Any, shop: str) -> None:
    change = {"pii": {"policy": "lax"}}
    path = f"/api/v1/connections/{shop}"
    unknown = api.call("PATCH", path, json=change)
    assert (unknown.status_code, "unknown pii policy 'lax'" in unknown.json["detail"]) == (
        422,
        True,
    )
    _put(api, "lax", LAX)
    assert api.call("PATCH", path, json=change).status_code == 200
    assert api.get(f"{BASE}/lax").json["connections"] == [shop]
    near = api.call("PATCH", path, json={"pii": {"policy": "lex"}})
    assert "did you mean lax?" in near.json["detail"]
    kept = api.call("DELETE", f"{BASE}/lax", "privacy")
    assert (kept.status_code, kept.json["type"]) == (409, "/api/docs#conflict")
    assert f"connection {shop}" in kept.json["detail"]
    # What says nothing of it leaves it.
    assert api.call("PATCH", path, json={"schedule": None}).status_code == 200
    assert api.get(path).json["pii"] == {"policy": "lax"}
