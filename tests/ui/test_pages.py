"""Every page, at a desk and on a phone, light and dark: no complaint, nothing of another host,
nothing that axe finds, no more bytes than are good for anybody; and a picture of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Response

from atlas.web.ui import rooms

from .conftest import THEMES, WIDTHS, Stack, Watched, watched

MOST_BYTES = 200_000

FILLED = {
    "/connections/<name>": "/connections/shop",
    "/connections/<name>/delete": "/connections/shop/delete",
    "/connections/<name>/state": "/connections/shop/state",
    "/schedules/<name>": "/schedules/shop",
    "/connectors/<name>": "/connectors/source-faker",
    "/runs/<run_id>": "RUN",
    "/runs/<run_id>/log": "RUN/log",
    "/catalog/<layer>/<table>": "/catalog/chart/shop_users",
    "/catalog/<layer>/<table>/edit": "/catalog/chart/shop_users/edit",
    "/catalog/<layer>/<table>/sample": "/catalog/chart/shop_users/sample",
    "/catalog/chart/<dataset>/profile": "/catalog/chart/shop_users/profile",
    "/catalog/navigate/<dataset>/history": "/catalog/navigate/shop_users/history",
    "/quality/<dataset>": "/quality/shop_users",
    "/quality/<dataset>/suggestions": "/quality/shop_users/suggestions",
    "/quality/runs/<run_id>": "/qualityRUN",
    "/quarantine/<dataset>": "/quarantine/shop_users",
    "/lineage/<node>": "/lineage/shop_users",
    "/lineage/runs/<run_id>": "/lineageRUN",
    "/settings/webhooks/<name>": "/settings/webhooks/pager",
    "/personal-data/<dataset>": "/personal-data/shop_users",
    "/personal-data/<dataset>/changes": "/personal-data/shop_users/changes",
    "/personal-data/policies/<policy>": "/personal-data/policies/default",
}
"""Pages of one thing, by an example of it."""

ELSEWHERE = re.compile(
    r"^/(drafts/|login|setup$|quarantine/<dataset>/|personal-data/erasures/|.*/state/export$)"
)
"""Pages that test_flow.py and test_governance.py go through, for they come of what was done before;
and a file, which is no page."""


def _paths() -> list[str]:
    asked = [page for page in rooms.PAGES if "GET" in page.methods]
    return sorted({page.path for page in asked if not ELSEWHERE.match(page.path)})


@pytest.fixture(scope="module")
def settled(stack: Stack, shop_run: str) -> str:
    """The path of a run that has ended; nothing is at work any more."""
    stack.atlas.until(
        lambda: not stack.atlas.rows("SELECT 1 FROM pipeline.run WHERE finished_at IS NULL")
    )
    return shop_run


@pytest.fixture(scope="module", params=[(w, t) for w in WIDTHS for t in THEMES], ids="-".join)
def looked(
    request: pytest.FixtureRequest, browser: Browser, stack: Stack, session: Path
) -> Iterator[tuple[Watched, str]]:
    """A page in a width and a theme."""
    width, theme = request.param
    size = WIDTHS[width]
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        storage_state=session,
        reduced_motion="reduce",
        timezone_id="Europe/Copenhagen",
        is_mobile=width == "phone",
        has_touch=width == "phone",
    ) as context:
        yield watched(context, stack), f"{width}-{theme}"


@pytest.mark.parametrize("path", _paths())
def test_page(looked: tuple[Watched, str], path: str, settled: str, screenshots: Path) -> None:
    seen, kind = looked
    # What another page complained of is not this one's.
    seen.complaints.clear()
    seen.strangers.clear()
    filled = FILLED.get(path, path).replace("RUN", settled)
    assert "<" not in filled, f"say in FILLED which {path} there is"
    got: list[Response] = []
    page = seen.page

    def heard(response: Response) -> None:
        got.append(response)

    page.on("response", heard)
    seen.go(filled)
    page.wait_for_load_state("load")
    page.remove_listener("response", heard)
    name = filled.replace(settled, "/run").strip("/").replace("/", "_") or "overview"
    page.screenshot(path=screenshots / f"{name}-{kind}.png", full_page=True)
    seen.checked()
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{filled} is {wide} pixels wider than the window"
    if kind == "desktop-light":
        sizes = {each.url: len(each.body()) for each in got if each.ok and not _streams(each)}
        assert sum(sizes.values()) < MOST_BYTES, sizes
    if kind == "phone-dark":  # its colours are those of the desk, its structure the light phone's
        return
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def _streams(response: Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")
