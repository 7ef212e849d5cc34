"""What people come for, in a real browser: log in, connect a source, run it, look at it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from atlas.local.children import QUEUES
from atlas.model.stage import Stage

from .conftest import NAME, PASSWORD, SHOP, Stack, Watched, watched


def test_nobody_gets_in_without_a_password(browser: Browser, stack: Stack, session: Path) -> None:
    with browser.new_context() as context:
        page = watched(context, stack).page
        page.goto(stack.url + "/runs")
        assert page.url == stack.url + "/login?next=%2Fruns"
        page.get_by_label("Name").fill(NAME)
        page.get_by_label("Password").fill(PASSWORD + "!")
        page.get_by_role("button", name="Log in").click()
        assert "/login" in page.url
        page.get_by_label("Name").fill(NAME)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(stack.url + "/runs")


def test_a_connection_made_by_the_wizard_runs(user: Watched, shop_run: str) -> None:
    user.go(shop_run)
    row = user.page.get_by_role("row", name="users")
    expect(row).to_contain_text("120")
    assert user.page.get_by_role("row", name="purchases").count() == 0
    user.go(f"/connections/{SHOP}")
    expect(user.page.locator("main")).to_contain_text("30 5 * * *, ")


def test_a_run_leads_to_its_rows(user: Watched, shop_run: str) -> None:
    user.go(shop_run)
    user.page.get_by_role("row", name="users").get_by_role("link", name="rows").click()
    expect(user.page).to_have_url(re.compile("/catalog/chart/shop_users"))


def test_a_second_sync_is_compared_and_a_run_is_cancelled(user: Watched, shop_run: str) -> None:
    user.go(f"/connections/{SHOP}")
    user.page.get_by_role("button", name="Sync now").click()
    user.page.get_by_role("button", name="Cancel").click()
    expect(user.page.get_by_text("The run is cancelled")).to_be_visible()
    expect(user.page.get_by_role("heading", name="Beside the run before")).to_be_visible()
    user.page.get_by_role("button", name="Retry").click()
    status = user.page.locator(".tiles .badge").first
    expect(status).to_have_text("succeeded", timeout=300_000)


def test_a_schedule_is_edited(user: Watched, shop_run: str) -> None:
    user.go(f"/connections/{SHOP}")
    user.page.get_by_role("button", name="Edit").click()
    user.page.get_by_role("link", name="Rules").click()
    user.page.get_by_label("At an interval").check()
    user.page.get_by_label("Every", exact=True).fill("soon")
    user.page.get_by_role("button", name="Review").click()
    expect(user.page.get_by_text("must be at least 10s")).to_be_visible()
    user.page.get_by_label("Every", exact=True).fill("12h")
    user.page.get_by_role("button", name="Review").click()
    user.page.get_by_role("button", name="Save the changes").click()
    expect(user.page.locator("main")).to_contain_text("every 12h")
    # The page that said what was wrong is no success to a browser: it says so.
    assert all("422" in each for each in user.complaints)
    user.complaints.clear()


def test_a_table_sorts_and_filters(user: Watched, shop_run: str) -> None:
    user.go("/connectors?q=source-a")
    title = user.page.locator("#connectors thead button").first
    title.click()
    title.click()
    names = user.page.locator("#connectors tbody .name").all_inner_texts()
    assert names == sorted(names, key=str.lower, reverse=True)
    assert len(names) > 5
    user.go("/connections")
    user.page.get_by_label("Filter by name or connector").fill("nothing of the kind")
    expect(user.page.locator("#connections tbody tr:visible")).to_have_count(0)


def test_the_theme_is_kept(user: Watched, shop_run: str) -> None:
    user.go("/")
    user.page.get_by_role("button", name="Dark").click()
    background = "getComputedStyle(document.body).backgroundColor"
    dark = user.page.evaluate(background)
    user.page.reload()
    assert user.page.evaluate(background) == dark
    user.page.get_by_role("button", name="Light").click()
    assert user.page.evaluate(background) != dark


def test_it_reads_without_javascript(
    browser: Browser, stack: Stack, session: Path, shop_run: str
) -> None:
    with browser.new_context(
        java_script_enabled=False, storage_state=session, viewport={"width": 390, "height": 844}
    ) as context:
        page = context.new_page()
        for path in ("/", "/connectors", "/connections", f"/connections/{SHOP}", "/runs", shop_run):
            answer = page.goto(stack.url + path)
            assert answer is not None
            assert answer.status == 200
            expect(page.locator("h1")).to_be_visible()
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Connections", exact=True).click()
        expect(page).to_have_url(re.compile("/connections$"))


def test_flower_shows_workers_queues_and_tasks_by_their_names(
    browser: Browser, stack: Stack, shop_run: str
) -> None:
    """It listens on this machine only; what it shows are names and ids."""
    flower = stack.atlas.status["flower_url"]
    assert flower.startswith("http://127.0.0.1:")
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(flower + "/workers")
        for name in QUEUES:
            expect(page.locator("#workers-table")).to_contain_text(f"{name}@")

        def tasks(name: str) -> list[str]:
            # By its name: of all there are it shows the newest few only.
            with page.expect_response("**/tasks/datatable") as answer:
                page.goto(f"{flower}/tasks?name={name}")
            expect(page.locator("#tasks-table_info")).to_be_visible()
            return [each["name"] for each in answer.value.json()["data"]]

        def queues() -> str:
            # It asks the workers once; who did not answer in time is asked again.
            page.goto(flower + "/workers?refresh=1")
            page.goto(flower + "/broker")
            return page.locator("body").inner_text()

        # Neither of these pages asks anew by itself.
        for stage in Stage:
            _until(lambda name=f"atlas.{stage}": name in tasks(name))
            expect(page.locator("#tasks-table tbody")).to_contain_text(f"atlas.{stage}")
        assert tasks("atlas.tick") == []
        _until(lambda: all(queue in shown for shown in [queues()] for queue in QUEUES))


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not come to be in a minute"
