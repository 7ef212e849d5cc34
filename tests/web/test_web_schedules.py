"""Schedules over HTTP: the same words as the connection's, with one error for what is wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, measures
from atlas.model.connection import Connection
from atlas.sync import connections_file, request

BASE = "/api/v1/schedules"
SHOP = f"{BASE}/shop"


def _change(api: Any, **values: Any) -> Any:
    return api.call("PATCH", SHOP, json=values)


def test_a_schedule_comes_changes_and_goes(api: Any, shop: str, engine: sa.Engine) -> None:
    assert api.get(SHOP).status_code == 404
    made = api.post(BASE, json={"connection": shop, "cron": "@daily", "timezone": "Europe/Oslo"})
    assert (made.status_code, made.headers["Location"]) == (201, SHOP)
    assert (made.json["cron"], made.json["overlap"]) == ("0 0 * * *", "skip")
    assert len(made.json["next"]) == 5
    assert (
        api.post(BASE, json={"connection": shop, "every": "1h"}).json["type"].endswith("#conflict")
    )
    assert api.get(BASE).json["items"] == [api.get(SHOP).json]
    # Another kind of time takes the place of the first.
    changed = _change(api, every="2h", jitter="5m").json
    assert (changed["cron"], changed["timezone"], changed["every"]) == (None, None, "2h")
    assert _change(api, jitter=None).json["jitter"] is None
    paused = _change(api, paused=True).json
    assert (paused["paused"], paused["due_at"], paused["next"]) == (True, None, [])
    assert [each["connection"] for each in api.get(f"{BASE}?paused=true").json["items"]] == [shop]
    assert api.get(f"{BASE}?paused=false").json["items"] == []
    assert _change(api, paused=False).json["due_at"] is not None
    # The connection says the same.
    assert api.get("/api/v1/connections/shop").json["schedule"] == {"every": "2h"}
    assert api.call("DELETE", SHOP).json == {"connection": shop}
    assert api.call("DELETE", SHOP).status_code == 404
    assert _change(api, paused=True).status_code == 404
    assert api.get("/api/v1/connections/shop").json["schedule"] is None
    with engine.begin() as conn:
        told = conn.execute(
            sa.text("SELECT actor, action FROM pipeline.audit WHERE action LIKE 'schedule.%'")
        ).all()
    assert {each.action for each in told} == {
        "schedule.create",
        "schedule.change",
        "schedule.delete",
    }
    assert {each.actor for each in told} == {"api: the operator"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "either cron"),
        ({"cron": "0 0 * * *", "every": "1h"}, "either cron"),
        ({"cron": "61 * * * *"}, "five fields"),
        ({"cron": "R * * * *"}, "five fields"),
        ({"cron": "0 0 1W * *"}, "five fields"),
        ({"cron": "0 0 * * * *"}, "five fields"),
        ({"cron": "@reboot"}, "five fields"),
        ({"cron": "0 0 31 2 *"}, "never due"),
        ({"cron": "0 0 * * *", "timezone": "Mars/Base"}, "unknown timezone"),
        ({"cron": "0 0 * * *", "timezone": "../../etc/passwd"}, "unknown timezone"),
        ({"every": "5s"}, "at least 10s"),
        ({"every": "1h", "timezone": "UTC"}, "belongs to cron"),
        ({"every": "1h", "jitter": "1h"}, "shorter"),
        ({"cron": "0,5 * * * *", "jitter": "10m"}, "shorter"),
        ({"every": "1h", "jitter": "soon"}, "jitter must be"),
        ({"every": "1h", "start": "tomorrow"}, "offset"),
        ({"every": "1h", "end": "2026-01-01T00:00:00"}, "offset"),
        (
            {"every": "1h", "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
            "before its start",
        ),
        ({"every": "1h", "overlap": "both"}, "overlap"),
        ({"every": "1h", "catch_up": "two"}, "catch_up"),
        ({"every": "1h", "pause": True}, "paused"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    api: Any, shop: str, values: dict[str, Any], words: str
) -> None:
    problem = api.post(BASE, json={"connection": shop, **values})
    assert problem.status_code == 422, problem.json
    assert words in problem.json["detail"]
    assert api.get(BASE).json["items"] == []


def test_who_may(api: Any, shop: str) -> None:
    assert api.post(BASE, "viewer", json={"connection": shop, "every": "1h"}).status_code == 403
    assert api.post(BASE, json={"connection": "none", "every": "1h"}).status_code == 404
    assert api.get(f"{BASE}?cursor=X").status_code == 400


def test_pages(api: Any, add_connection: Any) -> None:
    for name in ("a", "b", "c"):
        add_connection(name)
        api.post(BASE, json={"connection": name, "every": "1h"})
    page = api.get(f"{BASE}?limit=2").json
    assert [each["connection"] for each in page["items"]] == ["a", "b"]
    rest = api.get(f"{BASE}?limit=2&cursor={page['next_cursor']}").json
    assert ([each["connection"] for each in rest["items"]], rest["next_cursor"]) == (["c"], None)


def test_a_file_says_the_same(engine: sa.Engine, shop: str, api: Any, settings: Any) -> None:
    """What HTTP has written is unchanged by a file that says it, whichever words it leaves out."""
    api.post(BASE, json={"connection": shop, "every": "1h", "overlap": "skip", "paused": False})
    document = {"name": shop, "connector": "source-faker", "config": {"count": 10}}
    wanted = [{"every": "1h"}, {"every": "1h", "overlap": "skip", "catch_up": "one"}]
    with engine.begin() as conn:
        for schedule in wanted:
            file = connections_file.from_document({**document, "schedule": schedule})
            assert connections.unchanged(conn, settings.secret_key.encode(), file)


def _due(engine: sa.Engine, name: str, at: datetime) -> None:
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.connection SET due_for = :at, due_at = :at WHERE name = :name"
            ),
            {"at": at, "name": name},
        )


def _lag(engine: sa.Engine) -> float:
    with engine.connect() as conn:
        return measures.state(conn, dead=60.0)["schedule_lag"][None]


def test_what_fires_is_told(api: Any, shop: str, engine: sa.Engine) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    api.post(BASE, json={"connection": shop, "every": "1h"})
    _due(engine, shop, at)
    assert request.fire(engine, now=at) == 1
    fired = api.get(SHOP).json
    assert fired["last_run"]["status"] == "queued"
    assert fired["next"][0] == "2026-01-01T01:00:00Z"
    # It goes still: the next time is passed over, or waits.
    assert request.fire(engine, now=at + timedelta(hours=1)) == 0
    assert api.get(SHOP).json["last_skipped_at"] == "2026-01-01T01:00:00Z"
    # The page says the same of both as the API does.
    page = api.get("/schedules/shop", "operator", headers={"Accept": "text/html"}).text
    skipped, *coming = sorted(re.findall(r'datetime="(2026-01-01T[^"]+)"', page))
    assert skipped == "2026-01-01T01:00:00Z"
    assert coming == api.get(SHOP).json["next"]
    assert _lag(engine) > 0
    _change(api, overlap="queue")
    assert request.fire(engine, now=at + timedelta(hours=2)) == 0
    assert api.get(SHOP).json["due_at"] == "2026-01-01T02:00:00Z"
    # What waits for a run, as it was told to, is not late.
    assert _lag(engine) == 0
    api.post(f"/api/v1/runs/{fired['last_run']['run_id']}/cancel")
    assert request.fire(engine, now=at + timedelta(hours=2, minutes=1)) == 1
    assert api.get(SHOP).json["last_run"]["run_id"] != fired["last_run"]["run_id"]


def test_one_that_cannot_fire_holds_up_no_other(
    api: Any, add_connection: Any, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    names = [add_connection(name) for name in ("a_zone", "b_fault", "c_well")]
    for name in names:
        api.post(BASE, json={"connection": name, "every": "1h"})
        _due(engine, name, at)
    with engine.begin() as conn:  # as of a host that knows more zones
        conn.execute(
            sa.text(
                "UPDATE pipeline.connection SET document = jsonb_set(document,"
                " '{schedule,timezone}', '\"Nowhere/Yet\"') WHERE name = 'a_zone'"
            )
        )
    record = request.record

    def fails(conn: sa.Connection, name: str, **more: Any) -> str:
        if name == "b_fault":
            conn.execute(sa.text("SELECT 1 / 0"))
        return record(conn, name, **more)

    monkeypatch.setattr(request, "record", fails)
    assert request.fire(engine, now=at) == 1
    with engine.connect() as conn:
        query = sa.text("SELECT name FROM pipeline.connection WHERE due_at = :at ORDER BY name")
        assert list(conn.execute(query, {"at": at}).scalars()) == ["a_zone", "b_fault"]
        query = sa.text("SELECT connection FROM pipeline.run")
        assert list(conn.execute(query).scalars()) == ["c_well"]


def test_a_herd_fires_at_once_without_jitter(
    api: Any, add_connection: Any, engine: sa.Engine
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(5):
        name = add_connection(f"c{number}")
        api.post(BASE, json={"connection": name, "every": "1h"})
        _due(engine, name, at)
    assert request.fire(engine, now=at) == 5
    assert request.fire(engine, now=at) == 0


def test_a_sent_configuration_stays(api: Any, shop: str, engine: sa.Engine, settings: Any) -> None:
    """A change of the schedule undoes nothing of what the source has sent for its config."""
    from atlas.ledger import sent_configs

    secret = settings.secret_key.encode()
    with engine.begin() as conn:
        before = connections.get(conn, secret, shop)
        sent_configs.keep(conn, secret, before.id, {"count": 10}, {"count": 10, "token": "new"})
    api.post(BASE, json={"connection": shop, "every": "1h"})
    with engine.begin() as conn:
        after = connections.get(conn, secret, shop)
    assert isinstance(after.connection, Connection)
    assert after.connection.config == {"count": 10, "token": "new"}
    assert after.declared == {"count": 10}
