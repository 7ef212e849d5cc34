"""Lists: their orders, and cursors that hold for nothing but what they came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import runs
from atlas.ledger.tables import connection

API = "/api/v1"
NAMES = ["a", "a_b", "ab", "b1", "c"]
LISTS = {
    "connections": ("name", "name"),
    "schedules": ("connection", "connection"),
    "runs": ("created_at", "run_id"),
    "datasets": ("name", "name"),
}
"""By list what it can be sorted by, and what its items are told apart by here."""


@pytest.fixture
def things(
    engine: sa.Engine,
    add_connection: Callable[[str], str],
    users: str,
) -> None:
    """Connections with schedules, of each a run; and a dataset in two layers."""
    for name in reversed(NAMES):
        add_connection(name)
    with engine.begin() as conn:
        document = connection.c.document.op("||")({"schedule": {"every": "10m"}})
        conn.execute(connection.update().values(document=sa.type_coerce(document, sa.JSON)))
        for name in NAMES:
            runs.create(conn, connection=name, trigger="api", selected=None, full_refresh=False)


def _walk(api: Any, name: str, query: str, member: str) -> list[str]:
    """What a list holds, page by page of two."""
    path, found, cursor = f"{API}/{name}", [], ""
    while True:
        page = api.get(f"{path}?limit=2{query}{cursor}").json
        assert len(page["items"]) <= 2
        found += [item[member] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_comes_in_either_order_whole(api: Any, things: None, name: str) -> None:
    by, member = LISTS[name]
    usual, up, down = (
        _walk(api, name, query, member) for query in ("", f"&sort={by}", f"&sort=-{by}")
    )
    assert up == down[::-1]
    assert len(up) >= 2
    assert usual == (down if name == "runs" else up)
    if name in ("connections", "schedules"):
        assert up == sorted([*NAMES, "shop"])


def test_words_are_looked_for_in_either_order(api: Any, users: str) -> None:
    up = _walk(api, "datasets", "&q=users&sort=name", "layer")
    assert up == _walk(api, "datasets", "&q=users&sort=-name", "layer")[::-1]
    assert up == ["chart", "explore"]


@pytest.mark.parametrize(
    "query",
    [
        "sort=created_at",
        "connection=shop",
        "status=queued",
        "sort=-created_at&connection=shop",
    ],
)
def test_a_cursor_holds_for_what_it_came_from_alone(api: Any, things: None, query: str) -> None:
    path = f"{API}/runs"
    of_all = api.get(f"{path}?limit=1").json["next_cursor"]
    of_some = api.get(f"{path}?limit=1&{query}").json["next_cursor"]
    refused = api.get(f"{path}?{query}&cursor={of_all}")
    assert (refused.status_code, refused.json["type"]) == (400, "/api/docs#invalid-parameter")
    assert "with the same sort and filters" in refused.json["detail"]
    # The default that is spelled out is the same list, and pages may differ in size.
    assert api.get(f"{path}?sort=-created_at&limit=3&cursor={of_all}").status_code == 200
    if of_some is not None:
        assert api.get(f"{path}?cursor={of_some}").status_code == 400
        assert api.get(f"{path}?limit=9&{query}&cursor={of_some}").status_code == 200


def test_a_cursor_of_another_list_is_refused(api: Any, things: None) -> None:
    cursor = api.get(f"{API}/connections?limit=1").json["next_cursor"]
    for other in ("schedules", "datasets", "runs", "connectors", "connections/shop/changes"):
        assert api.get(f"{API}/{other}?cursor={cursor}").status_code == 400, other


def test_a_wrong_order_is_told_those_there_are(api: Any) -> None:
    answer = api.get(f"{API}/connections?sort=created_at")
    assert answer.status_code == 400
    assert answer.json["detail"].startswith("sort: must be one of ")
    assert "-name" in answer.json["detail"]
