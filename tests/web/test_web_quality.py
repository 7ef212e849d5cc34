"""Scores, checks and rows that were set aside, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import chart, names
from atlas.ledger import results, runs
from atlas.ledger.database import cursor
from atlas.model.checks import CheckResult, Dimension, Outcome
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER
from atlas.sync import quality

USERS = StreamKey("users")
SCHEMA = {"properties": {"id": {"type": "integer"}, "total": {"type": "number"}}}
NOWHERE = "0192f5a2-1111-7111-8111-123456789abc"


def _check(name: str, outcome: Outcome) -> CheckResult:
    bad = outcome is Outcome.FAIL
    return CheckResult(
        name=name,
        dimension=Dimension.VALIDITY,
        column="total",
        outcome=outcome,
        score=0.5 if bad else 1.0,
        failed_rows=2 if bad else 0,
        definition="  - invalid_count(total) = 0:\n      valid min: 0",
        detail={},
    )


@pytest.fixture
def checked(engine: sa.Engine, shop: str) -> list[str]:
    """A dataset that was checked in two runs, the first of which set two rows aside; their ids."""
    stream = ConfiguredStream(USERS, SCHEMA, SyncMode.FULL_REFRESH)
    found = []
    for outcome, status in ((Outcome.FAIL, "succeeded"), (Outcome.PASS, "blocked")):
        with engine.begin() as conn:
            run_id = runs.create(
                conn, connection=shop, trigger="cli", selected=None, full_refresh=False
            )
            runs.add_streams(conn, run_id, [(stream, True)], ORDER)
            (item,) = runs.streams(conn, run_id)
            cur = cursor(conn)
            tables = names.tables(cur, shop, USERS)
            made = names.columns(cur, shop, USERS, SCHEMA)
            chart.ensure(cur, tables, made.all, {}, (("id",),))
            results.put_checks(
                conn,
                item.id,
                [_check("validity.a", Outcome.PASS), _check("validity.total", outcome)],
                {"validity": 0.75, "overall": 0.75},
                {"validity.total": 2} if outcome is Outcome.FAIL else {},
            )
            conn.execute(
                sa.text(
                    "UPDATE pipeline.stage_run SET status = :s, finished_at = now()"
                    " WHERE run_id = :r AND stage = 'quality'"
                ),
                {"r": run_id, "s": status},
            )
            conn.execute(sa.text("UPDATE pipeline.run SET status = 'succeeded'"))
            if outcome is Outcome.FAIL:
                conn.execute(
                    sa.text(
                        "INSERT INTO chart.shop_users_quarantine (id, total, _atlas_id,"
                        " _atlas_run_id, _atlas_emitted_at, _atlas_checks) SELECT n,"
                        " -12345678901234567890.25, n, :r, now(), ARRAY['validity.total']"
                        " FROM generate_series(1, 2) n"
                    ),
                    {"r": run_id},
                )
        found.append(run_id)
    return found


def test_a_dataset_shows_its_checks_what_failed_first(api: Any, checked: list[str]) -> None:
    last = api.get("/api/v1/quality/datasets/shop_users").json
    assert (last["run_id"], last["status"]) == (checked[1], "blocked")
    first = api.get(f"/api/v1/quality/datasets/shop_users?run_id={checked[0]}").json
    assert [each["name"] for each in first["checks"]] == ["validity.total", "validity.a"]
    assert first["scores"] == {"validity": 0.75, "overall": 0.75}
    assert first["quarantined"] == {"validity.total": 2}
    of_run = api.get(f"/api/v1/quality/runs/{checked[0]}").json
    assert of_run == {"run_id": checked[0], "datasets": [first], "next_cursor": None}


def test_scores_are_paged_run_by_run(api: Any, checked: list[str]) -> None:
    base = "/api/v1/quality/datasets/shop_users/history"
    page = api.get(f"{base}?limit=1").json
    assert [each["run_id"] for each in page["items"]] == [checked[1]]
    page = api.get(f"{base}?limit=1&cursor={page['next_cursor']}").json
    assert [(e["run_id"], e["failed"]) for e in page["items"]] == [(checked[0], ["validity.total"])]
    assert page["next_cursor"] is None


def test_how_a_check_went(api: Any, checked: list[str]) -> None:
    base = "/api/v1/quality/datasets/shop_users/history"
    items = api.get(f"{base}?check=validity.total").json["items"]
    assert [each["check"]["outcome"] for each in items] == ["pass", "fail"]
    assert [each["anomalies"] for each in items] == [{}, {}]
    assert api.get(f"{base}?check=nix").status_code == 404


def test_rows_suggest_checks(api: Any, engine: sa.Engine, checked: list[str]) -> None:
    base = "/api/v1/quality/datasets/shop_users/suggestions"
    assert api.get(base).json["suggestions"] == []
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO chart.shop_users (id, total, _atlas_id, _atlas_run_id,"
                " _atlas_emitted_at, _atlas_row_hash)"
                " SELECT n, n % 7, n, :r, now(), n::text FROM generate_series(1, 60) n"
            ),
            {"r": checked[0]},
        )
    found = api.get(base).json
    assert found["rows"] == 60
    about = {(each["column"], each["dimension"]) for each in found["suggestions"]}
    assert ("total", "completeness") in about
    # It is checked already.
    assert ("total", "validity") not in about
    assert all(each["why"] in found["sodacl"] for each in found["suggestions"])


def test_rows_that_were_set_aside_are_paged_and_exact(api: Any, checked: list[str]) -> None:
    page = api.get("/api/v1/quarantine/shop_users?limit=1").json
    (row,) = page["items"]
    assert row["row"] == {"id": "2", "total": "-12345678901234567890.25"}
    assert (row["run_id"], row["checks"], row["reasons"]) == (checked[0], ["validity.total"], {})
    page = api.get(f"/api/v1/quarantine/shop_users?limit=1&cursor={page['next_cursor']}").json
    assert [each["row"]["id"] for each in page["items"]] == ["1"]
    assert page["next_cursor"] is None
    for nothing in (f"run_id={checked[1]}", "check=validity.a"):
        assert api.get(f"/api/v1/quarantine/shop_users?{nothing}").json["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "quality/datasets/nowhere",
        "quality/datasets/nowhere/history",
        "quality/datasets/nowhere/suggestions",
        f"quality/runs/{NOWHERE}",
        f"quality/datasets/shop_users?run_id={NOWHERE}",
        "quarantine/nowhere",
        f"quarantine/shop_users?run_id={NOWHERE}",
        "quarantine/shop_users?run_id=nonsense",
    ],
)
def test_what_is_not_there(api: Any, checked: list[str], path: str) -> None:
    refused = api.get(f"/api/v1/{path}")
    assert (refused.status_code, refused.json["type"]) == (404, "/api/docs#not-found")


@pytest.mark.parametrize("query", ["cursor=x", "limit=0", "check=", "more=1"])
def test_what_makes_no_sense(api: Any, checked: list[str], query: str) -> None:
    refused = api.get(f"/api/v1/quarantine/shop_users?{query}")
    assert (refused.status_code, query.partition("=")[0] in refused.json["detail"]) == (400, True)


def test_a_dataset_that_was_not_checked(api: Any, engine: sa.Engine, shop: str) -> None:
    with engine.begin() as conn:
        names.tables(cursor(conn), shop, USERS)
    refused = api.get("/api/v1/quality/datasets/shop_users")
    assert (refused.status_code, "not been checked" in refused.json["detail"]) == (404, True)
    assert api.get("/api/v1/quarantine/shop_users").json == {"items": [], "next_cursor": None}


def test_the_streams_of_a_run_come_in_pages(api: Any, engine: sa.Engine, shop: str) -> None:
    names_of = ["users", "orders", "items"]
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="cli", selected=None, full_refresh=False
        )
        streams = [
            ConfiguredStream(StreamKey(name), SCHEMA, SyncMode.FULL_REFRESH) for name in names_of
        ]
        runs.add_streams(conn, run_id, [(stream, True) for stream in streams], ORDER)
        for item in runs.streams(conn, run_id):
            names.tables(cursor(conn), shop, item.key)
            results.put_checks(conn, item.id, [_check("validity.a", Outcome.PASS)], {}, {})
        conn.execute(
            sa.text("UPDATE pipeline.stage_run SET status = 'succeeded', finished_at = now()")
        )
    path = f"/api/v1/quality/runs/{run_id}"
    whole = api.get(path).json
    assert [each["stream"] for each in whole["datasets"]] == names_of
    assert whole["next_cursor"] is None
    first = api.get(f"{path}?limit=2").json
    assert first["datasets"] == whole["datasets"][:2]
    rest = api.get(f"{path}?limit=2&cursor={first['next_cursor']}").json
    assert (rest["datasets"], rest["next_cursor"]) == (whole["datasets"][2:], None)
    # However many streams there are, they cost no query each.
    counted: list[str] = []
    with engine.connect() as conn:
        sa.event.listen(conn, "before_cursor_execute", lambda *told: counted.append(told[2]))
        quality.page_of_run(conn, run_id, limit=1)
        one = len(counted)
        quality.page_of_run(conn, run_id, limit=3)
    assert len(counted) == 2 * one
