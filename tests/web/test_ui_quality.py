"""The pages of quality and of the quarantine: what they show, take and refuse."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from atlas.layers import explore, names
from atlas.ledger import audit
from atlas.ledger.database import cursor
from atlas.web.ui.quality import _expected
from atlas.web.ui.quarantine import _json

from .conftest import Api
from .test_web_quality import USERS, checked
from .test_web_quarantine import aside

__all__ = ["aside", "checked"]  # fixtures

HTML = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>"
PATH = "/quarantine/shop_users"


def _page(api: Api, path: str, role: str = "viewer", status: int = 200) -> str:
    answer = api.get(path, role, headers=HTML)
    assert answer.status_code == status, path
    text: str = answer.text
    assert EVIL not in text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=\"", text)
    assert len(text) < 200_000
    return text


def _post(api: Api, path: str, role: str = "operator", **form: Any) -> Any:
    return api.post(path, role, data=form, headers=HTML)


def test_scores_by_dataset_by_run_and_over_time(
    api: Api, engine: sa.Engine, checked: list[str]
) -> None:
    with engine.begin() as conn:
        tables = names.stored(cursor(conn), "shop", USERS)
        assert tables is not None
        explore.ensure(cursor(conn), tables)
    assert 'href="/quality/shop_users"' in _page(api, "/quality")
    last = _page(api, "/quality/shop_users")
    assert "Every check passed" in last
    assert "<strong>blocked</strong>" in last
    assert last.count('<g class="line-validity">') == 1
    first = _page(api, f"/quality/shop_users?run={checked[0]}")
    assert 'href="/quarantine/shop_users?check=validity.total">2 rows</a>' in first
    assert "rows are set aside" in first
    of_run = _page(api, f"/quality/runs/{checked[0]}")
    assert f'href="/quality/shop_users?run={checked[0]}"' in of_run
    for nowhere in ("/quality/nowhere", "/quality/shop_users?run=x", "/quality/runs/x"):
        _page(api, nowhere, status=404)


def test_nothing_checked_says_what_to_do(api: Api, aside: str) -> None:
    assert "The next sync" in _page(api, "/quality/shop_users")
    assert "not checked yet" in _page(api, "/quality")
    assert "Nothing to suggest" in _page(api, "/quality/shop_users/suggestions")


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("- missing_count(id) = 0", "missing_count(id) = 0"),
        (
            "  - failed rows:\n      name: a\n      fail condition: '\"s\" NOT IN (''a'')'",
            "no row where \"s\" NOT IN ('a')",
        ),
        (
            '  - avg("price"):\n      name: b\n      warn: when not between 1 and 2',
            'avg("price") between 1 and 2',
        ),
        ("", ""),
    ],
)
def test_what_a_check_expects_is_one_line(definition: str, expected: str) -> None:
    assert _expected(definition) == expected


def test_rows_set_aside_are_shown_with_why_and_deeds_are_not_offered_to_viewers(
    api: Api, engine: sa.Engine, aside: str
) -> None:
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE chart.shop_users_quarantine SET"
                " _atlas_checks = _atlas_checks || CAST(:evil AS text),"
                " _atlas_reasons = jsonb_build_object('total', CAST(:evil AS text))"
                " WHERE _atlas_id = 2"
            ),
            {"evil": EVIL},
        )
    assert f'href="{PATH}"' in _page(api, "/quarantine")
    page = _page(api, PATH)
    assert "accuracy.total.range" in page
    assert "&lt;script&gt;alert(1)" in page
    assert '<div class="suspect"><dt>total</dt>' in page
    assert 'name="deed"' not in page
    assert _post(api, PATH, "viewer", deed="discard").status_code == 403
    _page(api, PATH + "/1", status=403)
    operator = _page(api, PATH, "operator")
    assert 'name="deed" value="discard"' in operator
    assert page.count("<strong>Row") == _page(api, f"{PATH}?run={aside}").count("<strong>Row") == 3
    assert "No row is set aside" in _page(api, f"{PATH}?check=nix")
    _page(api, PATH + "/99", "operator", status=404)


def test_a_row_is_put_right_to_the_last_digit(
    api: Api, engine: sa.Engine, aside: str, queue: redis.Redis
) -> None:
    assert 'name="value:total"' in _page(api, PATH + "/1", "operator")
    for wrong in ({"value:total": "12 kr"}, {"value:total": "true"}, {"value:id": "x"}, {}):
        answer = _post(api, PATH + "/1", **wrong)
        assert answer.status_code == 422, wrong
    answer = _post(api, PATH + "/1", **{"value:total": "12345678901234567890.50", "why": "typo"})
    assert answer.status_code == 303
    run_id = answer.headers["Location"].removeprefix("/runs/")
    assert api.get(f"/api/v1/runs/{run_id}").json["trigger"] == "reprocess"
    assert queue.llen("extract") == 1
    with engine.connect() as conn:
        made = sa.text("SELECT data->>'total' FROM explore.shop_users_raw WHERE _atlas_id = 4")
        assert conn.execute(made).scalar() == "12345678901234567890.50"
        (entry,) = audit.entries(conn, limit=1)
    assert (entry["actor"], entry["action"]) == ("api: the operator", "quality.reprocess")
    # Its rows are spoken for.
    assert _post(api, PATH, deed="reprocess", which="all").status_code == 409


def test_rows_are_let_through_or_discarded_with_a_why(
    api: Api, engine: sa.Engine, aside: str
) -> None:
    check = "accuracy.total.range"
    for wrong in (
        {"deed": "discard", "which": "all"},
        {"deed": "discard", "why": "old"},
        {"deed": "override", "row": "1", "why": "fine"},
        {"deed": "override", "row": "1", "overrides": check},
    ):
        assert _post(api, PATH, **wrong).status_code == 422, wrong
    kept = _post(api, PATH, deed="discard", row=["1", "2"]).text
    assert kept.count(" checked>") >= 2
    gone = _post(api, PATH, deed="discard", row=["1", "2"], why="tests")
    assert (gone.status_code, gone.headers["Location"]) == (303, PATH)
    through = _post(api, PATH, deed="override", row="3", overrides=check, why="a refund")
    assert through.headers["Location"].startswith("/runs/")
    with engine.connect() as conn:
        told = [(each["action"], each["detail"]) for each in audit.entries(conn, limit=2)]
    assert told[1][1]["ids"] == [1, 2]
    assert told[0][1]["overrides"] == [check]


@pytest.mark.parametrize(
    ("kind", "text", "json"),
    [
        ("numeric", " 1e2 ", "1e2"),
        ("bigint", "9007199254740993", "9007199254740993"),
        ("text", 'a "b"', '"a \\"b\\""'),
        ("boolean", "TRUE", "true"),
        ("jsonb", "[1.10]", "[1.10]"),
        ("date", "2025-01-01", '"2025-01-01"'),
    ],
)
def test_what_is_typed_becomes_the_value_of_its_column(kind: str, text: str, json: str) -> None:
    assert _json("a", kind, text) == json
