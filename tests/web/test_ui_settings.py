"""Users, keys and the audit log in the browser."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.ledger import audit, keys, users
from tests.web.browser import PASSWORD, Browser, add_user, logged_in

RUNS = "/api/v1/runs"


@pytest.fixture
def boss(app: Flask, engine: sa.Engine) -> Browser:
    """The browser of an admin who is logged in."""
    add_user(engine, "boss", "admin")
    return logged_in(app, engine, "boss")


def test_settings_begin_with_what_one_may(app: Flask, engine: sa.Engine, boss: Browser) -> None:
    add_user(engine, "ann", "viewer")
    assert "New user" in boss.get("/settings").text
    text = logged_in(app, engine, "ann").get("/settings").text
    assert "New user" not in text
    assert 'href="/account"' in text


def test_a_user_is_made_by_a_link_that_is_shown_once(app: Flask, boss: Browser) -> None:
    answer = boss.post("/settings/users", {"name": "ann", "role": "viewer"})
    found = re.search(r"http://localhost(/setup\?token=[\w-]+)", answer.text)
    assert found
    assert found[1] not in boss.get("/settings/users").text
    form = {"token": found[1].partition("=")[2], "password": PASSWORD, "again": PASSWORD}
    ann = Browser(app)
    assert ann.post("/setup", form, page=found[1]).status_code == 303
    assert ann.get(RUNS).status_code == 200
    refused = boss.post("/settings/users", {"name": "Ann Lee", "role": "viewer"})
    assert refused.status_code == 422
    assert 'value="Ann Lee"' in refused.text
    assert boss.post("/settings/users/ann/disable", page="/settings/users").status_code == 303
    assert ann.get(RUNS).status_code == 401
    refused = boss.post("/settings/users/ann/link", page="/settings/users")
    assert refused.status_code == 303
    assert "disabled: enable it first" in boss.get("/settings/users").text
    boss.post("/settings/users/ann/enable", page="/settings/users")
    assert "/setup?token=" in boss.post("/settings/users/ann/link", page="/settings/users").text


def test_roles_are_given_but_the_last_admin_stays(
    app: Flask, engine: sa.Engine, boss: Browser
) -> None:
    add_user(engine, "ann", "viewer")

    def give(name: str, role: str) -> None:
        path = f"/settings/users/{name}/role"
        assert boss.post(path, {"role": role}, page="/settings/users").status_code == 303

    give("boss", "viewer")
    assert "last admin" in boss.get("/settings/users").text
    give("ann", "admin")
    before = boss.cookie().value
    give("boss", "viewer")
    assert boss.cookie().value != before
    assert boss.get("/settings/users").status_code == 403
    assert boss.get("/account").status_code == 200
    with engine.connect() as conn:
        roles = {each["name"]: each["role"] for each in users.all_users(conn)}
    assert roles == {"ann": "admin", "boss": "viewer"}


def test_a_key_is_shown_once_and_revoked(app: Flask, engine: sa.Engine, boss: Browser) -> None:
    page = "/settings/keys"
    answer = boss.post(page, {"name": "nightly", "role": "viewer", "days": "90"})
    found = re.search(r"atlas_[\w-]{43}", answer.text)
    assert found
    assert found[0] not in boss.get(page).text
    headers = {"Authorization": f"Bearer {found[0]}"}
    client = app.test_client()
    assert client.get(RUNS, headers=headers).status_code == 200
    with engine.connect() as conn:
        (key,) = keys.all_keys(conn)
    assert key["expires_at"] is not None
    assert boss.post(f"{page}/{key['id']}/revoke", page=page).status_code == 303
    assert client.get(RUNS, headers=headers).status_code == 401
    for wrong in ({"name": ""}, {"days": "x"}, {"days": "0"}, {"role": "root"}, {}):
        form = {"name": "nightly", "role": "viewer", "days": "", **wrong}
        assert boss.post(page, form).status_code == 422


def test_the_audit_log_is_filtered_and_paged(app: Flask, engine: sa.Engine, boss: Browser) -> None:
    with engine.begin() as conn:
        for number in range(60):
            audit.put(conn, "cli: <b>bob</b>", "pii.erase", f"n{number}", {"rows": number})
    text = boss.get("/audit?action=pii").text
    assert "n59" in text
    assert "n9<" not in text
    assert ">login<" in boss.get("/audit").text + boss.get("/audit?action=login").text
    assert ">login<" not in text
    assert "<b>bob</b>" not in text
    onward = re.search(r'rel="next" href="([^"]+)"', text)
    assert onward
    assert "n9<" in boss.get(onward[1].replace("&amp;", "&")).text
    hers = boss.get("/audit?actor=user:+boss").text
    assert ">login<" in hers
    assert "n59" not in hers
    with engine.begin() as conn:
        detail = {
            "changed": ["owner", "tags"],
            "full_refresh": False,
            "rows": 0,
            "streams": [],
            "limits": {"a": 1},
            "was": None,
        }
        audit.put(conn, "cli: root", "datasets.describe", "shop_users", detail)
    told = boss.get("/audit?actor=cli:+root").text
    assert ">owner, tags<" in told
    said = dict(re.findall(r">([a-z ]+):</span> <span[^>]*>([^<]*)<", told))
    assert (said["full refresh"], said["rows"], said["streams"]) == ("no", "0", "none")
    assert "was" not in said
    assert "{&#34;a&#34;: 1}" in told
    assert "No entry fits" in boss.get("/audit?subject=nothing").text
    add_user(engine, "ann", "operator")
    assert logged_in(app, engine, "ann").get("/audit").status_code == 403
