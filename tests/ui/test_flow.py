"""What people come for, in a real browser: log in, connect a source, run it, look at it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import Browser, Page, expect

from atlas.local.children import QUEUES
from atlas.model.stage import Stage

from .conftest import NAME, PASSWORD, SHOP, Stack, Watched, looked_at, watched


def test_nobody_gets_in_without_a_password(
    browser: Browser, stack: Stack, session: Path, screenshots: Path
) -> None:
    with browser.new_context() as context:
        page = watched(context, stack).page
        page.goto(stack.url + "/runs")
        assert page.url == stack.url + "/login?next=%2Fruns"
        looked_at(page, "login", screenshots)
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


def test_a_run_leads_to_its_data_and_what_is_known_of_them(user: Watched, shop_run: str) -> None:
    page = user.page
    for link, path, words in (
        ("rows", "/catalog/chart/shop_users", "academic_degree"),
        ("quality", "/quality/shop_users", "completeness"),
        ("personal", "/personal-data/shop_users", "email address"),
        ("lineage", "/lineage/", "shop_users"),
    ):
        user.go(shop_run)
        row = page.locator("#streams").get_by_role("row", name="users")
        row.get_by_role("link", name=link).click()
        expect(page).to_have_url(re.compile(path))
        expect(page.locator("main")).to_contain_text(words)


def test_a_second_sync_is_compared_and_a_run_is_cancelled(user: Watched, shop_run: str) -> None:
    user.go(f"/connections/{SHOP}")
    user.page.get_by_role("button", name="Sync now").click()
    user.page.get_by_role("button", name="Cancel").click()
    expect(user.page.get_by_text("The run is cancelled")).to_be_visible()
    expect(user.page.get_by_role("heading", name="Beside the run before")).to_be_visible()
    user.page.get_by_role("button", name="Retry").click()
    # What somebody does while it goes on holds when parts of the page are replaced.
    attempts = user.page.locator("#every-attempt")
    attempts.locator("summary").click()
    title = user.page.locator("#streams thead button").first
    title.click()
    title.click()
    status = user.page.locator(".tiles .badge").first
    expect(status).to_have_text("succeeded", timeout=300_000)
    expect(attempts.get_by_role("row", name="lineage").first).to_be_visible()
    took = user.page.locator("#compared").get_by_role("row", name="Took")
    expect(took.get_by_role("cell").nth(1)).to_have_text(re.compile(r"\d"))
    order = "#streams th[aria-sort=descending] button"
    expect(user.page.locator(order)).to_have_count(1)
    expect(user.page.locator("#streams tbody .name")).to_have_text(["users", "products"])
    expect(title).to_be_focused()
    expect(user.page.locator(".log")).to_contain_text("the run has ended")
    _times_are_those_of_copenhagen(user.page)
    user.go(f"/runs?connection={SHOP}")
    title = user.page.get_by_role("button", name="Connection", exact=True)
    title.click()
    title.click()
    # As the page does by itself every few seconds while something runs.
    user.page.evaluate("import('/static/js/live.js').then((live) => live.refresh())")
    expect(user.page.locator("#runs th[aria-sort=descending] button")).to_have_count(1)


def _times_are_those_of_copenhagen(page: Page) -> None:
    """In the text; the exact ones stand in the title."""
    found = page.evaluate(
        "[...document.querySelectorAll('main time')].map("
        "(each) => [each.dateTime, each.dataset.time, each.textContent, each.title])"
    )
    formats = {"clock": "%H:%M:%S", "second": "%-I:%M:%S", "minute": "%-I:%M"}
    zone = ZoneInfo("Europe/Copenhagen")
    seen = set()
    for exact, how, text, title in found:
        seen.add(how)
        then = datetime.fromisoformat(exact)
        if how in formats:
            assert f"{then.astimezone(zone):{formats[how]}}" in text, (exact, how, text)
        assert f"{then.astimezone(UTC):%H:%M:%S}" in title.splitlines()[0], (exact, title)
        assert title.endswith("Europe/Copenhagen"), title
    assert seen >= {"clock", "second", "relative"}


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
    user.go("/schedules")
    user.page.get_by_label("Filter these schedules").fill(SHOP)
    expect(user.page.locator("#schedules tbody tr:visible")).to_have_count(1)
    user.go("/settings/users")
    # Every role can be chosen of a user; one has it.
    user.page.get_by_label("Filter by name or role").fill("viewer")
    expect(user.page.locator("#users tbody tr:visible")).to_have_count(0)
    user.page.get_by_label("Filter by name or role").fill("admin")
    expect(user.page.locator("#users tbody tr:visible")).to_have_count(1)


def test_a_form_is_gone_through_with_the_keyboard_alone(user: Watched) -> None:
    page = user.page
    user.go("/settings/keys")
    page.keyboard.press("Tab")
    assert _focus(page) == "Skip to the content"
    page.keyboard.press("Enter")
    _tab_to(page, "name")
    page.keyboard.type("made by keyboard")
    _tab_to(page, "role")
    page.keyboard.press("o")
    assert page.get_by_label("Role", exact=True).input_value() == "operator"
    _tab_to(page, "days")
    page.keyboard.type("30")
    _tab_to(page, "Make the key")
    page.keyboard.press("Enter")
    expect(page.get_by_text("It is shown this once")).to_be_visible()
    made = page.locator("#keys").get_by_role("row", name="made by keyboard")
    expect(made).to_contain_text("operator")
    page.get_by_label("Filter by name or role").fill("by keyboard")
    expect(page.locator("#keys tbody tr:visible")).to_have_count(1)
    page.get_by_label("Filter by name or role").fill("nothing of the kind")
    expect(page.locator("#keys tbody tr:visible")).to_have_count(0)


def _focus(page: Page) -> str:
    """Where the keyboard is, a field by its name; it is to be seen there."""
    where = page.evaluate(
        """() => {
          const it = document.activeElement;
          const style = getComputedStyle(it);
          const box = it.getBoundingClientRect();
          const marked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
          const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0;
          const name = it.getAttribute("name") ?? it.textContent.trim();
          return { name, seen: marked && inside && box.width > 1 && box.height > 1 };
        }"""
    )
    assert where["seen"], f"nobody sees that the keyboard is at {where['name']!r}"
    return str(where["name"])


def _tab_to(page: Page, name: str, most: int = 40) -> None:
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        passed.append(_focus(page))
        if passed[-1] == name:
            return
    raise AssertionError(f"{most} times Tab do not reach {name}: {passed}")


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
        users = f"{SHOP}_users"
        for path, words in (
            ("/", "Rows today"),
            ("/connectors", "Installed"),
            ("/connections", SHOP),
            (f"/connections/{SHOP}", "users"),
            ("/runs", SHOP),
            (shop_run, "the run has ended"),
            ("/schedules", SHOP),
            ("/catalog", users),
            (f"/catalog/chart/{users}", "email"),
            (f"/catalog/chart/{users}/sample", "academic_degree"),
            (f"/quality/{users}", "completeness"),
            (f"/lineage/{users}", "email"),
            ("/personal-data", "email address"),
            (f"/personal-data/{users}", "email"),
            (f"/quarantine/{users}", "No row is set aside here"),
            ("/audit", NAME),
        ):
            answer = page.goto(stack.url + path)
            assert answer is not None
            assert answer.status == 200, path
            expect(page.locator("h1")).to_be_visible()
            expect(
                page.locator("main").get_by_text(words).locator("visible=true").first
            ).to_be_visible()
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
