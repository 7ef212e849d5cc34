"""The page of the interface, in a browser: what it lists can be tried there, and answers."""

from __future__ import annotations

import json

from playwright.sync_api import Browser, expect

from atlas.web.app import operations

from .conftest import Stack, watched


def test_an_operation_is_tried_with_a_key(browser: Browser, stack: Stack) -> None:
    """By a stranger, for the page is open to everybody; what it asks is not."""
    made = stack.atlas.json("keys", "create", "--name", "tries", "--role", "viewer")
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        seen = watched(context, stack)
        page = seen.page
        seen.go("/api/docs")
        expect(page.locator(".opblock")).to_have_count(len(operations()), timeout=60_000)
        page.get_by_role("button", name="Authorize").click()
        box = page.locator(".auth-container", has_text="bearer")
        box.get_by_role("textbox").fill(made["key"])
        box.get_by_role("button", name="Apply credentials").click()
        page.locator(".modal-ux").get_by_role("button", name="Close").first.click()
        asked = page.locator(".opblock", has=page.locator('[data-path="/api/v1/runs"]'))
        asked.first.locator(".opblock-summary-control").click()
        asked.first.get_by_role("button", name="Try it out").click()
        asked.first.get_by_role("button", name="Execute").click()
        answer = asked.first.locator(".live-responses-table")
        expect(answer.locator(".response-col_status").last).to_contain_text("200", timeout=60_000)
        told = json.loads(answer.locator("pre code").first.inner_text())
        assert set(told) == {"items", "next_cursor"}
        seen.checked()
