"""Reading runs: pages that neither lose nor repeat, filters, the document of one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import claims, runs
from atlas.ledger.tables import run
from atlas.model.stage import Stage
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER


def _add(engine: sa.Engine, name: str, status: str = "succeeded") -> str:
    with engine.begin() as conn:
        run_id = runs.create(
            conn,
            connection=name,
            trigger="api",
            selected=None,
            full_refresh=False,
        )
        conn.execute(run.update().where(run.c.id == run_id).values(status=status))
    return run_id


def test_no_runs(api: Any) -> None:
    assert api.get("/api/v1/runs").json == {"items": [], "next_cursor": None}


def test_pages_hold_every_run_once_while_new_ones_come(
    api: Any, shop: str, engine: sa.Engine
) -> None:
    expected = [_add(engine, shop) for _ in range(7)][::-1]
    seen: list[str] = []
    cursor: str | None = None
    sizes = []
    while True:
        page = api.get("/api/v1/runs", query_string={"limit": 3, **_cursor(cursor)}).json
        seen += [item["run_id"] for item in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
        if cursor is None:
            break
        _add(engine, shop)
    assert seen == expected
    assert sizes == [3, 3, 1]


def _cursor(cursor: str | None) -> dict[str, str]:
    return {} if cursor is None else {"cursor": cursor}


def test_a_full_last_page_ends(api: Any, shop: str, engine: sa.Engine) -> None:
    for _ in range(2):
        _add(engine, shop)
    page = api.get("/api/v1/runs?limit=2").json
    assert (len(page["items"]), page["next_cursor"]) == (2, None)


def test_filters(
    api: Any, shop: str, add_connection: Callable[[str], str], engine: sa.Engine
) -> None:
    add_connection("other")
    good, bad = _add(engine, shop), _add(engine, shop, "failed")
    elsewhere = _add(engine, "other", "failed")

    def ids(query: str) -> list[str]:
        return [item["run_id"] for item in api.get(f"/api/v1/runs?{query}").json["items"]]

    assert ids("connection=shop") == [bad, good]
    assert ids("status=failed") == [elsewhere, bad]
    assert ids("connection=shop&status=failed") == [bad]
    assert ids("connection=unheard_of") == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=done", "queued, running, succeeded, failed, blocked, cancelled"),
        ("connection=a%00b", "connection"),
        ("cursor=x", "cursor"),
        ("cursor=-1", "cursor"),
        ("cursor=99999999999999999999", "cursor"),
        ("cursor=" + "9" * 5000, "cursor"),
        ("cursor=%D9%A1", "cursor"),
        ("cursor=a%00b", "cursor"),
        ("lmit=1", "did you mean limit"),
        ("sort=name", "sort"),
    ],
)
def test_a_wrong_parameter_is_named(api: Any, query: str, named: str) -> None:
    answer = api.get(f"/api/v1/runs?{query}")
    assert answer.status_code == 400, answer.json
    assert answer.json["type"] == "/api/docs#invalid-parameter"
    assert named in answer.json["detail"]
    assert "\n" not in answer.json["detail"]


def test_the_largest_page(api: Any, shop: str, engine: sa.Engine) -> None:
    _add(engine, shop)
    assert len(api.get("/api/v1/runs?limit=200").json["items"]) == 1


def test_one_run_with_its_streams(api: Any, shop: str, engine: sa.Engine) -> None:
    run_id = _add(engine, shop, "queued")
    with engine.begin() as conn:
        users = ConfiguredStream(
            key=StreamKey("users"), json_schema={}, sync_mode=SyncMode.INCREMENTAL
        )
        runs.add_streams(conn, run_id, [(users, False)], list(ORDER))
        runs.count(conn, runs.streams(conn, run_id)[0].id, rows_explore=5)
    claims.claim(
        engine, Stage.EXPLORE, run_id=run_id, run_stream_id=None, holder="test", lease=60.0
    )
    found = api.get(f"/api/v1/runs/{run_id.upper()}").json
    assert found["run_id"] == run_id
    assert [stage["stage"] for stage in found["stages"]] == ["explore"]
    assert found["stages"][0]["attempt"] == 1
    stream = found["streams"][0]
    assert (stream["stream"], stream["namespace"], stream["rows"]["explore"]) == ("users", None, 5)
    assert [stage["stage"] for stage in stream["stages"]] == [stage.value for stage in ORDER[1:]]
    for time in (found["created_at"], found["stages"][0]["started_at"]):
        assert time.endswith("Z")
        assert datetime.fromisoformat(time).utcoffset() is not None


@pytest.mark.parametrize(
    "run_id",
    ["1", "x", "3f0c1c52-7d0f-4f0e-9a52-0d9b6c3d8a11", "a%00b", "%F0%9F%90%8D", "a" * 3000],
)
def test_no_such_run(api: Any, run_id: str) -> None:
    answer = api.get(f"/api/v1/runs/{run_id}")
    assert answer.status_code == 404
    assert answer.json["type"] == "/api/docs#not-found"
