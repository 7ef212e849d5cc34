"""State and schedules in the browser."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import audit, connections
from atlas.ledger.tables import state_history

from .conftest import SECRET, Api

HTML = {"Accept": "text/html"}
STATE = [
    {
        "type": "STREAM",
        "stream": {
            "stream_descriptor": {"name": name},
            "stream_state": {"at": "2025-01-01", "n": 12345678901234567890},
        },
    }
    for name in ("users", "orders")
]


@pytest.fixture
def known(api: Api, shop: str) -> str:
    """A connection with a state of two streams."""
    answer = api.call("PUT", "/api/v1/connections/shop/state", json={"state": STATE})
    assert answer.status_code == 200, answer.text
    return shop


def _get(api: Api, path: str, role: str = "operator") -> str:
    answer = api.get(path, role, headers=HTML)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def _post(api: Api, path: str, role: str = "operator", **form: Any) -> Any:
    return api.post(path, role, data=form, headers=HTML)


def test_a_state_is_shown_and_exported_exactly(api: Api, known: str) -> None:
    assert "12345678901234567890" in _get(api, "/connections/shop/state")
    exported = api.get("/connections/shop/state/export")
    assert "attachment" in exported.headers["Content-Disposition"]
    assert {each["stream"]["stream_descriptor"]["name"] for each in json.loads(exported.text)} == {
        "users",
        "orders",
    }
    assert "/reset" not in _get(api, "/connections/shop/state", "viewer")


def test_one_stream_is_reset_and_put_back(api: Api, known: str, engine: sa.Engine) -> None:
    assert _post(api, "/connections/shop/state/reset", stream="users").status_code == 303
    text = _get(api, "/connections/shop/state")
    assert "Stream users is read from the start by the next run." in text
    now = json.loads(api.get("/connections/shop/state/export").text)
    assert [each["stream"]["stream_descriptor"]["name"] for each in now] == ["orders"]
    with engine.begin() as conn:
        entry = conn.execute(
            sa.select(state_history.c.id)
            .where(state_history.c.stream == "users")
            .order_by(state_history.c.id)
            .limit(1)
        ).scalar_one()
        assert "the operator" in str(
            conn.execute(sa.select(state_history.c.actor).order_by(state_history.c.id.desc()))
            .scalars()
            .first()
        )
    assert _post(api, "/connections/shop/state/restore", id=str(entry)).status_code == 303
    assert len(json.loads(api.get("/connections/shop/state/export").text)) == 2


def test_a_state_is_imported_whole_and_in_part(api: Api, known: str) -> None:
    path = "/connections/shop/state"
    assert "Import a state" not in _get(api, path, "viewer")
    whole = json.dumps(STATE[:1])
    assert _post(api, f"{path}/import", "viewer", state=whole).status_code == 403
    assert _post(api, f"{path}/import", state=whole).status_code == 303
    now = json.loads(api.get(f"{path}/export").text)
    assert [each["stream"]["stream_descriptor"]["name"] for each in now] == ["users"]
    file = (io.BytesIO(b'{"at": 98765432109876543210}'), "state.json")
    assert _post(api, f"{path}/import", stream="users", file=file).status_code == 303
    page = _get(api, path)
    assert "98765432109876543210" in page
    assert "Stream users goes on from the state that you gave." in page
    wrong = _post(api, f"{path}/import", state="{nonsense")
    assert wrong.status_code == 422
    assert "{nonsense" in wrong.text
    assert "98765432109876543210" in _get(api, path)


def test_no_entry_is_no_crash(api: Api, known: str) -> None:
    _post(api, "/connections/shop/state/restore", id="x")
    assert "Not put back" in _get(api, "/connections/shop/state")
    assert _post(api, "/connections/shop/state/reset", "viewer").status_code == 403


def test_a_schedule_is_set_changed_and_taken_away(api: Api, shop: str, engine: sa.Engine) -> None:
    assert "Nothing runs by itself" in _get(api, "/schedules", "viewer")
    form = {"when": "cron", "cron": "30 5 * * *", "timezone": "Europe/Copenhagen"}
    assert _post(api, "/schedules/shop", **form).status_code == 303
    assert "30 5 * * *" in _get(api, "/schedules")
    assert _get(api, "/schedules/shop").count("data-time") == 5
    answer = _post(api, "/schedules/shop", **{**form, "timezone": "Nowhere"})
    assert answer.status_code == 422
    assert "unknown timezone" in answer.text
    _post(api, "/schedules/shop/pause")
    assert "paused" in _get(api, "/schedules")
    # Who changes its times does not start it again.
    _post(api, "/schedules/shop", when="every", every="3h", overlap="queue", catch_up="one")
    with engine.begin() as conn:
        stored = connections.get(conn, SECRET.encode(), "shop").connection.schedule
    assert stored == {"every": "3h", "paused": True, "overlap": "queue"}
    _post(api, "/schedules/shop/resume")
    assert "goes on" in _get(api, "/schedules")
    with engine.begin() as conn:
        stored = connections.get(conn, SECRET.encode(), "shop").connection.schedule
        assert stored == {"every": "3h", "overlap": "queue"}
        assert conn.execute(sa.text("SELECT due_at FROM pipeline.connection")).scalar() is not None
    assert _post(api, "/schedules/shop", when="never").status_code == 303
    with engine.begin() as conn:
        told = audit.entries(conn, limit=9, action="schedule")
    assert [each["detail"]["to"] for each in told[:3]] == [
        None,
        {"every": "3h", "overlap": "queue"},
        {"every": "3h", "paused": True, "overlap": "queue"},
    ]
    with engine.begin() as conn:
        assert connections.get(conn, SECRET.encode(), "shop").connection.schedule is None
