"""Talking: beginning a conversation, what comes as it comes, what it waits for, and a daemon that goes away under an open page."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import expect
from tests.console.stage import Pages, Stage, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_conversation_is_begun_and_answered(pages: Pages) -> None:
    page = await pages.open("/")
    await page.get_by_label("Start a conversation").fill("Good morning from the console")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Good morning from the console")).to_be_visible()
    await expect(page.locator(".turn .words").last).to_contain_text("You said: Good morning from the console")
    say = page.get_by_label("Say something")
    await say.fill("/long 400")
    await page.keyboard.press("Enter")
    await expect(page.locator(".turn .words").last).to_contain_text("word400")
    await expect(say).to_have_value("")
    await expect(page.locator(".said.pending")).to_have_count(0)


async def test_a_call_is_one_line_until_it_is_opened(pages: Pages, stage: Stage) -> None:
    thread = await asyncio.to_thread(stage.begin, "Prices", '/call price {"sku":"A-7"}')
    page = await pages.open(f"/t/{thread}")
    call = page.locator("details.call").filter(has_text="price")
    await expect(call).to_contain_text("✓")
    await expect(page.get_by_text("A-7 costs 4.20.", exact=True)).to_have_count(0)
    await call.locator("summary").click()
    await expect(call).to_contain_text('"A-7"')
    await expect(call).to_contain_text("A-7 costs 4.20.")


async def test_a_turn_shows_what_the_model_was_shown_and_what_it_answered(pages: Pages, stage: Stage) -> None:
    thread = await asyncio.to_thread(stage.begin, "Shown", "Good evening to the model")
    await asyncio.to_thread(until, lambda: "You said" in stage.history(thread), "the answer")
    page = await pages.open(f"/t/{thread}?view=raw")
    turn = page.locator(".raw > details").last
    await turn.locator("summary").first.click()
    await expect(turn.get_by_role("region", name="Response")).to_contain_text("You said: Good evening")
    request = turn.locator("details.request")
    await expect(request).not_to_contain_text("Exactly what was sent")
    await request.locator("summary").first.click()
    await expect(request).to_contain_text("Exactly what was sent")
    await expect(request.locator(".leaf").filter(has_text="system")).to_contain_text(
        "You run inside Infinity"
    )
    messages = request.locator("details.fold").filter(has_text="messages")
    await messages.locator("summary").first.click()
    await messages.locator("details.fold summary").last.click()
    await messages.locator("details.fold details.fold summary").last.click()
    await expect(messages.locator("details.fold").last).to_contain_text("Good evening to the model")


async def test_a_message_is_said_differently_in_a_fork_and_both_are_compared(
    pages: Pages, stage: Stage
) -> None:
    thread = await asyncio.to_thread(stage.begin, "Travel", "Go by plane")
    await asyncio.to_thread(until, lambda: "You said" in stage.history(thread), "the answer")
    page = await pages.open(f"/t/{thread}")
    await page.locator("section.said").last.hover()
    await page.get_by_role("button", name="fork from here").last.click()
    say = page.get_by_label("Say", exact=True)
    await expect(say).to_have_value("Go by plane")
    await say.fill("Go by train")
    await page.get_by_role("button", name="Fork", exact=True).click()
    await expect(page).to_have_url(re.compile("/t/fork_"))
    await expect(page.locator(".turn .words").last).to_contain_text("You said: Go by train")
    await page.get_by_role("link", name="compare").click()
    turn = page.get_by_role("region", name="Turn 1")
    await expect(turn).to_contain_text("Go by plane")
    await expect(turn).to_contain_text("Go by train")
    await expect(turn.locator(".words.changed")).to_have_count(2)


async def test_the_page_says_why_a_thread_waits_and_ends_it(pages: Pages, stage: Stage) -> None:
    thread = await asyncio.to_thread(stage.begin, "Bread", '/call bake {"loaves":2}')
    page = await pages.open(f"/t/{thread}")
    why = page.get_by_role("region", name="Why it waits")
    await expect(why).to_contain_text("bake is running at its tool server (kitchen)")
    await why.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="It waits for you")).to_be_visible()


async def test_a_thread_is_named_where_its_name_stands(pages: Pages, stage: Stage) -> None:
    thread = await asyncio.to_thread(stage.begin, "An old name", "hello")
    page = await pages.open(f"/t/{thread}")
    await page.get_by_role("button", name="An old name").click()
    # Typed at once, as people do: it goes into the field, and nowhere else.
    await expect(page.get_by_label("Title")).to_be_focused()
    await page.keyboard.type("A new name in it")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="A new name in it")).to_be_visible()
    await expect(page.get_by_label("Say something")).to_have_value("")


async def test_a_draft_is_kept_and_a_page_goes_on_when_the_daemon_is_back(pages: Pages, stage: Stage) -> None:
    pages.refusals = True
    thread = await asyncio.to_thread(stage.begin, "Patience", "hello")
    page = await pages.open(f"/t/{thread}")
    await expect(page.locator(".turn .words").last).to_contain_text("You said: hello")
    await page.get_by_label("Say something").fill("a draft")
    await asyncio.to_thread(stage.daemon.kill)
    try:
        await expect(page.get_by_text("The daemon is away since")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Say something")).to_have_value("a draft")
    finally:
        await asyncio.to_thread(stage.daemon.start, 60.0)
    await expect(page.get_by_text("The daemon is away since")).to_have_count(0)
    # The session has outlived the daemon, and the same words are said once.
    await page.get_by_label("Say something").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("section.said").last).to_contain_text("a draft")
    await expect(page.locator(".turn .words").last).to_contain_text("You said: a draft")
    assert (await asyncio.to_thread(stage.history, thread)).count("'text': 'a draft'") == 1


async def test_what_others_say_appears_and_new_threads_wait_behind_the_pill(
    pages: Pages, stage: Stage
) -> None:
    page = await pages.open("/")
    await expect(page.get_by_label("Start a conversation")).to_be_visible()
    await asyncio.to_thread(stage.begin, "First of all", "hello")
    await expect(
        page.get_by_text("First of all").or_(page.get_by_role("button", name="newer"))
    ).to_be_visible()
    await page.keyboard.press(".")
    await expect(page.get_by_role("link", name="First of all").first).to_be_visible()
    await asyncio.to_thread(stage.begin, "Quite new", "hello")
    pill = page.get_by_role("button", name="newer")
    await expect(pill).to_be_visible()
    await expect(page.get_by_role("link", name="Quite new")).to_have_count(0)
    await page.keyboard.press(".")
    await expect(page.get_by_role("link", name="Quite new")).to_be_visible()


async def test_the_list_leaves_out_what_is_not_asked_for_new_threads_as_well(
    pages: Pages, stage: Stage
) -> None:
    page = await pages.open("/")
    # Another question is open, so that the list is not empty and what is new waits.
    await asyncio.to_thread(
        stage.asked,
        await asyncio.to_thread(stage.begin, "Needs a person, too", '/call order {"article":"chips"}'),
    )
    await page.get_by_role("button", name="Needs you").click()
    await expect(page.get_by_role("link", name="Needs a person, too")).to_be_visible()
    await asyncio.to_thread(stage.rests, await asyncio.to_thread(stage.begin, "Needs nobody", "hello"))
    needing = await asyncio.to_thread(stage.begin, "Needs a person", '/call order {"article":"chips"}')
    await asyncio.to_thread(stage.asked, needing)
    await expect(page.get_by_role("button", name="1 newer")).to_be_visible()
    await page.keyboard.press(".")
    await expect(page.get_by_role("link", name="Needs a person")).to_have_count(2)
    await expect(page.get_by_role("link", name="Needs nobody")).to_have_count(0)


async def test_a_hidden_page_asks_for_nothing(pages: Pages, stage: Stage) -> None:
    page = await pages.open("/")
    await expect(page.get_by_label("Start a conversation")).to_be_visible()

    async def see(away: str) -> None:
        await page.evaluate(f"window.away = {away}; document.dispatchEvent(new Event('visibilitychange'))")

    await see("true")
    await asyncio.to_thread(until, lambda: _streams(stage) == 0, "the stream to end")
    before = len(pages.of(page).requests)
    # Something happens that a page in sight would ask about, and later things than that are over.
    thread = await asyncio.to_thread(stage.begin, "Unseen", "hello")
    await asyncio.to_thread(stage.rests, thread)
    await asyncio.to_thread(
        stage.asked, await asyncio.to_thread(stage.begin, "Unseen, too", '/call order {"article":"salt"}')
    )
    assert len(pages.of(page).requests) == before
    await see("false")
    await expect(page.get_by_role("button", name="newer")).to_be_visible()


def _streams(stage: Stage) -> int:
    lines = stage.daemon.client().get("/metrics").text.splitlines()
    return int(float(next(line.split()[-1] for line in lines if line.startswith("infinity_event_streams "))))


async def test_a_conversation_is_deleted_only_by_the_word(pages: Pages, stage: Stage) -> None:
    thread = await asyncio.to_thread(stage.begin, "To be deleted", "hello")
    page = await pages.open(f"/t/{thread}")
    await page.get_by_role("button", name="What can be done with this thread").click()
    await page.get_by_role("button", name="Delete the conversation").click()
    await expect(page.get_by_role("button", name="Delete it")).to_be_disabled()
    await page.get_by_label("Type").fill("delete")
    await page.get_by_role("button", name="Delete it").click()
    await expect(page.get_by_label("Start a conversation")).to_be_visible()
    await asyncio.to_thread(
        until,
        lambda: all(row["id"] != thread for row in stage.daemon.get("/v1/threads", limit=1000)["threads"]),
        "the deletion",
    )


async def test_a_long_history_is_read_in_pieces_and_few_of_it_are_in_the_page(
    pages: Pages, stage: Stage
) -> None:
    thread = await asyncio.to_thread(stage.begin, "Long")

    def fill() -> None:
        for number in range(120):
            stage.say(thread, f"message {number}")
            until(
                lambda number=number: (
                    f"You said: message {number}"
                    in str(
                        stage.daemon.get(
                            f"/v1/threads/{thread}/entries", after=max(-1, 2 * number - 6), limit=20
                        )
                    )
                ),
                f"answer {number}",
            )

    await asyncio.to_thread(fill)
    page = await pages.open(f"/t/{thread}")
    await expect(page.locator("[data-item]").last).to_contain_text("message 119")
    for _ in range(30):
        assert await page.locator("[data-item]").count() <= 200
        if await page.get_by_text("message 0", exact=True).count():
            break
        await page.evaluate("scrollTo(0, 0)")
        await page.evaluate("new Promise((done) => requestIdleCallback(done))")
    await expect(page.get_by_text("message 0", exact=True).first).to_be_attached()
    await page.get_by_role("button", name="to the end").or_(page.get_by_role("button", name="new ↓")).click()
    await expect(page.locator("[data-item]").last).to_contain_text("message 119")
