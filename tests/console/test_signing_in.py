"""The way in: a code in the address, once; afterwards a session, until it ends."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect
from tests.console.stage import Pages, Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_code_leaves_the_address_and_opens_the_console(pages: Pages) -> None:
    page = await pages.open("/inbox", by_code=True)
    await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    assert await page.evaluate("location.hash") == ""
    assert "code" not in await page.evaluate("JSON.stringify(localStorage)")
    assert not any("#" in request for request in pages.of(page).requests[1:])


async def test_a_session_outlives_the_page_and_is_shared_by_its_tabs(pages: Pages, stage: Stage) -> None:
    page = await pages.open("/", by_code=True)
    await expect(page.get_by_role("link", name="Inbox")).to_be_visible()
    other = await pages.another(pages.contexts[-1])
    await other.goto(f"{stage.address}/tools")
    await expect(other.get_by_role("heading", name="Tools")).to_be_visible()


async def test_without_a_session_the_page_says_how_to_get_one_and_takes_a_code(
    pages: Pages, stage: Stage
) -> None:
    pages.refusals = True
    page = await pages.open("/", by_code=True)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("infinity console", exact=True)).to_be_visible()
    address = await asyncio.to_thread(stage.sign_in)
    # The whole address may be pasted as well.
    await page.get_by_label("Code").fill(address)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Inbox")).to_be_visible()


async def test_a_code_that_was_used_ends_the_first_session_and_both_pages_say_so(
    pages: Pages, stage: Stage
) -> None:
    pages.refusals = True
    page = await pages.open("/", by_code=True)
    await page.get_by_role("button", name="Sign out").click()
    address = await asyncio.to_thread(stage.sign_in)
    await page.goto(address)
    await expect(page.get_by_role("link", name="Inbox")).to_be_visible()
    thief = await pages.another(await pages.fresh())
    await thief.goto(address)
    await expect(thief.get_by_role("alert")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_the_sign_in_is_shown_without_asking_the_daemon_for_anything(
    pages: Pages, stage: Stage
) -> None:
    pages.refusals = True
    page = await pages.open("/", by_code=True)
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("infinity console", exact=True)).to_be_visible()
