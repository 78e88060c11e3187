"""The guide's pictures: the pages over conversations as somebody would have them, light, dark and on a phone. Made only where they are asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from tests.console import gallery
from tests.console.stage import Pages, Stage, opened, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(os.environ.get("INFINITY_SCREENSHOTS") != "1", reason="INFINITY_SCREENSHOTS is not 1"),
]

IMAGES = Path(__file__).parents[2] / "docs" / "guides" / "images"
LOOKS = {"light": ("light", 1280, 800), "dark": ("dark", 1280, 800), "phone": ("light", 360, 740)}
PAGES = {
    "threads": ("/", "Parcel report for Monday"),
    "thread": ("/t/parcels", "48"),
    "timeline": ("/t/parcels?view=timeline", "2 attempts"),
    "inbox": ("/inbox", "rye bread of last week"),
    "costs": ("/costs", "Conversations"),
}
"""Each with a text that is there when the page is whole."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        with opened(tmp_path_factory.mktemp("gallery"), gallery.CONFIG) as made:
            for thread, (title, model, texts) in gallery.TOLD.items():
                made.daemon.post("/v1/threads", {"id": thread, "title": title, "model": model})
                for text, words in texts.items():
                    made.say(thread, text)
                    until(lambda id=thread, words=words: words in made.history(id), words)
                    made.rests(thread)
            made.asked("parcels")
            made.asked("oven")
            yield made


@pytest.mark.parametrize("look", LOOKS)
async def test_pictures_of_the_guide(browser: Browser, shop: Stage, look: str) -> None:
    scheme, width, height = LOOKS[look]
    pages = Pages(browser, shop)
    IMAGES.mkdir(exist_ok=True)
    page = await pages.open("/", scheme=scheme, width=width, height=height)
    for name, (path, text) in PAGES.items():
        await page.goto(shop.address + path)
        await expect(page.locator("main")).to_contain_text(text)
        await page.evaluate("new Promise((done) => requestIdleCallback(() => requestIdleCallback(done)))")
        await page.screenshot(path=IMAGES / f"console-{name}-{look}.png")
    await asyncio.shield(pages.close())
