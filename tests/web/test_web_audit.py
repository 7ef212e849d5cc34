"""Whoever changes something over HTTP is in the audit log, and nobody who only tried."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.connectors import uploads
from atlas.ledger import audit
from atlas.ledger.tables import run, stage_run
from atlas.settings import Settings
from atlas.web.app import operations
from tests.web.browser import PASSWORD, Browser, add_user, logged_in
from tests.web.test_web_connectors import kept  # noqa: F401 - a fixture
from tests.web.test_web_decrypt import sealed  # noqa: F401 - a fixture
from tests.web.test_web_quarantine import aside  # noqa: F401 - a fixture

API = "/api/v1"
READS = {"GET"}
MARKER = "pl4nted-s3cret"
_STATE = {
    "type": "STREAM",
    "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"at": 1}},
}


@pytest.fixture(autouse=True)
def no_uploads(settings: Settings) -> Iterator[None]:
    yield
    for each in uploads.listed(settings):
        uploads.remove(each.name, settings)


@pytest.fixture
def deeds(engine: sa.Engine, sealed: str, aside: str) -> dict[str, Any]:  # noqa: F811
    """By operation, in an order in which each can be done: the request that does it."""
    made: dict[str, Any] = {}

    def ended(api: Any) -> None:
        with engine.begin() as conn:
            conn.execute(run.update().values(status="succeeded", finished_at=sa.func.now()))
            conn.execute(stage_run.update().values(status="succeeded"))

    def history(api: Any) -> int:
        items = api.get(f"{API}/connections/shop/state/history").json["items"]
        return int(items[0]["id"])

    def sync(api: Any) -> Any:
        answer = api.post(f"{API}/connections/shop/syncs")
        made["run"] = answer.json["run_id"]
        return answer

    def remask(api: Any) -> Any:
        ended(api)
        return api.post(f"{API}/connections/shop/remasks", "privacy")

    def reprocess(api: Any) -> Any:
        ended(api)
        return api.post(f"{API}/quarantine/shop_users/reprocess", json={"rows": [1]})

    def discard(api: Any) -> Any:
        ended(api)
        body = {"rows": [2], "why": "a test"}
        return api.post(f"{API}/quarantine/shop_users/discard", json=body)

    def key(api: Any) -> Any:
        answer = api.post(f"{API}/keys", "admin", json={"name": "k", "role": "viewer"})
        made["key"] = answer.json["id"]
        return answer

    state, users = f"{API}/connections/shop/state", f"{API}/users"
    person = {"identifiers": ["ann@corp.example"]}
    secret = {"config": {"password": MARKER}}
    return {
        "check_connector": lambda api: api.post(
            f"{API}/connectors/source-faker/check", json=secret
        ),
        "discover_connector": lambda api: api.post(
            f"{API}/connectors/source-faker/discover", json=secret
        ),
        "install_connector": lambda api: api.post(f"{API}/connectors/source-faker/install"),
        "put_upload": lambda api: api.call("PUT", f"{API}/uploads/a.csv", data=b"a\n1\n"),
        "delete_upload": lambda api: api.call("DELETE", f"{API}/uploads/a.csv"),
        "create_connection": lambda api: api.post(
            f"{API}/connections",
            json={"name": "crm", "connector": "source-faker", "config": {"password": MARKER}},
        ),
        "change_connection": lambda api: api.call(
            "PATCH", f"{API}/connections/crm", json={"config": {"password": MARKER + "2"}}
        ),
        "create_schedule": lambda api: api.post(
            f"{API}/schedules", json={"connection": "shop", "every": "10m"}
        ),
        "change_schedule": lambda api: api.call(
            "PATCH", f"{API}/schedules/shop", json={"paused": True}
        ),
        "delete_schedule": lambda api: api.call("DELETE", f"{API}/schedules/shop"),
        "create_webhook": lambda api: api.post(
            f"{API}/webhooks",
            "admin",
            json={"name": "pager", "url": "https://93.184.215.14/atlas", "events": ["run.failed"]},
        ),
        "change_webhook": lambda api: api.call(
            "PATCH", f"{API}/webhooks/pager", "admin", json={"events": ["run.blocked"]}
        ),
        "test_webhook": lambda api: api.post(f"{API}/webhooks/pager/test", "admin"),
        "delete_webhook": lambda api: api.call("DELETE", f"{API}/webhooks/pager", "admin"),
        "accept_changes": lambda api: api.post(f"{API}/connections/shop/accept"),
        "delete_connection": lambda api: api.call("DELETE", f"{API}/connections/crm"),
        "put_state": lambda api: api.call("PUT", state, json={"state": [_STATE]}),
        "put_stream_state": lambda api: api.call(
            "PUT", f"{state}/users", json={"state": {"at": 2}}
        ),
        "delete_stream_state": lambda api: api.call("DELETE", f"{state}/users"),
        "restore_state": lambda api: api.post(f"{state}/restore", json={"id": history(api) - 1}),
        "delete_state": lambda api: api.call("DELETE", state),
        "start_sync": sync,
        "cancel_run": lambda api: api.post(f"{API}/runs/{made['run']}/cancel"),
        "retry_run": lambda api: api.post(f"{API}/runs/{made['run']}/retry"),
        "start_remask": remask,
        "describe_dataset": lambda api: api.call(
            "PATCH", f"{API}/datasets/chart/shop_users", json={"description": "people"}
        ),
        "override_pii": lambda api: api.post(
            f"{API}/pii/overrides",
            "privacy",
            json={
                "dataset": "shop_users",
                "column": "email",
                "says": "is",
                "entity_type": "EMAIL_ADDRESS",
                "why": "it is",
            },
        ),
        "find_person": lambda api: api.post(f"{API}/pii/find", "privacy", json=person),
        "export_person": lambda api: api.post(f"{API}/pii/export", "privacy", json=person),
        "put_pii_policy": lambda api: api.call(
            "PUT", f"{API}/pii/policies/strict", "privacy", json={"entities": {"PERSON": "drop"}}
        ),
        "delete_pii_policy": lambda api: api.call(
            "DELETE", f"{API}/pii/policies/strict", "privacy"
        ),
        "decrypt_pii": lambda api: api.post(
            f"{API}/pii/decrypt",
            "privacy",
            json={"dataset": "shop_users", "column": "email", "values": [sealed], "why": "asked"},
        ),
        "reprocess_quarantine": reprocess,
        "discard_quarantine": discard,
        "erase_person": lambda api: (
            ended(api),
            api.post(f"{API}/pii/erasures", "privacy", json=person),
        )[1],
        "create_key": key,
        "revoke_key": lambda api: api.call("DELETE", f"{API}/keys/{made['key']}", "admin"),
        "create_user": lambda api: api.post(users, "admin", json={"name": "bo", "role": "viewer"}),
        "change_user": lambda api: api.call(
            "PATCH", f"{users}/bo", "admin", json={"role": "operator"}
        ),
        "link_user": lambda api: api.post(f"{users}/bo/link", "admin"),
    }


def _entries(engine: sa.Engine) -> list[dict[str, Any]]:
    with engine.connect() as conn:
        return audit.entries(conn, limit=1000)


def test_every_operation_that_changes_something_is_in_it(
    api: Any,
    engine: sa.Engine,
    deeds: dict[str, Callable[[Any], Any]],
    kept: Any,  # noqa: F811
) -> None:
    changing = {each.id: each for each in operations() if each.method not in READS}
    missing = set(changing) - set(deeds)
    assert not missing, (
        f"{', '.join(sorted(missing))}: say in `deeds` how it is done, so that this test sees "
        "that it writes an entry with atlas.ledger.audit.put(conn, g.key.actor, …)"
    )
    assert not set(deeds) - set(changing)
    for name, do in deeds.items():
        before = len(_entries(engine))
        answer = do(api)
        assert answer.status_code < 300, f"{name}: {answer.get_data(as_text=True)}"
        entries = _entries(engine)
        new = entries[: len(entries) - before]
        assert new, f"{name} leaves no entry"
        roles = {f"api: the {role}" for role in api.texts}
        assert {each["actor"] for each in new} <= roles, name
    told = json.dumps(_entries(engine), default=str)
    for secret in (MARKER, "ann@corp.example", *api.texts.values()):
        assert secret not in told


def test_what_is_refused_leaves_no_entry(api: Any, engine: sa.Engine, shop: str) -> None:
    before = len(_entries(engine))
    for method, path, body in (
        ("POST", f"{API}/connections/none/syncs", {}),
        ("POST", f"{API}/connections/{shop}/syncs", {"x": 1}),
        ("PATCH", f"{API}/connections/{shop}", {"schedule": {"cron": "x"}}),
        ("POST", f"{API}/runs/1/cancel", {}),
        ("DELETE", f"{API}/connections/none", None),
    ):
        assert api.call(method, path, json=body).status_code >= 400
    assert api.call("POST", f"{API}/connections/{shop}/syncs", "viewer").status_code == 403
    assert len(_entries(engine)) == before


def test_a_request_sent_twice_is_there_once(api: Any, engine: sa.Engine, shop: str) -> None:
    before = len(_entries(engine))
    for _ in range(2):
        path = f"{API}/connections/{shop}/syncs"
        assert api.post(path, headers={"Idempotency-Key": "k"}).status_code == 202
    (entry,) = _entries(engine)[: len(_entries(engine)) - before]
    assert (entry["actor"], entry["action"], entry["subject"]) == (
        "api: the operator",
        "sync.start",
        shop,
    )


def test_what_people_do_is_there_under_their_name(app: Flask, engine: sa.Engine, shop: str) -> None:
    add_user(engine, "ann", "operator")
    browser = Browser(app)
    browser.log_in("ann", "wrong password")
    browser.log_in("eve@example.org", PASSWORD)
    browser.log_in("ann")
    token = browser.token("/account")
    path = f"{API}/connections/{shop}/syncs"
    assert browser.client.post(path, headers={"X-CSRF-Token": token}).status_code == 202
    browser.post("/logout", page="/account")
    elsewhere = logged_in(app, engine, "ann")
    elsewhere.post("/account/logout-everywhere", page="/account")
    found = [(e["actor"], e["action"], e["subject"]) for e in reversed(_entries(engine))]
    assert found[-7:] == [
        ("nobody", "login.failed", "ann"),
        ("nobody", "login.failed", "unknown name"),
        ("user: ann", "login", "ann"),
        ("user: ann", "sync.start", shop),
        ("user: ann", "logout", "ann"),
        ("user: ann", "login", "ann"),
        ("user: ann", "logout.everywhere", "ann"),
    ]
