"""State over HTTP: exact, refused while a run is active, remembered with who changed it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import runs
from tests.web.conftest import Api

DIGITS = "1234567890123456789012345678901234567890.25"


def _message(name: str, cursor: str, namespace: str | None = None) -> str:
    descriptor = {"name": name} | ({"namespace": namespace} if namespace else {})
    entry = json.dumps({"stream_descriptor": descriptor, "stream_state": {"cursor": "?"}})
    return f'{{"type": "STREAM", "stream": {entry}}}'.replace('"?"', cursor)


def _put(api: Api, path: str, state: str, role: str = "operator") -> Any:
    body = f'{{"state": {state}}}'
    return api.call("PUT", path, role, data=body, content_type="application/json")


@pytest.fixture
def path(shop: str) -> str:
    return f"/api/v1/connections/{shop}/state"


def test_it_comes_back_to_the_last_digit(api: Api, path: str) -> None:
    state = f"[{_message('users', DIGITS)}, {_message('orders', '2', 'web')}]"
    answer = _put(api, path, state)
    assert answer.status_code == 200
    got = api.get(path)
    assert got.content_type == "application/json"
    assert DIGITS in got.text
    assert got.json["type"] == "STREAM"
    assert [s["stream"] for s in got.json["streams"]] == ["users", "orders"]
    # What came out may go in again.
    again = got.text.partition('"state":')[2].partition(',"streams":')[0]
    assert _put(api, path, again).status_code == 200
    one = api.get(f"{path}/web.orders")
    assert (one.json["namespace"], one.json["state"]) == ("web", {"cursor": 2})
    assert DIGITS in api.get(f"{path}/users").text


def test_one_stream_is_put_and_reset_beside_the_others(api: Api, path: str) -> None:
    _put(api, path, f"[{_message('users', '1')}, {_message('orders', '2')}]")
    # Its own value, or the message that Airbyte writes.
    assert _put(api, f"{path}/users", '{"cursor": 5}').status_code == 200
    assert _put(api, f"{path}/orders", _message("orders", "6")).status_code == 200
    states = {s["stream"]: s["state"] for s in api.get(path).json["streams"]}
    assert states == {"users": {"cursor": 5}, "orders": {"cursor": 6}}
    left = api.call("DELETE", f"{path}/users").json
    assert [s["stream"] for s in left["streams"]] == ["orders"]
    assert api.call("DELETE", path).json["state"] == []
    # Nothing to forget is no error, and no entry in the history.
    entries = api.get(f"{path}/history").json["items"]
    assert api.call("DELETE", path).status_code == 200
    assert api.call("DELETE", f"{path}/nobody").status_code == 404
    assert api.get(f"{path}/history").json["items"] == entries


def test_a_stream_with_a_slash(api: Api, path: str) -> None:
    _put(api, path, f"[{_message('a/b', '1')}]")
    assert api.get(f"{path}/a/b").json["stream"] == "a/b"
    assert api.get(f"{path}/a%2Fb").json["stream"] == "a/b"


def test_a_global_state_loses_one_entry_and_keeps_what_is_shared(api: Api, path: str) -> None:
    entries = [
        {"stream_descriptor": {"name": name}, "stream_state": {"at": 1}}
        for name in ("users", "orders")
    ]
    inner = {"shared_state": {"lsn": 7}, "stream_states": entries}
    _put(api, path, json.dumps([{"type": "GLOBAL", "global": inner}]))
    assert api.get(f"{path}/users").json["type"] == "GLOBAL"
    [message] = api.call("DELETE", f"{path}/users").json["state"]
    assert message["global"] == {"shared_state": {"lsn": 7}, "stream_states": entries[1:]}
    # With the last stream nobody is left who would go on from what was shared.
    assert api.call("DELETE", f"{path}/orders").json["state"] == []


def test_a_legacy_state_is_whole_only(api: Api, path: str) -> None:
    legacy = '{"users": {"cursor": 1}, "orders": {"cursor": 2}}'
    answer = _put(api, path, legacy)
    assert (answer.json["type"], answer.json["state"]) == ("LEGACY", json.loads(legacy))
    for refused in (api.call("DELETE", f"{path}/users"), _put(api, f"{path}/users", "{}")):
        assert refused.status_code == 409
        assert "only be changed whole" in refused.json["detail"]
    assert "LEGACY" in api.get(f"{path}/users").json["detail"]
    assert api.call("DELETE", path).status_code == 200


def test_while_a_run_is_active_nothing_is_changed(
    api: Api, path: str, shop: str, engine: sa.Engine
) -> None:
    _put(api, path, f"[{_message('users', '1')}]")
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="cli", selected=None, full_refresh=False
        )
    for answer in (
        _put(api, path, "[]"),
        _put(api, f"{path}/users", "{}"),
        api.call("DELETE", path),
        api.call("DELETE", f"{path}/users"),
        api.post(f"{path}/restore", json={"id": 1}),
    ):
        assert answer.status_code == 409
        assert answer.json["run_id"] == run_id
        assert "before you change its state" in answer.json["detail"]
    assert api.get(path).json["streams"][0]["state"] == {"cursor": 1}


def test_the_history_tells_who_and_an_entry_can_be_put_back(api: Api, path: str) -> None:
    _put(api, path, f"[{_message('users', '1')}, {_message('orders', '2')}]")
    _put(api, f"{path}/users", '{"cursor": 3}')
    api.call("DELETE", f"{path}/users", "admin")
    page = api.get(f"{path}/history?stream=users&limit=2").json
    assert [(e["action"], e["actor"]) for e in page["items"]] == [
        ("reset", "api: the admin"),
        ("import", "api: the operator"),
    ]
    assert page["items"][0]["state"] is None
    rest = api.get(f"{path}/history?stream=users&cursor={page['next_cursor']}").json
    assert [e["stream"] for e in rest["items"]] == ["users"]
    assert rest["next_cursor"] is None
    back = api.post(f"{path}/restore", json={"id": rest["items"][0]["id"]})
    assert {s["stream"]: s["state"]["cursor"] for s in back.json["streams"]} == {
        "users": 1,
        "orders": 2,
    }
    newest = api.get(f"{path}/history?limit=1").json["items"][0]
    assert (newest["action"], newest["stream"]) == ("restore", "users")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ('"text"', "JSON list"),
        ('[{"no": "message"}]', "no AirbyteStateMessage"),
        ('[{"type": "STREAM"}]', "without a stream"),
        (f"[{_message('users', '1')}, {_message('users', '2')}]", "twice"),
        ('[{"type": "GLOBAL", "global": {}}, {"type": "GLOBAL", "global": {}}]', "one GLOBAL"),
        ('{"users": "a\\u0000b"}', "NUL"),
    ],
    ids=["no list", "no message", "no stream", "twice", "two GLOBAL", "NUL"],
)
def test_what_is_no_state_is_refused_and_changes_nothing(
    api: Api, path: str, state: str, words: str
) -> None:
    _put(api, path, f"[{_message('orders', '1')}]")
    refused = _put(api, path, state)
    assert refused.status_code == 422, refused.text
    assert words in refused.json["detail"]
    assert [s["stream"] for s in api.get(path).json["streams"]] == ["orders"]


def test_another_stream_than_the_one_asked_for(api: Api, path: str) -> None:
    _put(api, path, f"[{_message('users', '1')}, {_message('orders', '2')}]")
    refused = _put(api, f"{path}/users", _message("orders", "3"))
    assert (refused.status_code, "orders" in refused.json["detail"]) == (422, True)


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_reads_and_changes_nothing(api: Api, path: str, role: str) -> None:
    assert api.get(path, role).status_code == 200
    assert api.get(f"{path}/history", role).status_code == 200
    assert _put(api, path, "[]", role).status_code == 403
    assert api.call("DELETE", path, role).status_code == 403
    assert api.post(f"{path}/restore", role, json={"id": 1}).status_code == 403


def test_what_is_not_there(api: Api, path: str) -> None:
    assert api.get("/api/v1/connections/none/state").status_code == 404
    assert api.get("/api/v1/connections/%00/state").status_code == 404
    assert api.get(f"{path}/users").status_code == 404
    assert api.post(f"{path}/restore", json={"id": 99}).status_code == 404
