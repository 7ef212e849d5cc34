"""Every page, at a desk and on a phone, light and dark: no complaint, nothing of another host,
nothing that axe finds, no more bytes than are good for anybody; and a picture of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response, expect

from atlas.web.ui import rooms

from .conftest import CLUB, WIDTHS, Stack, Watched, themed, watched

MOST_BYTES = 200_000

FILLED = {
    "/connections/<name>": "/connections/club",
    "/connections/<name>/delete": "/connections/club/delete",
    "/connections/<name>/state": "/connections/club/state",
    "/schedules/<name>": "/schedules/club",
    # Every row is made alike: a few of them show what there is to see.
    "/connectors": "/connectors?q=postgres",
    "/connections/new": "/connections/new?q=postgres",
    "/connectors/<name>": "/connectors/source-files",
    "/drafts/<draft_id>/source": "DRAFT/source",
    "/drafts/<draft_id>/check": "DRAFT/check",
    "/drafts/<draft_id>/streams": "DRAFT/streams",
    "/drafts/<draft_id>/rules": "DRAFT/rules",
    "/drafts/<draft_id>/review": "DRAFT/review",
    "/runs/<run_id>": "RUN",
    "/runs/<run_id>/log": "RUN/log",
    "/catalog/<layer>/<table>": "/catalog/chart/club_members",
    "/catalog/<layer>/<table>/edit": "/catalog/chart/club_members/edit",
    "/catalog/<layer>/<table>/sample": "/catalog/chart/club_members/sample",
    "/catalog/chart/<dataset>/profile": "/catalog/chart/club_members/profile",
    "/catalog/navigate/<dataset>/history": "/catalog/navigate/club_members/history",
    "/quality/<dataset>": "/quality/club_members",
    "/quality/<dataset>/suggestions": "/quality/club_members/suggestions",
    "/quality/runs/<run_id>": "/qualityRUN",
    "/quarantine/<dataset>": "/quarantine/club_members",
    "/lineage/<node>": "/lineage/club_members",
    "/lineage/runs/<run_id>": "/lineageRUN",
    "/settings/webhooks": "/settings/webhooks?kind=email",
    "/settings/webhooks/<name>": "/settings/webhooks/team",
    "/personal-data/<dataset>": "/personal-data/club_members",
    "/personal-data/<dataset>/changes": "/personal-data/club_members/changes",
    "/personal-data/policies/<policy>": "/personal-data/policies/default",
}
"""Pages of one thing, by an example of it."""

ELSEWHERE = re.compile(
    r"^/(login|setup$|quarantine/<dataset>/|personal-data/erasures/|.*/state/export$)"
)
"""Pages that conftest.py, test_flow.py and test_governance.py go through and look at as well: they
come of what was done before. And a file, which is no page."""


def _paths() -> list[str]:
    asked = [page for page in rooms.PAGES if "GET" in page.methods]
    return sorted({page.path for page in asked if not ELSEWHERE.match(page.path)})


@pytest.fixture(scope="module")
def there(stack: Stack, club: str, browser: Browser, session: Path) -> dict[str, str]:
    """The paths of a run that has ended and of a connection in the making; nothing is at work."""
    hook = ("pager", "--url", "https://hooks.example.org/atlas", "--event", "run.failed")
    stack.atlas.run("webhooks", "create", *hook)
    slack = ("team", "--kind", "slack", "--event", "run.failed", "--quiet", "22:00-07:00")
    stack.atlas.run("webhooks", "create", *slack, stdin="https://hooks.slack.example.org/x\n")
    with browser.new_context(storage_state=session) as context:
        seen = watched(context, stack)
        page = seen.page
        seen.go("/files")
        content = b"id,email\n1,jane.roe@example.org\n"
        page.get_by_label("File").set_input_files(
            {"name": "my orders.csv", "mimeType": "text/csv", "buffer": content}
        )
        page.get_by_role("button", name="Send it").click()
        row = page.get_by_role("row", name="my_orders.csv")
        expect(row).to_contain_text("32 B")
        path = row.get_by_role("code").inner_text()
        seen.go("/connections/new?q=source-files")
        page.locator("button[value='source-files']").click()
        page.get_by_label("Name of the connection").fill("drop")
        page.get_by_label("Path").first.fill(path)
        page.get_by_role("button", name="Save and check").click()
        following = page.get_by_role("link", name="Choose streams")
        expect(following).to_be_visible(timeout=300_000)
        draft = page.url.removeprefix(stack.url).removesuffix("/check")
    stack.atlas.until(
        lambda: not stack.atlas.rows("SELECT 1 FROM pipeline.run WHERE finished_at IS NULL")
    )
    (first,) = stack.atlas.rows(
        "SELECT id FROM pipeline.run WHERE connection = :name ORDER BY seq LIMIT 1", name=CLUB
    )
    run = first[0]
    return {"RUN": f"/runs/{run}", "DRAFT": draft}


@pytest.fixture(scope="module", params=WIDTHS)
def looked(
    request: pytest.FixtureRequest, browser: Browser, stack: Stack, session: Path
) -> Iterator[tuple[Watched, str]]:
    """A page in a width."""
    width = request.param
    size = WIDTHS[width]
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        storage_state=session,
        reduced_motion="reduce",
        timezone_id="Europe/Copenhagen",
        is_mobile=width == "phone",
        has_touch=width == "phone",
    ) as context:
        yield watched(context, stack), width


@pytest.mark.parametrize("path", _paths())
def test_page(
    looked: tuple[Watched, str], path: str, there: dict[str, str], screenshots: Path
) -> None:
    seen, width = looked
    page = seen.page
    # What another page complained of is not this one's, nor is what it still asks for.
    page.goto("about:blank")
    seen.complaints.clear()
    seen.strangers.clear()
    filled = FILLED.get(path, path)
    name = filled.partition("?")[0].replace("RUN", "/run").lower().strip("/")
    name = name.replace("//", "/").replace("/", "_") or "overview"
    for word, its in there.items():
        filled = filled.replace(word, its)
    assert "<" not in filled, f"say in FILLED which {path} there is"
    got: list[Response] = []

    def heard(response: Response) -> None:
        got.append(response)

    page.emulate_media(color_scheme="light")
    page.on("response", heard)
    seen.go(filled)
    page.wait_for_load_state("load")
    page.remove_listener("response", heard)
    if width == "desktop":
        sizes = {each.url: len(each.body()) for each in got if each.ok and not _streams(each)}
        if "?" in filled:
            whole = page.request.get(seen.url + filled.partition("?")[0])
            sizes[seen.url + filled] = len(whole.body())
        assert sum(sizes.values()) < MOST_BYTES, sizes
    themed(page, f"{name}-{width}", screenshots, whole=path == "/")
    seen.checked()


def _streams(response: Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")
