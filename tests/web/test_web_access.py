"""Keys and users over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.ledger import audit, keys
from atlas.ledger.tables import api_key, session
from tests.web.browser import PASSWORD, Browser, add_user, logged_in
from tests.web.test_web_openapi import _validate

KEYS, USERS, RUNS = "/api/v1/keys", "/api/v1/users", "/api/v1/runs"


@pytest.fixture
def as_documented(api: Any) -> Any:
    document = api.get("/api/v1/openapi.json", None).json

    def check(answer: Any, path: str, method: str = "get") -> Any:
        response = document["paths"][path][method]["responses"][str(answer.status_code)]
        _validate(document, response["content"][answer.content_type]["schema"], answer.json)
        return answer.json

    return check


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_made_shown_once_used_and_revoked(
    api: Any, app: Flask, as_documented: Any
) -> None:
    asked = {"name": "nightly", "role": "viewer", "expires_in_days": 90}
    made = as_documented(api.post(KEYS, "admin", json=asked), KEYS, "post")
    listed = as_documented(api.get(KEYS, "admin"), KEYS)["items"]
    (mine,) = (each for each in listed if each["name"] == "nightly")
    assert made["key"] not in str(listed)
    assert (mine["role"], mine["last_used_at"], mine["revoked_at"]) == ("viewer", None, None)
    client = app.test_client()
    assert client.get(RUNS, headers=_bearer(made["key"]), buffered=True).status_code == 200
    (mine,) = (each for each in api.get(KEYS, "admin").json["items"] if each["name"] == "nightly")
    assert mine["last_used_at"] is not None
    one = f"{KEYS}/{made['id']}"
    for _ in range(2):
        as_documented(api.call("DELETE", one, "admin"), KEYS + "/{key_id}", "delete")
    assert client.get(RUNS, headers=_bearer(made["key"])).status_code == 401
    assert api.call("DELETE", f"{KEYS}/nothing", "admin").status_code == 404
    assert api.post(KEYS, "admin", json=asked).status_code == 422  # the name is taken
    for wrong in ({"name": "a\nb"}, {"role": "root"}, {"expires_in_days": 0}):
        assert api.post(KEYS, "admin", json={**asked, "name": "x", **wrong}).status_code == 422


def test_an_expired_key_opens_nothing(api: Any, app: Flask, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        made = keys.create(conn, "short", "admin", timedelta(days=1), actor="cli: test")
    headers = _bearer(made["key"])
    assert app.test_client().get(RUNS, headers=headers).status_code == 200
    with engine.begin() as conn:
        late = api_key.c.expires_at - timedelta(days=1, seconds=1)
        conn.execute(api_key.update().where(api_key.c.name == "short").values(expires_at=late))
    assert app.test_client().get(RUNS, headers=headers).status_code == 401


def test_the_last_use_is_written_once_a_minute_and_holds_nobody_up(
    api: Any, engine: sa.Engine
) -> None:
    def used() -> Any:
        query = sa.select(api_key.c.last_used_at).where(api_key.c.id == api.ids["viewer"])
        with engine.connect() as conn:
            return conn.execute(query).scalar_one()

    api.get(RUNS, buffered=True)
    first = used()
    assert first is not None
    api.get(RUNS, buffered=True)
    assert used() == first
    with engine.begin() as conn:
        ago = api_key.c.last_used_at - timedelta(seconds=61)
        conn.execute(api_key.update().values(last_used_at=ago))
        # Somebody else is at the key's row: the request does not wait for them.
        conn.execute(sa.select(api_key.c.id).with_for_update())
    with engine.connect() as conn, conn.begin():
        conn.execute(sa.select(api_key.c.id).with_for_update())
        assert api.get(RUNS, buffered=True).status_code == 200
    assert used() == first - timedelta(seconds=61)
    api.get(RUNS, buffered=True)
    assert used() > first


def test_a_user_is_made_and_chooses_a_password(api: Any, app: Flask, as_documented: Any) -> None:
    asked = {"name": "ann", "role": "viewer"}
    made = as_documented(api.post(USERS, "admin", json=asked), USERS, "post")
    assert made["link"].startswith("http://localhost/setup?token=")
    as_documented(api.get(f"{USERS}/ann", "admin"), USERS + "/{user}")
    path = made["link"].removeprefix("http://localhost")
    browser = Browser(app)
    form = {"token": path.partition("=")[2], "password": PASSWORD, "again": PASSWORD}
    assert browser.post("/setup", form, page=path).status_code == 303
    (user,) = as_documented(api.get(USERS, "admin"), USERS)["items"]
    assert user["password_at"] is not None
    assert user["last_login_at"] is not None
    assert api.post(USERS, "admin", json=asked).status_code == 422
    assert api.post(USERS, "admin", json={**asked, "name": "Ann"}).status_code == 422
    assert api.get(f"{USERS}/bob", "admin").status_code == 404
    again = as_documented(api.post(f"{USERS}/ann/link", "admin"), USERS + "/{user}/link", "post")
    assert again["link"] != made["link"]
    assert browser.get("/account").status_code == 200  # until it is used


def test_a_user_gets_another_role_and_is_shut_out(
    api: Any, app: Flask, engine: sa.Engine, as_documented: Any
) -> None:
    add_user(engine, "ann", "viewer")
    add_user(engine, "boss", "admin")
    browser = logged_in(app, engine, "ann")
    path = USERS + "/{user}"

    def change(**changes: Any) -> Any:
        answer = api.call("PATCH", f"{USERS}/ann", "admin", json=changes)
        return as_documented(answer, path, "patch")

    assert change()["role"] == "viewer"
    assert browser.get("/account").status_code == 200
    assert change(role="privacy")["role"] == "privacy"
    assert browser.get("/account").status_code == 401
    assert change(disabled=True)["disabled_at"] is not None
    assert browser.log_in("ann").status_code == 401
    assert api.post(f"{USERS}/ann/link", "admin").status_code == 409
    assert change(disabled=False)["disabled_at"] is None
    assert browser.log_in("ann").status_code == 303
    for last in ({"role": "viewer"}, {"disabled": True}):
        refused = api.call("PATCH", f"{USERS}/boss", "admin", json=last)
        assert (refused.status_code, refused.json["type"]) == (409, "/api/docs#conflict")


def test_an_admin_who_gives_the_role_away_keeps_the_session_under_another_token(
    app: Flask, engine: sa.Engine
) -> None:
    for name in ("ann", "boss"):
        add_user(engine, name, "admin")
    ann, elsewhere = logged_in(app, engine, "ann"), logged_in(app, engine, "ann")
    before = ann.cookie().value
    headers = {"X-CSRF-Token": ann.token("/account")}
    answer = ann.client.patch(f"{USERS}/ann", json={"role": "viewer"}, headers=headers)
    assert answer.status_code == 200
    assert ann.cookie().value != before
    assert ann.get(RUNS).status_code == 200
    assert ann.get(USERS).status_code == 403
    assert elsewhere.get(RUNS).status_code == 401


def test_pages_of_keys_and_users(api: Any, engine: sa.Engine) -> None:
    for name in ("ann", "bob", "cyd"):
        add_user(engine, name, "viewer")
    for path, wanted in (
        (USERS, ["ann", "bob", "cyd"]),
        (KEYS, ["the admin", "the operator", "the privacy", "the viewer"]),
    ):
        names, cursor = [], ""
        while cursor is not None:
            page = api.get(f"{path}?limit=2{cursor}", "admin").json
            names += [each["name"] for each in page["items"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert names == wanted


def test_the_audit_log_is_filtered(api: Any, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        for actor, action in (("a", "x"), ("a", "x.y"), ("b", "x.y"), ("b", "xy"), ("b", "x_y.z")):
            audit.put(conn, actor, action, "thing")

    def found(query: str) -> list[str]:
        items = api.get(f"/api/v1/audit?{query}", "privacy").json["items"]
        return sorted(f"{each['actor']} {each['action']}" for each in items)

    assert found("action=x") == ["a x", "a x.y", "b x.y"]
    assert found("action=x&actor=b") == ["b x.y"]
    assert found("action=x_y") == ["b x_y.z"]
    assert api.get("/api/v1/audit?actor=%00", "privacy").status_code == 400


def test_sessions_of_nobody_are_left(engine: sa.Engine, app: Flask) -> None:
    add_user(engine, "ann", "viewer")
    logged_in(app, engine, "ann")
    with engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM pipeline.account"))
        assert conn.execute(sa.select(session.c.id)).all() == []
