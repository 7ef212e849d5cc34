"""People log in with a password, and a session is theirs alone and ends when it should."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import argon2
import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.ledger import audit, logins, passwords, sessions, users
from atlas.ledger.tables import account, login_link, session
from atlas.settings import Settings
from atlas.web import create_app
from tests.web.browser import PASSWORD, Browser, add_user, logged_in
from tests.web.conftest import SECRET

RUNS = "/api/v1/runs"
SYNCS = "/api/v1/connections/shop/syncs"


@pytest.fixture
def ann(engine: sa.Engine, app: Flask) -> Browser:
    """The browser of an operator who is logged in."""
    add_user(engine, "ann", "operator")
    return logged_in(app, engine, "ann")


def _actions(engine: sa.Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as conn:
        return [
            (each["actor"], each["action"], each["subject"])
            for each in reversed(audit.entries(conn, limit=100))
        ]


def _age(engine: sa.Engine, **columns: timedelta) -> None:
    with engine.begin() as conn:
        values = {name: session.c[name] - ago for name, ago in columns.items()}
        conn.execute(session.update().values(**values))


def test_a_password_lets_in(app: Flask, engine: sa.Engine) -> None:
    add_user(engine, "ann", "viewer")
    browser = Browser(app)
    assert browser.get(RUNS).status_code == 401
    answer = browser.log_in("ann", next="/account?x=1")
    assert (answer.status_code, answer.location) == (303, "/account?x=1")
    cookie = browser.cookie()
    assert cookie.http_only
    assert (cookie.same_site, cookie.path, cookie.secure) == ("Lax", "/", False)
    assert browser.get(RUNS).status_code == 200
    assert browser.get("/account").status_code == 200
    assert ("user: ann", "login", "ann") in _actions(engine)
    with engine.connect() as conn:
        kept = conn.execute(sa.select(sa.cast(session.c.hash, sa.Text))).scalar_one()
    assert cookie.value not in kept
    assert cookie.value.encode().hex() not in kept


@pytest.mark.parametrize("case", ["unknown", "wrong", "disabled", "link only"])
def test_what_lets_nobody_in_is_answered_alike(app: Flask, engine: sa.Engine, case: str) -> None:
    add_user(engine, "boss", "admin")
    if case != "unknown":
        add_user(engine, "ann", "viewer")
    with engine.begin() as conn:
        if case == "disabled":
            users.disable(conn, "ann", actor="cli: test")
        if case == "link only":
            conn.execute(account.update().where(account.c.name == "ann").values(password=None))
    browser = Browser(app)
    answer = browser.log_in("ann", "wrong password" if case == "wrong" else PASSWORD)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text
    assert browser.cookie() is None
    who = "unknown name" if case == "unknown" else "ann"
    assert ("nobody", "login.failed", who) in _actions(engine)


def test_an_unknown_name_costs_as_much_as_a_known_one(
    app: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(engine, "ann", "viewer")
    checked = []
    real = argon2.PasswordHasher.verify

    def verify(self: argon2.PasswordHasher, kept: str, given: str) -> bool:
        checked.append(kept.rsplit("$", 2)[0])
        return real(self, kept, given)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    for name in ("ann", "nobody"):
        Browser(app).log_in(name, "wrong password")
    assert checked[0] == checked[1]  # algorithm and parameters
    assert len(checked) == 2


def test_a_login_takes_another_token(app: Flask, engine: sa.Engine) -> None:
    add_user(engine, "ann", "viewer")
    browser = Browser(app)
    browser.log_in("ann")
    first = browser.cookie().value
    token = browser.token("/account")
    browser.client.post("/login", data={"name": "ann", "password": PASSWORD, "csrf_token": token})
    assert browser.cookie().value != first
    browser.client.set_cookie("atlas", first, domain="localhost")
    assert browser.get(RUNS).status_code == 401


@pytest.mark.parametrize(
    ("ages", "valid"),
    [
        ({"seen_at": timedelta(hours=7)}, True),
        ({"seen_at": timedelta(hours=9)}, False),
        ({"expires_at": timedelta(hours=23)}, True),
        ({"expires_at": timedelta(hours=25)}, False),
    ],
)
def test_a_session_ends_by_itself(
    engine: sa.Engine, ann: Browser, ages: dict[str, timedelta], valid: bool
) -> None:
    _age(engine, **ages)
    assert ann.get(RUNS).status_code == (200 if valid else 401)
    with engine.begin() as conn:
        assert sessions.forget_ended(conn, timedelta(hours=8)) == (0 if valid else 1)


def test_use_keeps_a_session(engine: sa.Engine, ann: Browser) -> None:
    for _ in range(3):
        _age(engine, seen_at=timedelta(hours=7))
        assert ann.get(RUNS).status_code == 200


def test_logging_out_ends_the_session(engine: sa.Engine, app: Flask, ann: Browser) -> None:
    kept = ann.cookie().value
    elsewhere = logged_in(app, engine, "ann")
    assert ann.post("/logout", page="/account").status_code == 303
    assert ann.cookie() is None
    ann.client.set_cookie("atlas", kept, domain="localhost")
    assert ann.get(RUNS).status_code == 401
    assert elsewhere.get(RUNS).status_code == 200


def test_logging_out_everywhere(engine: sa.Engine, app: Flask, ann: Browser) -> None:
    elsewhere = logged_in(app, engine, "ann")
    assert ann.post("/account/logout-everywhere", page="/account").status_code == 303
    assert ann.get(RUNS).status_code == elsewhere.get(RUNS).status_code == 401


@pytest.mark.parametrize(
    "path", ["/account/logout-everywhere", "/account/sessions/{}/end", "/account/password"]
)
def test_a_key_has_no_sessions(api: Any, ann: Browser, engine: sa.Engine, path: str) -> None:
    with engine.connect() as conn:
        mine = conn.execute(sa.select(session.c.id)).scalar_one()
    answer = api.post(path.format(mine), "admin")
    assert (answer.status_code, "a key has no account" in answer.text) == (409, True)
    assert ann.get(RUNS).status_code == 200


def test_one_session_is_ended_from_another_and_none_of_others(
    engine: sa.Engine, app: Flask, ann: Browser
) -> None:
    add_user(engine, "bob", "viewer")
    bob, elsewhere = logged_in(app, engine, "bob"), logged_in(app, engine, "ann")
    with engine.connect() as conn:
        mine = conn.execute(
            sa.select(session.c.id, account.c.name).join(account).order_by(session.c.created_at)
        ).all()
    of_ann, of_bob, other = (row.id for row in mine)
    path = "/account/sessions/{}/end"
    assert ann.post(path.format(of_bob), page="/account").status_code == 404
    assert ann.post(path.format(other), page="/account").status_code == 303
    assert elsewhere.get(RUNS).status_code == 401
    assert bob.get(RUNS).status_code == ann.get(RUNS).status_code == 200
    assert ann.post(path.format("x"), page="/account").status_code == 404
    assert of_ann not in ann.get("/account").text  # it is "this one"


def test_changing_the_password_ends_all_other_sessions(
    engine: sa.Engine, app: Flask, ann: Browser
) -> None:
    elsewhere = logged_in(app, engine, "ann")
    before = ann.cookie().value
    new = "another good password"
    form = {"present": PASSWORD, "password": new, "again": new}
    for wrong in ({"present": "x"}, {"again": "x"}, {"password": "short", "again": "short"}):
        answer = ann.post("/account/password", {**form, **wrong}, page="/account")
        assert answer.status_code == 422
        assert ann.cookie().value == before
    assert ann.post("/account/password", form, page="/account").status_code == 303
    assert ann.cookie().value != before
    assert ann.get(RUNS).status_code == 200
    assert elsewhere.get(RUNS).status_code == 401
    ann.client.set_cookie("atlas", before, domain="localhost")
    assert ann.get(RUNS).status_code == 401
    assert Browser(app).log_in("ann").status_code == 401
    assert Browser(app).log_in("ann", new).status_code == 303
    assert ("user: ann", "user.password", "ann") in _actions(engine)


def test_a_password_changed_while_the_old_one_is_checked_lets_nobody_in(
    app: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(engine, "ann", "viewer")
    real = passwords.fits

    def fits(kept: str | None, given: str) -> bool:
        found = real(kept, given)
        with engine.begin() as conn:
            users.set_password(conn, "ann", "another good password", actor="cli: test")
        return found

    monkeypatch.setattr(passwords, "fits", fits)
    assert Browser(app).log_in("ann").status_code == 401
    with engine.connect() as conn:
        assert conn.execute(sa.select(session.c.id)).all() == []


def test_a_role_and_a_disabled_account_count_at_once(
    engine: sa.Engine, app: Flask, ann: Browser, shop: str
) -> None:
    add_user(engine, "boss", "admin")
    with engine.begin() as conn:
        users.set_role(conn, "ann", "viewer", actor="cli: test")
    assert ann.get(RUNS).status_code == 401  # its sessions ended
    again = logged_in(app, engine, "ann")
    token = again.token("/account")
    answer = again.client.post(SYNCS, headers={"X-CSRF-Token": token})
    assert answer.status_code == 403
    assert answer.json["required_role"] == "operator"
    with engine.begin() as conn:
        users.disable(conn, "ann", actor="cli: test")
    assert again.get(RUNS).status_code == 401


def test_a_hash_of_older_parameters_is_made_anew(app: Flask, engine: sa.Engine) -> None:
    add_user(engine, "ann", "viewer")
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=16, parallelism=1).hash(PASSWORD)
    with engine.begin() as conn:
        conn.execute(account.update().values(password=weak))
    assert Browser(app).log_in("ann").status_code == 303
    with engine.connect() as conn:
        kept = conn.execute(sa.select(account.c.password)).scalar_one()
    assert kept != weak
    assert not passwords.outdated(kept)
    assert Browser(app).log_in("ann").status_code == 303


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\tevil",
        "javascript:alert(1)",
        "evil.example",
        "/\n/evil.example",
        "",
    ],
)
def test_a_login_leads_nowhere_else(app: Flask, engine: sa.Engine, target: str) -> None:
    add_user(engine, "ann", "viewer")
    browser = Browser(app)
    with engine.begin() as conn:
        conn.execute(account.update().values(last_login_at=None))
    assert browser.log_in("ann", next=target).location == "/"
    assert browser.get("/login", query_string={"next": target}).location == "/"


def _at(app: Flask, address: str) -> Browser:
    browser = Browser(app)
    browser.client.environ_base["REMOTE_ADDR"] = address
    return browser


def test_tries_are_counted_by_name_and_forgotten_by_a_login(
    app: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(engine, "ann", "viewer")
    monkeypatch.setattr(logins, "PER_NAME_AND_ADDRESS", 3)
    for _ in range(2):
        assert Browser(app).log_in("ann", "wrong").status_code == 401
    assert Browser(app).log_in("ann").status_code == 303
    for name in ("ann", "nobody"):
        for _ in range(3):
            assert Browser(app).log_in(name, "wrong").status_code == 401
        answer = Browser(app).log_in(name, PASSWORD)
        assert answer.status_code == 429  # though it fits, and though nobody has the name
        assert 0 < int(answer.headers["Retry-After"]) <= 900
    assert Browser(app).log_in("somebody", "wrong").status_code == 401
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.login_count SET since = since - interval '15 min'"))
    assert Browser(app).log_in("ann").status_code == 303


def test_tries_are_counted_by_address(
    app: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(engine, "ann", "viewer")
    monkeypatch.setattr(logins, "PER_ADDRESS", 3)
    for number in range(3):
        assert Browser(app).log_in(f"nobody{number}", "wrong").status_code == 401
    assert Browser(app).log_in("ann").status_code == 429
    assert _at(app, "192.0.2.7").log_in("ann").status_code == 303


def test_nobody_keeps_the_owner_of_a_name_out_from_one_place(
    app: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(engine, "ann", "viewer")
    monkeypatch.setattr(logins, "PER_NAME_AND_ADDRESS", 2)
    monkeypatch.setattr(logins, "PER_NAME", 5)
    for status in (401, 401, *[429] * 6):
        assert _at(app, "192.0.2.1").log_in("ann", "wrong").status_code == status
    # What was refused unseen did not count for the name; a login here ends no count there.
    assert _at(app, "192.0.2.2").log_in("ann").status_code == 303
    assert _at(app, "192.0.2.1").log_in("ann").status_code == 429
    # From many places at once there is an end, and whoever runs Atlas ends the wait.
    for place, status in ((3, 401), (3, 401), (4, 401), (4, 429), (5, 429)):
        assert _at(app, f"192.0.2.{place}").log_in("ann", "wrong").status_code == status
    assert _at(app, "192.0.2.2").log_in("ann").status_code == 429
    with engine.begin() as conn:
        logins.forget(conn, SECRET.encode(), "ann")
    for place in (1, 2, 3):
        assert _at(app, f"192.0.2.{place}").log_in("ann").status_code == 303


def test_ones_own_password_is_tried_apart_from_what_strangers_try(
    app: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(engine, "ann", "viewer")
    for count in ("PER_NAME_AND_ADDRESS", "PER_NAME", "PER_SESSION"):
        monkeypatch.setattr(logins, count, 2)
    mine, stolen = (logged_in(app, engine, "ann") for _ in range(2))
    form = {"password": PASSWORD + "!", "again": PASSWORD + "!"}

    def change(browser: Browser, present: str) -> int:
        posted = {"present": present, **form}
        answer = browser.post("/account/password", posted, page="/account")
        return int(answer.status_code)

    for status in (401, 401, 429):
        assert Browser(app).log_in("ann", "wrong").status_code == status
    assert [change(stolen, "wrong") for _ in range(3)] == [422, 422, 429]
    assert change(stolen, PASSWORD) == 429  # though it fits
    assert change(mine, PASSWORD) == 303
    # Who has shown who they are waits no more.
    assert Browser(app).log_in("ann", PASSWORD + "!").status_code == 303


def test_addresses_of_one_network_of_ipv6_are_one() -> None:
    assert logins.network("2001:db8::1") == logins.network("2001:db8:0:ffff::1")
    assert logins.network("2001:db8::1") != logins.network("2001:db8:1::1")
    assert logins.network("fe80::1%eth0") == logins.network("fe80::2")
    assert logins.network("192.0.2.7") != logins.network("192.0.2.8")


def test_ipv4_is_told_apart_where_ipv6_carries_it() -> None:
    assert logins.network("::ffff:192.0.2.7") == logins.network("192.0.2.7")
    assert logins.network("::ffff:192.0.2.7") != logins.network("::ffff:192.0.2.8")


def test_a_site_with_many_networks_of_ipv6_keeps_nobody_out(
    app: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(engine, "ann", "viewer")
    monkeypatch.setattr(logins, "PER_NAME_AND_ADDRESS", 1)
    monkeypatch.setattr(logins, "PER_NAME", 3)
    statuses = [
        _at(app, f"2001:db8:0:{number}::1").log_in("ann", "wrong").status_code
        for number in range(4)
    ]
    assert statuses == [401, 429, 429, 429]
    assert _at(app, "2001:db8:1::1").log_in("ann").status_code == 303


def test_an_address_is_believed_to_a_proxy_only_where_there_is_one(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "PER_ADDRESS", 1)
    for proxies, status in ((0, 429), (1, 401)):
        with engine.begin() as conn:
            conn.execute(sa.text("DELETE FROM pipeline.login_count"))
        for number in (1, 2):
            browser = Browser(create_app(replace(settings, proxies=proxies)))
            answer = browser.post(
                "/login",
                {"name": f"n{number}", "password": "x"},
                headers={"X-Forwarded-For": f"192.0.2.{number}"},
            )
        assert answer.status_code == status


def test_a_link_makes_the_first_user_once(app: Flask, engine: sa.Engine) -> None:
    assert "atlas users setup-link" in Browser(app).get("/login").text
    with engine.begin() as conn:
        old = users.link(conn, None, actor="cli: test")
    with engine.begin() as conn:
        link = users.link(conn, None, actor="cli: test")
    assert Browser(app).get(f"/setup?token={old}").status_code == 410
    browser = Browser(app)
    page = f"/setup?token={link}"
    form = {"token": link, "name": "ann", "password": PASSWORD, "again": PASSWORD}
    for wrong in (
        {"name": "Ann Lee"},
        {"again": "x"},
        {"password": "short", "again": "short"},
        {"password": "aaaaaaaaaaaaaaaa", "again": "aaaaaaaaaaaaaaaa"},
        {"password": "ann ann ann!", "again": "ann ann ann!"},
    ):
        assert browser.post("/setup", {**form, **wrong}, page=page).status_code == 422
    assert browser.post("/setup", form, page=page).status_code == 303
    assert browser.get("/account").status_code == 200
    assert "admin" in browser.get("/account").text
    again = Browser(app)
    again.get("/login")
    assert again.post("/setup", {**form, "name": "bob"}, page="/login").status_code == 410
    with engine.connect() as conn:
        assert [each["name"] for each in users.all_users(conn)] == ["ann"]
    assert "atlas users setup-link" not in Browser(app).get("/login").text


def test_a_link_of_two_uses_at_once_makes_one_user(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        link = users.link(conn, None, actor="cli: test")
    barrier, ends = threading.Barrier(4), []

    def use(name: str) -> None:
        barrier.wait()
        try:
            with engine.begin() as conn:
                ends.append(users.use_link(conn, link, name, PASSWORD))
        except users.NotFound as error:
            ends.append(error)

    threads = [threading.Thread(target=use, args=(f"user{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(end, str) for end in ends) == 1
    with engine.connect() as conn:
        assert len(users.all_users(conn)) == 1


def test_a_link_is_void_after_its_time_and_where_there_is_a_user(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        link = users.link(conn, None, actor="cli: test")
        conn.execute(login_link.update().values(expires_at=sa.func.clock_timestamp()))
        assert users.linked(conn, link) is None
    with engine.begin() as conn:
        link = users.link(conn, None, actor="cli: test")
        users.create(conn, "ann", "viewer", PASSWORD, actor="cli: test")
    with engine.begin() as conn, pytest.raises(users.NotFound):
        users.use_link(conn, link, "eve", PASSWORD)
    with engine.begin() as conn, pytest.raises(users.Conflict):
        users.link(conn, None, actor="cli: test")


def test_a_link_of_an_account_sets_its_password_and_ends_its_sessions(
    app: Flask, engine: sa.Engine, ann: Browser
) -> None:
    with engine.begin() as conn:
        link = users.link(conn, "ann", actor="cli: test")
    new = "another good password"
    form = {"token": link, "name": "eve", "password": new, "again": new}
    browser = Browser(app)
    assert browser.post("/setup", form, page=f"/setup?token={link}").status_code == 303
    assert ann.get(RUNS).status_code == 401
    assert Browser(app).log_in("ann", new).status_code == 303
    with engine.connect() as conn:
        assert [each["name"] for each in users.all_users(conn)] == ["ann"]


def test_the_last_admin_stays(engine: sa.Engine) -> None:
    add_user(engine, "ann", "admin")
    add_user(engine, "bob", "admin")
    with engine.begin() as conn:
        users.disable(conn, "bob", actor="cli: test")
    for change in (
        lambda conn: users.disable(conn, "ann", actor="cli: test"),
        lambda conn: users.set_role(conn, "ann", "privacy", actor="cli: test"),
    ):
        with engine.begin() as conn, pytest.raises(users.Conflict, match="last admin"):
            change(conn)
    with engine.begin() as conn:
        users.enable(conn, "bob", actor="cli: test")
        users.set_role(conn, "ann", "privacy", actor="cli: test")
        with pytest.raises(users.Conflict, match="last admin"):
            users.disable(conn, "bob", actor="cli: test")


def test_https_makes_the_cookie_one_of_this_host(settings: Settings, engine: sa.Engine) -> None:
    add_user(engine, "ann", "viewer")
    for app, https in (
        (create_app(settings), True),
        (create_app(replace(settings, public_url="https://atlas.example.org")), False),
    ):
        browser = Browser(app, https=https)
        page = browser.get("/login")
        given = page.headers.getlist("Set-Cookie")
        assert given
        assert all(each.startswith("__Host-") and "; Secure" in each for each in given)
        if https:
            browser.log_in("ann")
            cookie = browser.cookie("__Host-atlas")
            assert (cookie.secure, cookie.http_only, cookie.path) == (True, True, "/")
            assert browser.get(RUNS).status_code == 200
            # One that came by http is not taken.
            other = Browser(app, https=True)
            other.client.set_cookie("atlas", cookie.value, domain="localhost")
            assert other.get(RUNS).status_code == 401


def test_a_session_asks_nothing_that_no_page_asked(ann: Browser, shop: str) -> None:
    token = ann.token("/account")

    def post(**headers: str) -> Any:
        return ann.client.post(SYNCS, headers=headers)

    for headers in (
        {},
        {"X-CSRF-Token": "x"},
        {"X-CSRF-Token": token, "Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": token, "Sec-Fetch-Site": "same-site"},
        {"X-CSRF-Token": token, "Origin": "https://evil.example"},
        {"X-CSRF-Token": token, "Origin": "null"},
    ):
        answer = post(**headers)
        assert answer.status_code == 403, headers
        assert answer.json["type"] == "/api/docs#cross-site"
        assert answer.headers["WWW-Authenticate"]
    # A form is no body of the API's, so its field is no proof there.
    assert ann.client.post(SYNCS, data={"csrf_token": token}).status_code == 403
    assert post(**{"X-CSRF-Token": token, "Origin": "http://localhost"}).status_code == 202
    for path in ("/logout", "/account/password", "/account/logout-everywhere"):
        assert ann.post(path, token=None).status_code == 403
        assert ann.post(path, token="x").status_code == 403
    assert ann.get(RUNS, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert ann.get("/account", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert ann.get(RUNS).status_code == 200


def test_a_token_is_of_one_session(app: Flask, engine: sa.Engine, ann: Browser, shop: str) -> None:
    other = logged_in(app, engine, "ann").token("/account")
    assert ann.client.post(SYNCS, headers={"X-CSRF-Token": other}).status_code == 403


def test_the_form_of_the_login_is_of_this_browser(app: Flask, engine: sa.Engine) -> None:
    add_user(engine, "ann", "viewer")
    token = Browser(app).token("/login")
    stranger = Browser(app)
    form = {"name": "ann", "password": PASSWORD}
    assert stranger.post("/login", form, token=token).status_code == 403
    stranger.get("/login")
    assert stranger.post("/login", form, token=token).status_code == 403
    assert stranger.cookie() is None


def test_a_key_is_asked_no_token_and_gets_no_cookie(api: Any, shop: str, ann: Browser) -> None:
    answer = api.post(SYNCS)
    assert answer.status_code == 202
    assert "Set-Cookie" not in answer.headers
    # A wrong key is not made good by a session.
    wrong = ann.get(RUNS, headers={"Authorization": "Bearer atlas_x"})
    assert wrong.status_code == 401
    assert "Set-Cookie" not in wrong.headers


def test_a_request_of_a_user_may_be_sent_twice(api: Any, ann: Browser, shop: str) -> None:
    token = ann.token("/account")
    headers = {"X-CSRF-Token": token, "Idempotency-Key": "k"}
    first, second = (ann.client.post(SYNCS, headers=headers) for _ in range(2))
    assert first.json == second.json
    assert second.headers["Idempotency-Replayed"] == "true"
    # Of a key it is another request.
    assert api.post(SYNCS, headers={"Idempotency-Key": "k"}).status_code == 409


@pytest.mark.parametrize("path", ["/login", "/account", RUNS, "/healthz", "/nothing"])
def test_every_answer_has_headers_against_misuse(
    settings: Settings, engine: sa.Engine, path: str
) -> None:
    add_user(engine, "ann", "viewer")
    for https in (False, True):
        browser = Browser(create_app(settings), https=https)
        browser.log_in("ann")
        headers = browser.get(path, headers={"Accept": "text/html"}).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        scripts = [part for part in policy.split("; ") if part.startswith("script-src")]
        assert scripts in ([], ["script-src 'self'"])
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert ("Strict-Transport-Security" in headers) == https
