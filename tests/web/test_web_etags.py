"""Entity tags: nothing is read twice that has not changed, nobody writes over somebody's words."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

PAGER = "/api/v1/webhooks/pager"
POLICY = "/api/v1/pii/policies/research"
SHOP = "/api/v1/connections/shop"
CHART = "/api/v1/datasets/chart/shop_users"


def _refused(answer: Any, tag: str) -> None:
    assert answer.status_code == 412
    assert answer.json["type"] == "/api/docs#precondition-failed"
    assert answer.headers["ETag"] == answer.json["etag"] == tag


@pytest.mark.parametrize(
    ("path", "role", "method", "body", "other"),
    [
        (SHOP, "operator", "PATCH", {"schedule": {"every": "1h"}}, {"schedule": {"every": "2h"}}),
        (
            "/api/v1/schedules/shop",
            "operator",
            "PATCH",
            {"paused": True},
            {"jitter": "5m"},
        ),
        (CHART, "operator", "PATCH", {"owner": "Sales"}, {"owner": "Support"}),
        (PAGER, "admin", "PATCH", {"enabled": False}, {"events": ["run.failed", "run.blocked"]}),
        (POLICY, "privacy", "PUT", {"columns": {"a": "keep"}}, {"columns": {"b": "keep"}}),
    ],
)
def test_what_people_edit_has_a_tag(
    api: Any,
    users: str,
    path: str,
    role: str,
    method: str,
    body: dict[str, Any],
    other: dict[str, Any],
) -> None:
    if path == POLICY:
        assert api.call("PUT", path, role, json={}).status_code == 201
    reader = "admin" if path == PAGER else "viewer"
    if path == PAGER:
        hook = {"name": "pager", "url": "https://example.org/x", "events": ["run.failed"]}
        assert api.post("/api/v1/webhooks", "admin", json=hook).status_code == 201
    if "schedules" in path:
        body_of_it = {"connection": "shop", "every": "1h"}
        assert api.post("/api/v1/schedules", json=body_of_it).status_code == 201
    read = api.get(path, reader)
    first = read.headers["ETag"]
    assert first.startswith('"')
    again = api.get(path, reader, headers={"If-None-Match": f'"x", W/{first}'})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first)

    changed = api.call(method, path, role, json=body, headers={"If-Match": first})
    assert changed.status_code == 200
    second = changed.headers["ETag"]
    assert second != first
    assert api.get(path, reader).headers["ETag"] == second
    assert api.get(path, reader, headers={"If-None-Match": first}).status_code == 200

    _refused(api.call(method, path, role, json=other, headers={"If-Match": first}), second)
    assert api.get(path, reader).headers["ETag"] == second
    # Either of several, any at all, and without a condition as ever.
    for header in ({"If-Match": f"{first}, {second}"}, {"If-Match": "*"}, {}):
        assert api.call(method, path, role, json=other, headers=header).status_code == 200
        second = api.get(path, reader).headers["ETag"]


def test_a_run_that_ends_meanwhile_refuses_nobodys_words(
    api: Any,
    users: str,
    engine: sa.Engine,
) -> None:
    tag = api.get(CHART).headers["ETag"]
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run_stream SET rows_explore = 7"))
    assert api.get(CHART).headers["ETag"] != tag
    said = api.call("PATCH", CHART, json={"owner": "Sales"}, headers={"If-Match": tag})
    assert said.status_code == 200


def test_only_what_was_read_is_deleted(api: Any, shop: str) -> None:
    tag = api.get(SHOP).headers["ETag"]
    now = api.call("PATCH", SHOP, json={"schedule": {"every": "1h"}}).headers["ETag"]
    _refused(api.call("DELETE", SHOP, headers={"If-Match": tag}), now)
    assert api.call("DELETE", SHOP, headers={"If-Match": now}).status_code == 200
    assert api.call("DELETE", SHOP, headers={"If-Match": now}).status_code == 404


def test_a_policy_is_only_made_where_there_is_none(api: Any) -> None:
    new = {"If-None-Match": "*"}
    assert api.call("PUT", POLICY, "privacy", json={}, headers={"If-Match": "*"}).status_code == 412
    made = api.call("PUT", POLICY, "privacy", json={}, headers=new)
    assert made.status_code == 201
    _refused(api.call("PUT", POLICY, "privacy", json={}, headers=new), made.headers["ETag"])
    there = {"If-Match": '"nothing-at-all"'}
    _refused(api.call("DELETE", POLICY, "privacy", headers=there), made.headers["ETag"])


def test_of_two_who_read_the_same_one_changes_it(
    api: Any, app: Any, engine: sa.Engine, shop: str
) -> None:
    headers = {
        "If-Match": api.get(SHOP).headers["ETag"],
        "Authorization": f"Bearer {api.texts['operator']}",
    }
    answers: list[int] = []

    def change(every: str) -> None:
        body = {"schedule": {"every": every}}
        answers.append(app.test_client().patch(SHOP, json=body, headers=headers).status_code)

    threads = [threading.Thread(target=change, args=(f"{n}h",)) for n in (1, 2)]
    with engine.begin() as conn:
        # Both have come as far as the row before either is let through.
        conn.execute(sa.text("SELECT 1 FROM pipeline.connection WHERE name = 'shop' FOR UPDATE"))
        for thread in threads:
            thread.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 60
        with engine.connect() as other:
            looking = other.execution_options(isolation_level="AUTOCOMMIT")
            while looking.scalar(sa.text(waiting)) < 2:
                assert time.monotonic() < deadline, "they do not wait for the row"
                time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 412]
