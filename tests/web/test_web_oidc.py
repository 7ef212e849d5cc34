"""People log in by OpenID Connect, and only those whom the provider really sent."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from joserfc import jwt
from joserfc.jwk import OctKey

from atlas.errors import UsageError
from atlas.ledger import audit, users
from atlas.settings import Settings, parse
from atlas.web import create_app, oidc
from tests.web.browser import Browser, add_user
from tests.web.provider import CLIENT, DISCOVERY, SECRET, Provider

RUNS = "/api/v1/runs"
ANN = {"preferred_username": "Ann.Lee", "groups": ["staff", "analysts"]}


@pytest.fixture(scope="module")
def shared() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.close()


@pytest.fixture
def provider(shared: Provider) -> Provider:
    """The provider, as it was at first, and not known to Atlas."""
    oidc._of.cache_clear()
    shared.asked.clear()
    shared.token, shared.signs_with = shared.signed, None
    shared.away, shared.calls_itself = False, None
    return shared


@pytest.fixture
def oidc_app(settings: Settings, engine: sa.Engine, provider: Provider) -> Flask:
    """The application with that provider."""
    return create_app(
        replace(
            settings,
            public_url="http://localhost",
            oidc_issuer=provider.issuer,
            oidc_client_id=CLIENT,
            oidc_client_secret=SECRET,
            oidc_roles=("analysts=viewer", "ops=operator", "data-admins=admin"),
        )
    )


def _log_in(app: Flask, provider: Provider, **claims: Any) -> tuple[Browser, Any]:
    browser = Browser(app)
    begun = browser.get("/login/oidc?next=/account")
    assert begun.status_code == 303
    back = provider.let_in(begun.location, **{**ANN, **claims})
    return browser, browser.get(back, headers={"Sec-Fetch-Site": "cross-site"})


def _users(engine: sa.Engine) -> dict[str, str]:
    with engine.connect() as conn:
        return {each["name"]: each["role"] for each in users.all_users(conn)}


def test_somebody_whom_the_provider_sends_is_let_in(
    oidc_app: Flask, provider: Provider, engine: sa.Engine
) -> None:
    browser, answer = _log_in(oidc_app, provider)
    assert (answer.status_code, answer.location) == (303, "/account")
    assert browser.get(RUNS).status_code == 200
    assert browser.get("/account").status_code == 200
    assert "Change the password" not in browser.get("/account").text
    assert _users(engine) == {"ann.lee": "viewer"}
    _log_in(oidc_app, provider)
    assert _users(engine) == {"ann.lee": "viewer"}
    # Endpoints and keys are asked for once.
    assert provider.asked.count(DISCOVERY) == provider.asked.count("/keys") == 1
    assert "/login/oidc" in Browser(oidc_app).get("/login").text
    with engine.connect() as conn:
        entry = next(e for e in audit.entries(conn, limit=9) if e["action"] == "login")
    assert (entry["actor"], entry["detail"]) == ("user: ann.lee", {"by": "oidc"})
    # A password of Atlas's own lets nobody in as them.
    assert Browser(oidc_app).log_in("ann.lee", "").status_code == 401


def test_the_highest_role_counts_and_is_set_at_each_login(
    oidc_app: Flask, provider: Provider, engine: sa.Engine
) -> None:
    first, _ = _log_in(oidc_app, provider, groups=["analysts", "data-admins", "ops"])
    assert _users(engine) == {"ann.lee": "admin"}
    _log_in(oidc_app, provider, groups="ops")
    assert _users(engine) == {"ann.lee": "operator"}
    assert first.get(RUNS).status_code == 401  # another role ends other sessions
    for groups in ([], None, ["strangers"], "strangers", 7, {"ops": 1}, [["ops"]], "None"):
        browser, answer = _log_in(oidc_app, provider, groups=groups)
        assert answer.status_code == 401
        assert "no role here" in answer.text
        assert browser.cookie() is None


def test_a_user_who_is_disabled_here_stays_out(
    oidc_app: Flask, provider: Provider, engine: sa.Engine
) -> None:
    _log_in(oidc_app, provider)
    with engine.begin() as conn:
        users.disable(conn, "ann.lee", actor="cli: test")
    browser, answer = _log_in(oidc_app, provider)
    assert answer.status_code == 403
    assert browser.get(RUNS).status_code == 401


def test_nobody_becomes_a_user_of_the_same_name(
    oidc_app: Flask, provider: Provider, engine: sa.Engine
) -> None:
    add_user(engine, "ann.lee", "admin")
    _log_in(oidc_app, provider)
    _log_in(oidc_app, provider, sub="s-2")
    assert _users(engine) == {"ann.lee": "admin", "ann.lee-2": "viewer", "ann.lee-3": "viewer"}


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": None},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": None},
        {"exp": timedelta(hours=-1)},
        {"exp": None},
        {"iat": timedelta(hours=1)},
        {"nbf": timedelta(hours=1)},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_lets_nobody_in(
    oidc_app: Flask, provider: Provider, engine: sa.Engine, claims: dict[str, Any]
) -> None:
    said = {
        name: int(time.time() + value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in claims.items()
    }
    browser, answer = _log_in(oidc_app, provider, **said)
    assert answer.status_code == 401
    assert browser.get(RUNS).status_code == 401
    assert _users(engine) == {}


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_a_token_of_another_signature_lets_nobody_in(
    oidc_app: Flask, provider: Provider, engine: sa.Engine
) -> None:
    def unsigned(claims: dict[str, Any]) -> str:
        return f"{_part({'alg': 'none'})}.{_part(claims)}."

    def by_the_secret(claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET), ["HS256"])

    def by_the_public_key(claims: dict[str, Any]) -> str:
        text = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(claims)}"
        digest = hmac.digest(provider.key.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    def by_another(claims: dict[str, Any]) -> str:
        provider.signs_with = Provider.new_key("one")
        return provider.signed(claims)

    def by_an_unknown(claims: dict[str, Any]) -> str:
        provider.signs_with = Provider.new_key("unknown")
        return provider.signed(claims)

    def changed(claims: dict[str, Any]) -> str:
        head, _, signature = provider.signed(claims).split(".")
        return f"{head}.{_part({**claims, 'groups': ['data-admins']})}.{signature}"

    forgeries = (unsigned, by_the_secret, by_the_public_key, by_another, by_an_unknown, changed)
    for forged in (*forgeries, lambda claims: "", lambda claims: "x.y.z"):
        provider.signs_with = None
        provider.token = forged
        _, answer = _log_in(oidc_app, provider)
        assert answer.status_code == 401, forged
    assert _users(engine) == {}


def test_another_key_of_the_provider_is_found(
    oidc_app: Flask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    _log_in(oidc_app, provider)
    monkeypatch.setattr(provider, "key", Provider.new_key("two"))
    known = oidc._of(provider.issuer)._known
    known.update({url: (at - 60, found) for url, (at, found) in known.items()})
    _, answer = _log_in(oidc_app, provider)
    assert answer.status_code == 303
    assert provider.asked.count("/keys") == 2
    assert provider.asked.count(DISCOVERY) == 1


def test_an_answer_is_of_the_browser_that_began_and_once(
    oidc_app: Flask, provider: Provider, engine: sa.Engine
) -> None:
    begun = Browser(oidc_app).get("/login/oidc")
    back = provider.let_in(begun.location, **ANN)
    stranger = Browser(oidc_app)
    assert stranger.get(back).status_code == 401
    stranger.get("/login/oidc")
    assert stranger.get(back).status_code == 401  # of another state
    browser = Browser(oidc_app)
    back = provider.let_in(browser.get("/login/oidc").location, **ANN)
    cookie = browser.cookie("atlas_oidc")
    assert cookie.http_only
    assert browser.get(back).status_code == 303
    assert browser.cookie("atlas_oidc") is None
    again = Browser(oidc_app)
    again.client.set_cookie("atlas_oidc", cookie.value, domain="localhost")
    assert again.get(back).status_code == 401  # the code was used
    changed = Browser(oidc_app)
    changed.get("/login/oidc")
    changed.client.set_cookie("atlas_oidc", cookie.value[:-3] + "xxx", domain="localhost")
    assert changed.get(back).status_code == 401


def test_a_code_of_another_login_is_of_no_use(oidc_app: Flask, provider: Provider) -> None:
    theirs = Browser(oidc_app)
    stolen = provider.let_in(theirs.get("/login/oidc").location, **ANN)
    code = stolen.partition("code=")[2].partition("&")[0]
    mine = Browser(oidc_app)
    back = provider.let_in(mine.get("/login/oidc").location, **ANN)
    state = back.partition("state=")[2]
    # Its challenge was made from a verifier that only their browser has.
    answer = mine.get(f"/login/oidc/callback?code={code}&state={state}")
    assert answer.status_code == 401


def test_what_the_provider_refuses_is_said(oidc_app: Flask, provider: Provider) -> None:
    browser = Browser(oidc_app)
    begun = browser.get("/login/oidc")
    state = begun.location.partition("state=")[2].partition("&")[0]
    answer = browser.get(f"/login/oidc/callback?error=access_denied&state={state}")
    assert answer.status_code == 401
    assert "did not let you in" in answer.text


def test_a_provider_that_is_away_or_another_is_said(
    oidc_app: Flask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.away = True
    answer = Browser(oidc_app).get("/login/oidc")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
    # The next one does not wait for it as well.
    asked = len(provider.asked)
    assert Browser(oidc_app).get("/login/oidc").status_code == 503
    assert len(provider.asked) == asked
    monkeypatch.setattr(oidc._of(provider.issuer), "_resting_until", 0.0)
    provider.away, provider.calls_itself = False, "https://evil.example"
    answer = Browser(oidc_app).get("/login/oidc")
    assert answer.status_code == 503
    assert "ATLAS_OIDC_ISSUER" in answer.text


def test_without_a_provider_nobody_is_asked(app: Flask, provider: Provider) -> None:
    assert "/login/oidc" not in Browser(app).get("/login").text
    assert Browser(app).get("/login/oidc").status_code == 404
    assert Browser(app).get("/login/oidc/callback?code=x&state=y").status_code == 404
    assert provider.asked == []


def test_a_login_by_the_provider_leads_nowhere_else(oidc_app: Flask, provider: Provider) -> None:
    browser = Browser(oidc_app)
    begun = browser.get("/login/oidc?next=https://evil.example/")
    assert browser.get(provider.let_in(begun.location, **ANN)).location == "/"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ATLAS_OIDC_CLIENT_ID": ""}, "ATLAS_OIDC_CLIENT_ID"),
        ({"ATLAS_PUBLIC_URL": ""}, "ATLAS_PUBLIC_URL"),
        ({"ATLAS_PUBLIC_URL": "https://x.example/path"}, "ATLAS_PUBLIC_URL"),
        ({"ATLAS_OIDC_ROLES": ""}, "ATLAS_OIDC_ROLES"),
        ({"ATLAS_OIDC_ROLES": "a=root"}, "ATLAS_OIDC_ROLES"),
    ],
)
def test_half_a_configuration_ends_the_program(change: dict[str, str], says: str) -> None:
    whole = {
        "ATLAS_OIDC_ISSUER": "https://issuer.example",
        "ATLAS_OIDC_CLIENT_ID": CLIENT,
        "ATLAS_OIDC_CLIENT_SECRET": SECRET,
        "ATLAS_PUBLIC_URL": "https://atlas.example.org/",
        "ATLAS_OIDC_ROLES": "x=y=admin, analysts=viewer",
    }
    found = parse(whole)
    assert found.public_url == "https://atlas.example.org"
    assert SECRET not in repr(found)
    with pytest.raises(UsageError, match=says):
        parse({**whole, **change})
