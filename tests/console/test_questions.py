"""Questions: what somebody decides by is seen exactly, nothing is decided by accident, and each answer has an outcome on the screen."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from tests.console.stage import Pages, Stage, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _asks(stage: Stage, title: str, tool: str, arguments: dict[str, Any]) -> str:
    thread = await asyncio.to_thread(stage.begin, title, f"/call {tool} {json.dumps(arguments)}")
    await asyncio.to_thread(stage.asked, thread)
    return thread


def _card(page: Page, text: str) -> Locator:
    return page.locator("[data-card]").filter(has_text=text)


async def _says(stage: Stage, thread: str, words: str) -> None:
    await asyncio.to_thread(until, lambda: words in stage.history(thread), f"the history to say {words!r}")


async def test_an_approval_is_given_by_keys_alone(pages: Pages, stage: Stage) -> None:
    thread = await _asks(stage, "By keys", "throw_away", {"article": "keys-bread", "shelf": "1"})
    page = await pages.open("/")
    await page.keyboard.press("g")
    await page.keyboard.press("i")
    card = _card(page, "keys-bread")
    await expect(card).to_be_visible()
    # No key decides anything while no card has the focus.
    await page.keyboard.press("Shift+A")
    for _ in range(await page.locator("[data-card]").count()):
        await page.keyboard.press("j")
        if await card.evaluate("(element) => element === document.activeElement"):
            break
    assert len(await asyncio.to_thread(stage.prompts, thread)) == 1
    await page.keyboard.press("Shift+A")
    await expect(card).to_contain_text("Allow (by you)")
    await _says(stage, thread, "keys-bread is gone from 1.")


async def test_what_destroys_is_allowed_by_a_second_press_only(pages: Pages, stage: Stage) -> None:
    thread = await _asks(stage, "Twice", "throw_away", {"article": "twice-bread", "shelf": "2"})
    page = await pages.open("/inbox")
    card = _card(page, "twice-bread")
    await card.get_by_role("button", name="Allow").click()
    await expect(card.get_by_role("button", name="Press again to allow")).to_be_visible()
    assert len(await asyncio.to_thread(stage.prompts, thread)) == 1
    await card.get_by_role("button", name="Press again to allow").click()
    await expect(card).to_contain_text("Allow (by you)")


async def test_a_denial_is_told_to_the_agent(pages: Pages, stage: Stage) -> None:
    thread = await _asks(stage, "No", "throw_away", {"article": "denied-bread", "shelf": "2"})
    page = await pages.open(f"/t/{thread}")
    card = _card(page, "denied-bread")
    await card.get_by_role("button", name="Deny").click()
    await expect(card).to_contain_text("Deny (by you)")
    await expect(page.locator("[data-card]:not(.over)")).to_have_count(0)
    await asyncio.to_thread(until, lambda: not stage.prompts(thread), "the question to end")
    # Who has decided is on record: a page that is opened later says so as well.
    await page.reload()
    await expect(page.locator("details.call").filter(has_text="throw_away")).to_contain_text("denied by you")
    await page.get_by_role("link", name="Timeline").click()
    await expect(page.get_by_text("throw_away asked: denied by you")).to_be_visible()


async def test_arguments_are_changed_before_a_call_is_allowed(pages: Pages, stage: Stage) -> None:
    thread = await _asks(stage, "Changed by hand", "throw_away", {"article": "too much\u202e", "shelf": "2"})
    page = await pages.open("/inbox")
    card = _card(page, "Changed by hand")
    await card.get_by_role("button", name="Edit").click()
    written = card.get_by_label("Arguments, as JSON")
    # What cannot be seen stands there as its number.
    assert (
        json.loads(text := await written.input_value())["article"] == "too much\u202e" and "\\u202e" in text
    )
    # Letters are text here, and decide nothing.
    await written.fill('{"article": "A d", "shelf": 7}')
    await written.press("Shift+A")
    await card.get_by_role("button", name="Allow").click()
    await card.get_by_role("button", name="Press again to allow").click()
    await expect(page.get_by_text("not a JSON object")).to_be_visible()
    await written.fill('{"article": "a little", "shelf": "7"}')
    await card.get_by_role("button", name="Allow").click()
    await expect(card).to_contain_text("Allow (by you)")
    await _says(stage, thread, "a little is gone from 7.")


async def test_a_choice_is_made_by_its_number(pages: Pages, stage: Stage) -> None:
    thread = await _asks(stage, "Choose", "order", {"article": "choice-flour"})
    page = await pages.open("/inbox")
    card = _card(page, "choice-flour")
    await card.focus()
    await page.keyboard.press("3")
    await expect(card).to_contain_text("Ask me tomorrow (by you)")
    await _says(stage, thread, "The answer was 2.")


async def test_what_was_decided_elsewhere_stays_greyed_and_takes_no_answer(
    pages: Pages, stage: Stage
) -> None:
    thread = await _asks(stage, "Elsewhere", "order", {"article": "other-flour"})
    page = await pages.open("/inbox")
    card = _card(page, "other-flour")
    await expect(card).to_be_visible()
    prompt = (await asyncio.to_thread(stage.prompts, thread))[0]
    await asyncio.to_thread(
        stage.daemon.post, f"/v1/threads/{thread}/choices/{prompt['id']}", {"selected": 0, "user_id": "ida"}
    )
    await expect(card).to_have_class("card choice over")
    await expect(card.get_by_role("button")).to_have_count(0)


async def test_the_number_of_questions_is_in_the_title_and_the_bar(pages: Pages, stage: Stage) -> None:
    page = await pages.open("/tools")
    await expect(page.get_by_role("heading", name="Tools")).to_be_visible()
    await _asks(stage, "Count", "order", {"article": "counted-flour"})
    open_now = len(await asyncio.to_thread(lambda: stage.daemon.get("/v1/prompts")["prompts"]))
    await expect(page).to_have_title(f"({open_now}) Tools · Infinity")
    await expect(page.get_by_role("link", name="Inbox")).to_contain_text(str(open_now))


async def test_nothing_is_hidden_in_what_somebody_decides_by(pages: Pages, stage: Stage) -> None:
    hostile = "keep\u202etxt.exe\u200b\u2066x\u2069\u00ad\u0007\U000e0041"
    await _asks(
        stage,
        "Hostile",
        "throw_away",
        {"article": f"hostile {hostile}", "shelf": "https://\u0430pple.example/x"},
    )
    page = await pages.open("/inbox")
    card = _card(page, "hostile keep")
    for code in ("202E", "200B", "2066", "2069", "AD", "7", "E0041"):
        await expect(card).to_contain_text(f"⟨U+{code.rjust(4, '0')}⟩")
    await expect(card).to_contain_text("xn--pple-43d.example")


async def test_what_is_cut_is_counted_on_the_button(pages: Pages, stage: Stage) -> None:
    await _asks(stage, "Cut", "throw_away", {"article": "cut-bread " + "x" * 9_990, "shelf": "1"})
    page = await pages.open("/inbox")
    await expect(
        _card(page, "cut-bread").get_by_role("button", name="Allow (6,000 characters not shown)")
    ).to_be_visible()
