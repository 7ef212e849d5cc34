"""The catalog's pages: what they list, find, show and take, and whom they show what."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import names, navigate
from atlas.ledger.database import cursor
from atlas.model.stream import StreamKey

from .conftest import JANE, Api

HTML = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>"


def _page(api: Api, path: str, role: str = "viewer", status: int = 200) -> str:
    answer = api.get(path, role, headers=HTML)
    assert answer.status_code == status, path
    assert "text/html" in answer.content_type
    text: str = answer.text
    assert EVIL not in text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=\"", text)
    assert len(text) < 200_000
    return text


def test_datasets_are_listed_by_layer_and_found_by_words(api: Api, users: str) -> None:
    assert 'href="/catalog/chart/shop_users"' in _page(api, "/catalog")
    assert 'href="/catalog/explore/shop_users_raw"' in _page(api, "/catalog?layer=all")
    assert 'href="/catalog/chart/shop_users"' in _page(api, "/catalog?q=email")
    assert "Nothing matches" in _page(api, "/catalog?q=nonsense")
    assert "there is no word in it" in _page(api, "/catalog?q=%21%21")
    _page(api, "/catalog?layer=nowhere", status=404)


def test_an_empty_catalog_says_what_to_do_first(api: Api) -> None:
    assert "Sync a connection" in _page(api, "/catalog")


def test_an_operator_says_what_a_dataset_is_and_a_viewer_is_not_offered_it(
    api: Api, users: str
) -> None:
    edit = "/catalog/chart/shop_users/edit"
    assert edit not in _page(api, "/catalog/chart/shop_users")
    assert edit in _page(api, "/catalog/chart/shop_users", "operator")
    said = {
        "description": EVIL,
        "owner": "Sales & \u202eco",
        "tags": "core, gdpr",
        "column:email": "w" * 200,
    }
    assert api.post(edit, "viewer", data=said, headers=HTML).status_code == 403
    answer = api.post(edit, data=said, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/catalog/chart/shop_users")
    page = _page(api, "/catalog/chart/shop_users")
    assert "&lt;script&gt;alert(1)" in page
    assert '<bdi class="ident">Sales &amp; \u202eco</bdi>' in page
    assert "w" * 200 in page
    assert "api: the operator" in page
    assert 'value="core gdpr"' in _page(api, edit, "operator")
    found = _page(api, "/catalog?connection=shop&tag=gdpr&owner=" + "Sales %26 %E2%80%AEco")
    assert 'href="/catalog/chart/shop_users"' in found
    for other in ("tag=gdpr&owner=Somebody", "tag=other", "connection=other"):
        found = _page(api, f"/catalog?{other}")
        assert 'href="/catalog/chart/shop_users"' not in found


def test_what_cannot_be_said_stays_in_the_form(api: Api, users: str) -> None:
    edit = "/catalog/chart/shop_users/edit"
    answer = api.post(edit, data={"owner": "Sales", "tags": "NO"}, headers=HTML)
    assert answer.status_code == 422
    assert "lower-case letters" in answer.text
    assert 'value="Sales"' in answer.text


def test_a_sample_is_masked_and_raw_rows_take_a_role_and_a_reason(api: Api, users: str) -> None:
    assert "***@***" in _page(api, "/catalog/chart/shop_users/sample")
    raw = "/catalog/explore/shop_users_raw/sample"
    assert '<form class="form"' not in _page(api, raw, "operator")
    assert api.post(raw, "operator", data={"why": "x"}, headers=HTML).status_code == 403
    assert JANE not in _page(api, raw, "privacy")
    assert "say why" in api.post(raw, "privacy", data={}, headers=HTML).text
    shown = api.post(raw, "privacy", data={"why": "ticket 7"}, headers=HTML)
    assert JANE in shown.text
    told = api.get("/api/v1/audit?action=datasets.sample", "privacy").json["items"]
    assert [each["detail"]["why"] for each in told] == ["ticket 7"]


def test_a_profile_counts_when_it_is_asked_to(api: Api, users: str) -> None:
    path = "/catalog/chart/shop_users/profile"
    assert "Nothing measured yet" in _page(api, path)
    assert "***@***" in _page(api, path + "?look=now")


@pytest.fixture
def versions(users: str, engine: sa.Engine) -> Any:
    """Three versions of row 1 and one of row 2 in navigate."""
    key = StreamKey("users")
    with engine.begin() as conn:
        cur = cursor(conn)
        tables = names.stored(cur, "shop", key)
        assert tables is not None
        navigate.ensure(cur, tables, names.columns(cur, "shop", key, {}).all, {}, (("id",),))
        conn.execute(
            sa.text(
                "UPDATE pipeline.run_stream SET configured ="
                " jsonb_set(configured::jsonb, '{primary_key}', '[[\"id\"]]')::json"
            )
        )
        conn.execute(
            sa.text(
                "INSERT INTO navigate.shop_users (id, email, valid_from, valid_to, is_current,"
                " _atlas_run_id, _atlas_row_hash) SELECT i, e, f, t, t IS NULL, :r, 'h' FROM"
                " (VALUES (1, :evil, timestamptz '2025-01-01', timestamptz '2025-01-02'),"
                " (1, '***@**', '2025-01-02', '2025-01-05'), (1, NULL, '2025-01-05', NULL),"
                " (2, 'other', '2025-01-01', NULL)) v(i, e, f, t)"
            ),
            {"r": users, "evil": EVIL},
        )


def test_the_versions_of_one_key_are_a_timeline(api: Api, versions: None) -> None:
    path = "/catalog/navigate/shop_users/history"
    assert 'name="id"' in _page(api, path)
    answer = api.post(path, "viewer", data={"id": "1"}, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, path + "?version=3")
    # Any version of the key leads to all of them.
    for version in (1, 3):
        page = _page(api, f"{path}?version={version}")
        assert page.count('<li class="past">') == 2
        assert page.count('<li class="now">') == 1
        assert "other" not in page.partition("timeline")[2]
        first = page.index("its first version")
        assert (
            page.index('<span class="null">NULL</span></ins>')
            < page.index("***@**</bdi></ins>")
            < first
        )
    for wrong in ("3", "x", "", "9" * 30):
        answer = api.post(path, "viewer", data={"id": wrong}, headers=HTML)
        assert answer.headers["Location"] == path
    _page(api, path + "?version=99", status=404)
