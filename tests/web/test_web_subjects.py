"""A person's data over HTTP: found, given out, erased; and the audit log."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import explore, names
from atlas.ledger import audit, idempotency, runs
from atlas.ledger.database import cursor
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER

USERS = StreamKey("users")
SCHEMA = {"properties": {"id": {"type": "integer"}, "email": {"type": "string"}}}
JANE = "jane.roe@example.org"
WHOM = {"identifiers": [JANE]}
ROUTES = [f"/api/v1/pii/{name}" for name in ("find", "export", "erasures")]


@pytest.fixture
def users(engine: sa.Engine, shop: str) -> str:
    """A stream with two raw rows of a run that ended; returns the run's id."""
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="cli", selected=None, full_refresh=False
        )
        stream = ConfiguredStream(USERS, SCHEMA, SyncMode.FULL_REFRESH, primary_key=(("id",),))
        runs.add_streams(conn, run_id, [(stream, True)], ORDER)
        cur = cursor(conn)
        tables = names.tables(cur, shop, USERS)
        explore.ensure(cur, tables)
        writer = explore.RawWriter(cur, run_id)
        rows = [
            b'{"id": 1, "email": "jane.roe@example.org", "rate": 12345678901234567.125}',
            b'{"id": 2, "email": "joe@example.org"}',
        ]
        writer.write(tables, [(each, 1_700_000_000_000) for each in rows])
        (item,) = runs.streams(conn, run_id)
        for part in writer.take().values():
            runs.add_segment(conn, item.id, part, covered=True)
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'failed'"))
    return run_id


def test_a_person_is_found_given_out_and_erased(api: Any, users: str, engine: sa.Engine) -> None:
    found = api.post(ROUTES[0], "privacy", json=WHOM).json
    rows = {"explore": 1, "chart": 0, "quarantine": 0, "navigate": 0}
    assert found["streams"] == [
        {"connection": "shop", "stream": "users", "namespace": None, "rows": rows}
    ]
    given = api.post(ROUTES[1], "privacy", json=WHOM)
    assert '"rate":12345678901234567.125' in given.get_data(as_text=True).replace(": ", ":")
    (raw,) = given.json["streams"][0]["data"]["explore"]
    assert raw["data"]["email"] == JANE
    done = api.post(ROUTES[2], "privacy", json=WHOM)
    assert (done.status_code, done.json["total"]) == (200, rows)
    assert api.post(ROUTES[0], "privacy", json=WHOM).json["streams"] == []
    with engine.connect() as conn:
        left = conn.execute(
            sa.text("SELECT rows, rows_erased FROM pipeline.segment, pipeline.run_stream")
        ).one()
    assert tuple(left) == (1, 1)
    page = api.get("/api/v1/audit?limit=3", "privacy").json
    assert page["next_cursor"] is not None
    assert [each["action"] for each in page["items"]] == [
        *("pii.find", "pii.erase.end", "pii.erase.stream")
    ]
    assert {each["actor"] for each in page["items"]} == {"api: the privacy"}
    subject = found["subjects"][0]
    of_it = f"/api/v1/audit?action=pii.erase&subject={subject}&limit=2"
    first = api.get(of_it, "privacy").json
    assert [each["action"] for each in first["items"]] == ["pii.erase.end", "pii.erase.stream"]
    more = api.get(f"{of_it}&cursor={first['next_cursor']}", "privacy").json
    assert [each["action"] for each in more["items"]] == ["pii.erase", "pii.erase.search"]
    assert JANE not in str(api.get("/api/v1/audit", "admin").json)


def test_an_erasure_that_is_sent_twice_is_one(api: Any, users: str, engine: sa.Engine) -> None:
    def erase(whom: dict[str, Any], key: str = "k") -> Any:
        return api.post(ROUTES[2], "privacy", json=whom, headers={"Idempotency-Key": key})

    def audited() -> int:
        with engine.connect() as conn:
            return len(audit.entries(conn, limit=100))

    first = erase(WHOM)
    assert (first.status_code, first.json["total"]["explore"]) == (200, 1)
    assert "Idempotency-Replayed" not in first.headers
    before = audited()
    again = erase(WHOM)
    assert (again.status_code, again.json) == (200, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = erase({"identifiers": ["joe@example.org"]})
    assert (other.status_code, other.json["type"]) == (422, "/api/docs#idempotency-key-reused")
    assert JANE not in other.text
    assert audited() == before
    assert erase(WHOM, "another").json["total"]["explore"] == 0


def test_an_erasure_begun_elsewhere_meanwhile_is_not_begun_twice(
    api: Any, users: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = api.post(ROUTES[2], "privacy", json=WHOM, headers=headers)
    # As if the first had not committed yet when the second looked.
    monkeypatch.setattr(idempotency, "find", lambda *_: None)
    again = api.post(ROUTES[2], "privacy", json=WHOM, headers=headers)
    assert (again.status_code, again.json) == (200, first.json)
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM pipeline.erasure")).scalar() == 1


def test_nothing_is_erased_while_a_run_is_active(api: Any, users: str, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'running'"))
    refused = api.post(ROUTES[2], "privacy", json=WHOM)
    assert (refused.status_code, refused.json["run_id"]) == (409, users)
    assert refused.json["type"].endswith("#active-run")
    assert api.post(ROUTES[0], "privacy", json=WHOM).json["total"]["explore"] == 1


@pytest.mark.parametrize("route", ROUTES)
def test_only_privacy_may(api: Any, users: str, route: str) -> None:
    assert api.post(route, "operator", json=WHOM).status_code == 403
    assert api.post(route, None, json=WHOM).status_code == 401
    assert api.get("/api/v1/audit", "operator").status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 422, "identifiers"),
        ({"identifiers": []}, 422, "identifiers"),
        ({"identifiers": [" "]}, 422, "at least one identifier"),
        ({"identifiers": ["Q7x"]}, 422, "say in which columns"),
        ({"identifiers": [JANE], "connection": "nowhere"}, 404, "nowhere"),
        ({"identifiers": [JANE + "\u0000"]}, 422, "character"),
        ({"identifiers": [7]}, 422, "identifiers"),
    ],
)
def test_what_is_no_request(
    api: Any, users: str, body: dict[str, Any], status: int, told: str
) -> None:
    refused = api.post(ROUTES[2], "privacy", json=body)
    assert (refused.status_code, told in refused.json["detail"]) == (status, True), refused.json
    assert "Q7x" not in refused.json["detail"]
    assert JANE not in refused.json["detail"]
