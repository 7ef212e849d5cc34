"""A running Atlas, a browser beside it, and somebody who has logged in: for the whole folder."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests.e2e.conftest import Atlas

NAME = "ada"
PASSWORD = "correct horse battery"
SHOP = "shop"
"""The connection that the wizard makes."""
CLUB = "club"
"""The connection of a source of ours."""
JANE = "jane.roe@example.org"
_EVIL = "<script>alert(1)</script>"
_SOURCE = Path(__file__).resolve().parents[1] / "connectors" / "scripted.py"
# The machine may have much else to do; what clicks and loads waits as long.
expect.set_options(timeout=60_000)

WIDTHS = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program."""
    path = Path(os.environ.get("TEST_CHROMIUM", "/usr/bin/chromium"))
    if not path.exists():
        pytest.fail(
            f"there is no {path}: apt-get install chromium, or set TEST_CHROMIUM to where it is"
        )
    return path


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are kept."""
    given = os.environ.get("TEST_SCREENSHOTS")
    path = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    path.mkdir(parents=True, exist_ok=True)
    return path


@dataclass
class Stack:
    """A running Atlas, and the link that makes its first user."""

    atlas: Atlas
    url: str
    setup: str


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this folder's own: nobody has ever logged in to it."""
    atlas = Atlas(
        tmp_path_factory.mktemp("atlas"),
        {
            "ATLAS_RELAY_INTERVAL": "2",
            "ATLAS_RECOVERY_INTERVAL": "2",
            "ATLAS_SHUTDOWN_SECONDS": "4",
            "ATLAS_PROBE_INTERVAL": "60",
        },
    )
    started = atlas.run("up", "--detach")
    try:
        link = re.search(r"(http://\S+/setup\?\S+)", started.stdout + started.stderr)
        assert link, started.stdout + started.stderr
        yield Stack(atlas, atlas.status["api_url"], link[1])
    finally:
        atlas.run("down")


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    """Chromium, headless."""
    with sync_playwright() as playwright:
        # As root in a container it has no sandbox of its own.
        found = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


@dataclass
class Watched:
    """A page that is watched: what it complained of, and what it loaded from where."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    loaded: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Listen from the first request on."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, url: str) -> None:
        if (
            not url.startswith(("data:", "blob:"))
            and urlsplit(url).netloc != urlsplit(self.url).netloc
        ):
            self.strangers.append(url)

    def go(self, path: str) -> None:
        """Go to a page of Atlas, and see that it is one."""
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}\n{answer.text()}"

    def checked(self) -> None:
        """See that nothing went wrong in the browser so far."""
        assert self.complaints == []
        assert self.strangers == []


_PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def themed(page: Page, name: str, screenshots: Path, *, whole: bool = True) -> None:
    """A page as it is now, light and dark: no wider than the window, nothing that axe finds, and a
    picture of each. ``whole``: with the sidebar, which all pages have."""
    page.emulate_media(reduced_motion="reduce")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        page.evaluate(_PAINTED)
        # Who wants no motion gets the other theme at once: no colour is judged on its way.
        assert page.evaluate("getComputedStyle(document.body).transitionProperty") == "none"
        picture = screenshots / f"{name}-{theme}.jpg"
        page.screenshot(path=picture, type="jpeg", quality=80, full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{page.url} is {wide} pixels wider than the window"
        options: dict[str, object] = {"resultTypes": ["violations"]}
        if theme == "dark":
            # Only the colours are others than of the light.
            options["runOnly"] = ["color-contrast"]
        context = None if whole else {"exclude": [[".sidebar"], [".topbar"]]}
        found = Axe().run(page, context, options)
        assert found.violations_count == 0, found.generate_report()


def looked_at(page: Page, name: str, screenshots: Path) -> None:
    """:func:`themed` at a desk and on a phone, for a page that comes of what was done before."""
    before = page.viewport_size
    for width, (across, down) in WIDTHS.items():
        page.set_viewport_size({"width": across, "height": down})
        themed(page, f"{name}-{width}", screenshots)
    page.emulate_media(color_scheme="light")
    if before is not None:
        page.set_viewport_size(before)


def watched(context: BrowserContext, stack: Stack) -> Watched:
    """A new page of ``context``."""
    page = context.new_page()
    page.set_default_timeout(60_000)
    return Watched(page, stack.url)


@pytest.fixture(scope="session")
def session(browser: Browser, stack: Stack, screenshots: Path) -> Path:
    """The cookies of the first user, who was made with the link that `atlas up` printed."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        seen = watched(context, stack)
        page = seen.page
        page.goto(stack.setup)
        looked_at(page, "setup", screenshots)
        page.get_by_label("Name").fill(NAME)
        page.get_by_label("Password", exact=False).first.fill(PASSWORD)
        page.get_by_label("Once more").fill(PASSWORD)
        page.get_by_role("button", name="Make the user").click()
        if "/login" in page.url:
            page.get_by_label("Name").fill(NAME)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
        page.wait_for_url(stack.url + "/")
        seen.checked()
        kept = screenshots / ".session.json"
        context.storage_state(path=kept)
    return kept


@pytest.fixture
def user(browser: Browser, stack: Stack, session: Path) -> Iterator[Watched]:
    """A page of somebody who is logged in, at a desk; complaints fail the test."""
    with browser.new_context(
        viewport={"width": 1280, "height": 800},
        storage_state=session,
        timezone_id="Europe/Copenhagen",
    ) as context:
        seen = watched(context, stack)
        yield seen
        seen.checked()


@pytest.fixture(scope="session")
def shop_run(browser: Browser, stack: Stack, session: Path, screenshots: Path) -> str:
    """The path of the first run of a connection that the wizard made, once it has ended."""
    with browser.new_context(
        viewport={"width": 1280, "height": 800}, storage_state=session
    ) as context:
        seen = watched(context, stack)
        page = seen.page

        def picture(name: str) -> None:
            page.screenshot(path=screenshots / f"wizard-{name}.png", full_page=True)

        seen.go("/")
        # What the overview says first, or once there are others.
        page.get_by_role("link", name=re.compile("Choose a connector|New connection")).click()
        page.get_by_label("Search").fill("faker")
        page.get_by_role("button", name="Search", exact=True).click()
        picture("choose")
        page.get_by_role("button", name="Sample Data (Faker)").click()
        # It is not installed: that takes a while, and the form comes by itself.
        name = page.get_by_label("Name of the connection")
        expect(name).to_be_visible(timeout=400_000)
        name.fill(SHOP)
        page.get_by_label("Count").fill("120")
        page.get_by_label("Seed").fill("42")
        page.get_by_label("Always Updated").uncheck()
        picture("source")
        page.get_by_role("button", name="Save and check").click()
        following = page.get_by_role("link", name="Choose streams")
        expect(following).to_be_visible(timeout=300_000)
        picture("check")
        following.click()
        page.get_by_role("checkbox", name="purchases").uncheck()
        picture("streams")
        page.get_by_role("button", name="Set rules").click()
        page.get_by_label("By the calendar").check()
        page.get_by_label("Cron").fill("30 5 * * *")
        picture("rules")
        page.get_by_role("button", name="Review").click()
        picture("review")
        page.get_by_role("button", name="Create and sync now").click()
        expect(page.get_by_text("its first sync was started")).to_be_visible()
        picture("run")
        # Nobody reloads: the page hears of it.
        status = page.locator(".tiles .badge").first
        expect(status).to_have_text("succeeded", timeout=300_000)
        expect(page.locator(".log")).to_contain_text("the run has ended")
        seen.checked()
        return page.url.removeprefix(stack.url)


@pytest.fixture(scope="session")
def club(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The dataset of a source of ours, one of whose rows has a status that it may not have."""
    folder = tmp_path_factory.mktemp("club")
    properties = {
        "id": {"type": "integer"},
        "email": {"type": "string"},
        "status": {"type": "string", "enum": ["active", "closed"]},
        "fee": {"type": "number"},
        _EVIL: {"type": "string"},
    }
    people = [JANE, *(f"someone{n}@example.org" for n in range(2, 30))]
    records = [
        {
            "id": n,
            "email": mail,
            "status": "active" if n != 7 else "actve",
            "fee": 1.5,
            _EVIL: _EVIL,
        }
        for n, mail in enumerate(people, 1)
    ]
    stream = {
        "schema": {"type": "object", "properties": properties},
        "primary_key": [["id"]],
        "records": records,
    }
    source = folder / "source.py"
    source.write_text(f"#!{sys.executable}\n" + _SOURCE.read_text().partition("\n")[2])
    source.chmod(0o755)
    config = {"streams": {"members": stream}}
    stack.atlas.apply({"name": CLUB, "executable": str(source), "config": config})
    stack.atlas.sync(CLUB)
    return f"{CLUB}_members"
