"""Each page in each look: nothing on the console, no violation of the policy, nobody else is asked, nothing for axe to find, and it fits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from tests.console import axe
from tests.console.stage import Pages, Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = [
    "/",
    "/?show=needs",
    "/t/parcels",
    "/t/parcels?view=tree",
    "/t/parcels?view=raw",
    "/inbox",
    "/costs",
    "/tools",
    "/waits",
    "/compare/parcels/oven",
    "/t/nobody",
]
LOOKS = {
    "light": ("light", 1280),
    "dark": ("dark", 1280),
    "narrow": ("light", 360),
    "narrow-dark": ("dark", 360),
}


def _fill(stage: Stage) -> None:
    """Conversations in each state, as somebody would have them."""
    if any(row["id"] == "parcels" for row in stage.daemon.get("/v1/threads", limit=1000)["threads"]):
        return
    told = {
        "parcels": (
            "Parcel report for Monday",
            [
                "How many parcels left on Monday, and what does A-7 cost?",
                '/think The price comes first.\n/call price {"sku":"A-7"}\n/call bake {"loaves":3}\n/call order {"article":"flour"}',
            ],
        ),
        "oven": ("Clean up the pantry", ['/call throw_away {"article":"old bread","shelf":"3"}']),
        "night": ("Nightly build", ["/fail 401"]),
        "nap": ("Wait for the bakery", ["sleep 86400"]),
        "bergen": ("Trip to Bergen", ["/help"]),
    }
    for thread, (title, texts) in told.items():
        stage.daemon.post("/v1/threads", {"id": thread, "title": title})
        for text in texts:
            stage.say(thread, text)
            stage.rests(thread)


@pytest_asyncio.fixture(loop_scope="session")
async def filled(stage: Stage) -> Stage:
    await asyncio.to_thread(_fill, stage)
    return stage


async def _drawn(page: Page) -> None:
    await expect(page.locator("main h1, .lone h1").first).to_be_attached()
    await expect(page.locator("body")).not_to_contain_text("Signing in")


@pytest.mark.parametrize("look", LOOKS)
async def test_each_page_complains_of_nothing_and_fits(pages: Pages, filled: Stage, look: str) -> None:
    scheme, width = LOOKS[look]
    page = await pages.open("/", scheme=scheme, width=width)
    await _drawn(page)
    pages.refusals = True  # a thread that is not there is a 404
    for path in PAGES:
        await page.goto(filled.address + path)
        await _drawn(page)
        await _settled(page)
        room: Any = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert room[0] <= room[1], f"{path} is wider than the window"


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
async def test_axe_finds_nothing_on_any_page(pages: Pages, filled: Stage, look: str) -> None:
    scheme, width = LOOKS[look]
    page = await pages.open("/", scheme=scheme, width=width, bypass=True)
    await _drawn(page)
    pages.refusals = True
    found = []
    for path in PAGES:
        await page.goto(filled.address + path)
        await _drawn(page)
        await _settled(page)
        found += [f"{path} {each}" for each in await axe.violations(page)]
    assert not found


async def _settled(page: Page) -> None:
    """Every request of the page has its answer, but for the stream, which has none."""
    await page.wait_for_load_state("load")
    await page.evaluate("new Promise((done) => requestIdleCallback(() => requestIdleCallback(done)))")


async def test_a_narrow_page_cuts_no_tab(pages: Pages, filled: Stage) -> None:
    page = await pages.open("/t/parcels", width=360)
    tabs = page.get_by_role("navigation", name="Views")
    await expect(tabs.get_by_role("button", name="Waits")).to_contain_text("3")
    room: Any = await tabs.evaluate("(element) => [element.scrollWidth, element.clientWidth]")
    assert room[0] <= room[1]


async def test_arrows_move_and_numbers_stay_under_a_filter(pages: Pages, filled: Stage) -> None:
    page = await pages.open("/")
    needs = page.get_by_role("button", name="Needs you")
    await expect(needs.locator(".number")).to_be_visible()
    await page.get_by_role("button", name="Closed").click()
    await expect(page.get_by_text("No thread is closed.")).to_be_visible()
    await expect(needs.locator(".number")).to_be_visible()
    await page.get_by_role("button", name="All", exact=True).click()
    rows = page.get_by_label("Threads", exact=True).get_by_role("link")
    await expect(rows.nth(1)).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(rows.nth(1)).to_have_attribute("aria-current", "true")
    await page.keyboard.press("ArrowUp")
    await expect(rows.nth(0)).to_have_attribute("aria-current", "true")


async def test_a_search_asks_the_daemon(pages: Pages, filled: Stage) -> None:
    page = await pages.open("/")
    rows = page.get_by_label("Threads", exact=True).get_by_role("link")
    await expect(page.get_by_role("link", name="Trip to Bergen")).to_be_visible()
    await page.keyboard.press("/")
    async with page.expect_request(lambda request: "q=MONDAY%20parcel" in request.url):
        await page.keyboard.type("MONDAY parcel")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Parcel report for Monday")
    await page.get_by_role("searchbox").fill("no such thread")
    await expect(page.get_by_text("No thread has “no such thread”")).to_be_visible()


async def test_the_first_page_is_few_files_and_small(pages: Pages) -> None:
    page = await pages.open("/")
    await _drawn(page)
    loaded: list[Any] = await page.evaluate(
        "performance.getEntriesByType('resource').filter((each) => each.name.includes('/assets/')).map((each) => each.decodedBodySize)"
    )
    assert len(loaded) <= 20
    assert sum(loaded) <= 150_000


async def test_colours_follow_the_system_until_somebody_chooses(pages: Pages) -> None:
    page = await pages.open("/", scheme="dark")
    await _drawn(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = await page.evaluate(ground)
    await page.get_by_role("button", name="Colours").click()
    assert await page.evaluate(ground) != dark
    await page.reload()
    await _drawn(page)
    assert await page.evaluate(ground) != dark


async def test_keys_lead_from_page_to_page(pages: Pages, filled: Stage) -> None:
    pages.refusals = True  # a host may keep no figures
    page = await pages.open("/")
    await _drawn(page)
    for key, heading in {"i": "Inbox", "c": "Costs", "o": "Tools", "w": "Waits"}.items():
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(page.locator("a.row").first).to_be_visible()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator(".thread")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("list", name="Threads")).to_be_visible()
