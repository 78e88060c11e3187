"""What is there on every page: the list of everything by its name, and the live tail."""

from __future__ import annotations

import asyncio
import json

import pytest
from playwright.async_api import Page, expect
from tests.console import axe
from tests.console.stage import Pages, Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _opened(page: Page) -> None:
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("combobox")).to_be_focused()


async def test_pages_threads_and_actions_are_found_by_their_names(pages: Pages, stage: Stage) -> None:
    thread = await asyncio.to_thread(stage.begin, "Palette of colours", "hello")
    await asyncio.to_thread(stage.rests, thread)
    page = await pages.open("/inbox", bypass=True)
    await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    await _opened(page)
    await page.keyboard.type("PALETTE of")
    found = page.get_by_role("option", name="Palette of colours")
    await expect(found).to_have_attribute("aria-selected", "true")
    assert await axe.violations(page) == []
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Palette of colours")).to_be_visible()
    await expect(page.get_by_role("listbox")).to_have_count(0)
    # What can be done with the open thread; also while somebody writes, and nothing is done before it is chosen.
    await page.get_by_label("Say something").focus()
    await _opened(page)
    await page.keyboard.type("stop until")
    await expect(page.get_by_role("option", name="Stop until it is resumed")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.locator(".head .state")).to_contain_text("stopped")
    await page.keyboard.press("Control+k")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("listbox")).to_have_count(0)
    await _opened(page)
    await page.keyboard.type("tools")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Tools")).to_be_visible()


async def test_the_tail_shows_what_happens_holds_it_and_copies_it(pages: Pages, stage: Stage) -> None:
    page = await pages.open("/tools", bypass=True)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await expect(page.get_by_role("heading", name="Tools")).to_be_visible()
    async with page.expect_response(lambda answer: answer.url.split("?")[0].endswith("/v1/events")):
        await page.keyboard.press("~")
    drawer = page.get_by_role("region", name="Live tail")
    await expect(drawer).to_be_visible()
    first = await asyncio.to_thread(stage.begin, "Tailed", "hello")
    events = drawer.locator("details")
    await expect(events.filter(has_text=first[:20]).filter(has_text="entry").first).to_be_visible()
    assert await axe.violations(page) == []
    await drawer.get_by_label("Filter the events").fill(first)
    await drawer.get_by_role("button", name="Pause").click()
    held = await asyncio.to_thread(stage.begin, "Held back", "hello")
    await expect(drawer.get_by_role("status")).to_contain_text("more wait")
    await drawer.get_by_label("Filter the events").fill(held)
    await expect(drawer.get_by_text("No event has these words.")).to_be_visible()
    await drawer.get_by_role("button", name="Go on").click()
    await expect(events.first).to_contain_text(held[:20])
    await asyncio.to_thread(stage.rests, held)
    await drawer.get_by_role("button", name="Copy as JSON").click()
    await expect(page.get_by_text("events are copied.")).to_be_visible()
    copied = json.loads(await page.evaluate("navigator.clipboard.readText()"))
    assert {event["data"]["thread"] for event in copied} == {held} and all(event["kind"] for event in copied)
    await page.keyboard.press("Escape")
    await expect(drawer).to_have_count(0)
