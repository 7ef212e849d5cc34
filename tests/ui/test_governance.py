"""What data people and privacy officers come for, in a real browser: from a red score to a mended
row, a verdict that is overridden, a person who is forgotten."""

from __future__ import annotations

import json
import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import source

from .conftest import CLUB, JANE, Stack, Watched, looked_at


def test_a_blocked_run_leads_to_its_rows_and_they_are_put_right(
    user: Watched, stack: Stack, tmp_path: Path
) -> None:
    page, status = user.page, user.page.locator(".tiles .badge").first
    stream = {
        "schema": {
            "properties": {
                "id": {"type": "integer"},
                "side": {"type": "string", "enum": ["in", "out"]},
            }
        },
        "primary_key": [["id"]],
        "records": [{"id": 1, "side": "in"}, {"id": 2, "side": "uot"}],
    }
    (tmp_path / "door.json").write_text(json.dumps({"streams": {"passes": stream}}))
    door = source("door", tmp_path / "door.json", quality={"on_failure": "block"})
    stack.atlas.apply(door)
    run = stack.atlas.sync("door", ok=False)
    user.go(f"/runs/{run['run_id']}")
    expect(status).to_have_text("blocked")
    expect(page.locator(".errors")).to_contain_text("validity.side")
    page.get_by_role("link", name="See the checks").click()
    page.get_by_role("link", name="door_passes").click()
    check = page.locator("#failing").get_by_role("row", name="validity.side")
    expect(check).to_contain_text("blocks the run")
    check.get_by_text("Ids of the rows").click()
    (bad,) = stack.atlas.rows(
        "SELECT _atlas_id::text FROM explore.door_passes_raw WHERE data ->> 'side' = 'uot'"
    )
    expect(check.locator("details[open] p")).to_have_text(bad[0])
    # With another gate its rows are set aside, and can be put right.
    user.go("/connections/door")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("When a check fails").select_option("quarantine")
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Save the changes").click()
    page.get_by_role("button", name="Sync now").click()
    expect(status).to_have_text("succeeded")
    page.locator("#streams").get_by_role("link", name="quarantine").click()
    page.get_by_role("link", name="Put right").first.click()
    page.get_by_label("side", exact=True).fill("out")
    page.get_by_label("Why?").first.fill("a slip")
    page.get_by_role("button", name="Put right and reprocess").click()
    expect(page).to_have_url(re.compile("/runs/"))
    expect(status).to_have_text("succeeded")
    rows = stack.atlas.rows("SELECT id, side FROM chart.door_passes ORDER BY id")
    assert rows == [(1, "in"), (2, "out")]


def _clean(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_from_a_red_score_to_a_mended_row(
    user: Watched, stack: Stack, club: str, screenshots: Path
) -> None:
    page = user.page
    user.go("/quarantine")
    page.get_by_label("Filter these datasets").fill(f"{club} nowhere")
    expect(page.locator("#quarantines tbody tr:visible")).to_have_count(0)
    page.get_by_label("Filter these datasets").fill(club)
    expect(page.locator("#quarantines tbody tr:visible")).to_have_count(1)
    user.go("/quality")
    page.get_by_role("link", name=club).click()
    page.get_by_role("link", name="1 row", exact=True).click()
    expect(page).to_have_url(re.compile(f"/quarantine/{club}\\?check=validity.status"))
    page.get_by_role("link", name="Put right").click()
    looked_at(page, "quarantine-row", screenshots)
    page.get_by_label("status", exact=True).fill("active")
    page.get_by_label("fee", exact=True).fill("12345678901234567890.123")
    page.get_by_label("Why?").first.fill("a slip")
    page.get_by_role("button", name="Put right and reprocess").click()
    expect(page).to_have_url(re.compile("/runs/"))
    stack.atlas.until(
        lambda: not stack.atlas.rows("SELECT 1 FROM pipeline.run WHERE finished_at IS NULL")
    )
    (row,) = stack.atlas.rows(f"SELECT status, fee::text FROM chart.{club} WHERE id = 7")
    assert tuple(row) == ("active", "12345678901234567890.123")
    user.go(f"/quarantine/{club}")
    expect(page.get_by_text("No row is set aside here")).to_be_visible()


def test_the_history_of_a_key(user: Watched, club: str) -> None:
    user.go(f"/catalog/navigate/{club}/history")
    user.page.get_by_label("id", exact=True).fill("3")
    user.page.get_by_role("button", name="Show its versions").click()
    expect(user.page.locator(".timeline li")).to_have_count(1)
    _clean(user.page)


def test_what_belongs_together_is_lit_up(user: Watched, club: str) -> None:
    page = user.page
    user.go(f"/lineage/{club}")
    svg = page.locator("svg.graph")
    page.locator("svg .node").nth(0).locator(".port", has_text="email").hover()
    expect(svg).to_have_class(re.compile("lit-up"))
    assert page.locator("svg .edge.lit").count() == 3
    width = int(svg.get_attribute("width") or 0)
    page.get_by_role("button", name="Larger").click()
    assert int(svg.get_attribute("width") or 0) > width
    # A line of a column leads to that column alone.
    page.locator("svg a", has_text="email").last.click()
    expect(page).to_have_url(re.compile("column="))
    _clean(page)


def test_a_verdict_is_overridden_and_a_policy_previewed(user: Watched, club: str) -> None:
    page = user.page
    user.go("/personal-data")
    page.get_by_label("Filter these datasets").fill(club)
    expect(page.locator("#map tbody tr:visible")).to_have_count(1)
    page.get_by_label("Filter these datasets").fill("nothing of the kind")
    expect(page.locator("#map tbody tr:visible")).to_have_count(0)
    user.go(f"/personal-data/{club}")
    page.get_by_role("link", name="say otherwise").first.click()
    assert page.get_by_label("Column, or a place in it").input_value() == "email"
    page.get_by_label("What you say").select_option("operator")
    page.locator("#say-operator").select_option("tokenize")
    page.locator("#say-why").fill("they are joined by it")
    page.get_by_role("button", name="Say it").click()
    expect(page.get_by_role("heading", name="What people say")).to_be_visible()
    _clean(page)
    user.go("/personal-data/policies/new")
    page.locator("input[name=name]").fill("tokens")
    page.get_by_label("Preview on").select_option(CLUB)
    page.get_by_label("Columns").fill("status: redact")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="What it would do")).to_be_visible()
    expect(page.locator("#preview .op-redact")).to_be_visible()
    _clean(page)


def test_a_person_is_found_and_erased(
    user: Watched, stack: Stack, club: str, screenshots: Path
) -> None:
    page = user.page
    user.go("/personal-data/person")
    page.get_by_label("What the person is known by").fill(JANE)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", name="Found")).to_be_visible()
    assert "jane" not in page.url
    _clean(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON").click()
    assert JANE in Path(download.value.path()).read_text()
    page.locator("#confirm").fill("erase")
    page.get_by_role("button", name="Erase for good").click()
    expect(page).to_have_url(re.compile("/personal-data/erasures/"))
    looked_at(page, "erasure", screenshots)
    (found,) = stack.atlas.rows(f"SELECT count(*) FROM chart.{club} WHERE id = 1")
    assert found[0] == 0
