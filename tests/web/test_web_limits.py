"""How often, how deep and how much somebody may ask, and what they are told when it is too much."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis as redis_client

from atlas.settings import Rate, Settings
from atlas.web import create_app, rates

SYNCS = "/api/v1/connections/shop/syncs"


def _client(settings: Settings, **limits: Rate | None) -> Any:
    return create_app(replace(settings, **limits)).test_client()


@pytest.fixture(autouse=True)
def _awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test before this one has had Redis left alone, Redis may take its time on a busy machine,
    and the minute does not end here."""
    monkeypatch.setattr(rates, "_resting_until", 0.0)
    monkeypatch.setattr(rates, "_PATIENCE", 60.0)
    rates._storage.cache_clear()
    monkeypatch.setattr(time, "time", lambda: 999_999_998.0)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken and answers nobody: no server of another test gets it meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def test_a_key_may_ask_so_often(api: Any, settings: Settings) -> None:
    client = _client(settings, rate_limit=Rate(2, 60))
    mine = {"Authorization": f"Bearer {api.texts['viewer']}"}
    left = []
    for _ in range(2):
        answer = client.get("/api/v1/runs", headers=mine)
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == '"key";q=2;w=60'
        left.append(answer.headers["RateLimit"])
    assert left == ['"key";r=1;t=22', '"key";r=0;t=22']
    refused = client.get("/api/v1/runs", headers=mine)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "22")
    assert refused.json["type"] == "/api/docs#rate-limited"
    # What is refused for its role counts too; another key has its own count.
    other = {"Authorization": f"Bearer {api.texts['operator']}"}
    assert client.get("/api/v1/audit", headers=other).status_code == 403
    assert client.get("/api/v1/runs", headers=other).headers["RateLimit"] == '"key";r=0;t=22'


def test_an_address_may_ask_so_often_without_a_key(api: Any, settings: Settings) -> None:
    client = _client(settings, rate_limit_address=Rate(3, 60))
    wrong = {"Authorization": "Bearer atlas_wrong"}
    assert client.get("/api/v1/runs", headers=wrong).status_code == 401
    assert client.get("/api/v1/runs").status_code == 401
    assert client.get("/api/v1/openapi.json").headers["RateLimit"] == '"address";r=0;t=22'
    for path in ("/api/v1/runs", "/api/v1/openapi.json"):
        assert client.get(path, headers=wrong).status_code == 429
    assert client.get("/healthz").status_code == 200
    right = {"Authorization": f"Bearer {api.texts['viewer']}"}
    assert client.get("/api/v1/runs", headers=right).status_code == 200


def test_addresses_count_as_those_of_logins_do(api: Any, settings: Settings) -> None:
    client = _client(settings, rate_limit_address=Rate(1, 60))
    asked = [
        client.get("/login", environ_overrides={"REMOTE_ADDR": address}).status_code
        for address in ("2001:db8::1", "2001:db8:0:1::1", "::ffff:192.0.2.1", "::ffff:192.0.2.2")
    ]
    assert asked == [200, 429, 200, 200]


def test_pages_count_as_well(api: Any, settings: Settings) -> None:
    client = _client(settings, rate_limit=Rate(2, 60), rate_limit_address=Rate(1, 60))
    mine = {"Authorization": f"Bearer {api.texts['viewer']}"}
    found = [client.get("/runs", headers=mine) for _ in range(3)]
    assert [each.status_code for each in found] == [200, 200, 429]
    assert found[2].headers["Retry-After"] == "22"
    assert client.get("/api/v1/runs", headers=mine).status_code == 429
    # Of nobody known the address is counted, by its pages too.
    assert [client.get("/login").status_code for _ in range(2)] == [200, 429]


def test_with_redis_away_requests_are_served(
    api: Any,
    settings: Settings,
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The others do not wait for it: how long they would not, is of no account here.
    monkeypatch.setattr(rates, "_REST", 3600.0)
    away = replace(settings, redis_url=f"redis://:no-password-in-a-log@127.0.0.1:{taken}/0")
    client = _client(away, rate_limit=Rate(1, 60))
    mine = {"Authorization": f"Bearer {api.texts['viewer']}"}
    for _ in range(3):
        answer = client.get("/api/v1/runs", headers=mine)
        assert (answer.status_code, "RateLimit" in answer.headers) == (200, False)
    (told,) = [each for each in caplog.messages if each.startswith("rate limits:")]
    assert told == "rate limits: Redis: ConnectionError; nothing is counted"
    # Left alone for long enough, it is asked again.
    monkeypatch.setattr(rates, "_resting_until", 0.0)
    assert client.get("/api/v1/runs", headers=mine).status_code == 200
    assert len([each for each in caplog.messages if each.startswith("rate limits:")]) == 2


def test_off_is_off(api: Any, settings: Settings, queue: redis_client.Redis) -> None:
    client = _client(settings, rate_limit=None, rate_limit_address=None)
    mine = {"Authorization": f"Bearer {api.texts['viewer']}"}
    assert "RateLimit" not in client.get("/api/v1/runs", headers=mine).headers
    assert list(queue.scan_iter("atlas:rate*")) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"streams": ' + "[" * 64 + "]" * 64 + "}", "too-complex"),
        ('{"streams": ' + '{"a":' * 500 + "1" + "}" * 501, "too-complex"),
        ("[" * 100_000, "too-complex"),
        ("[" * 5_000 + "]" * 5_000, "too-complex"),
        ('{"streams": [' + "1," * 100_000 + "1]}", "too-complex"),
        # Just so is not too deep, and then it is only wrong.
        ('{"streams": ' + "[" * 63 + "]" * 63 + "}", "invalid-request"),
        ('{"streams": ["a"], "full_refresh": "\\u0000"}', "invalid-request"),
    ],
)
def test_a_body_is_only_so_deep_and_so_large(api: Any, shop: str, body: str, kind: str) -> None:
    answer = api.post(SYNCS, data=body, content_type="application/json")
    assert (answer.status_code, answer.json["type"]) == (422, f"/api/docs#{kind}")


@pytest.mark.parametrize("text", ["[" * 20_000, "{a: " * 20_000, "- " * 20_000])
def test_checks_that_nest_without_end_are_refused(api: Any, shop: str, text: str) -> None:
    body = {"quality": {"checks": text}}
    assert api.call("PATCH", "/api/v1/connections/shop", "admin", json=body).status_code == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/pii/datasets/a%00b", 404),
        ("/api/v1/connections/shop/state/a%00b", 404),
        ("/api/v1/datasets?tag=%00", 400),
        ("/api/v1/connectors?installed=null", 400),
        ("/api/v1/connectors?installed=1", 400),
        ("/api/v1/runs?status=null", 400),
    ],
)
def test_what_no_name_or_value_can_be(api: Any, shop: str, path: str, status: int) -> None:
    assert api.get(path).status_code == status


def test_a_limit_that_is_none_is_refused_at_start() -> None:
    from atlas.errors import UsageError
    from atlas.settings import parse

    for wrong in ("5", "0/minute", "5/day", "-1/second", "x/minute"):
        with pytest.raises(UsageError, match="ATLAS_RATE_LIMIT"):
            parse({"ATLAS_RATE_LIMIT": wrong})
    assert parse({"ATLAS_RATE_LIMIT": "10/second"}).rate_limit == Rate(10, 1)
