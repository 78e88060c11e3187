"""Texts of models, tools, titles and people, whatever is in them, are texts: nothing of them runs, loads, or takes the place of what the console says."""

from __future__ import annotations

import asyncio
import json

import pytest
from playwright.async_api import expect
from tests.console.stage import Pages, Stage, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CORPUS = {
    "element": "<img src=x onerror=window.bitten=1><script>window.bitten=1</script><b>bold</b>",
    "frame": "<iframe src='https://evil.example/'></iframe><svg onload=window.bitten=1>",
    "link": "[press](javascript:window.bitten=1) <a href='javascript:window.bitten=1'>x</a>",
    "picture": "![see](https://evil.example/pixel.png) ![x](//evil.example/p.png)",
    "bidi": "invoice\u202egpj.exe \u2066x\u2069 \U000e0041\U000e0042",
    "entities": "&lt;b&gt;&#60;script&#62; {{assets}} ${window.bitten=1} <!-- x -->",
    "nest": "[" * 5_000 + "]" * 5_000,
    "numbers": "1" * 400 + " 1e999 -0 NaN",
    "marks": "*" * 3_000 + "`" * 3_001 + "[" * 3_000,
    "line": "x" * 200_000,
}


@pytest.mark.parametrize("name", CORPUS)
async def test_a_hostile_text_is_a_text_wherever_it_stands(pages: Pages, stage: Stage, name: str) -> None:
    text = CORPUS[name]

    def prepare() -> str:
        (stage.labels / name).write_text(text)
        # The title, what a person says, what the model says (it repeats it), a tool's arguments and a tool's result.
        thread = stage.begin(text[:200], f"hostile {text}")
        until(lambda: "You said" in stage.history(thread), "the answer")
        stage.say(thread, f"/call read_label {json.dumps({'article': name})}")
        until(lambda: "read_label answered" in stage.history(thread), "the label")
        return thread

    thread = await asyncio.to_thread(prepare)
    page = await pages.open(f"/t/{thread}")
    await expect(page.locator(".turn .words").last).to_contain_text("read_label answered")
    for each in await page.locator("details.tool").all():
        await each.locator("summary").click()
    await page.goto(f"{stage.address}/t/{thread}?view=raw")
    await expect(page.locator(".raw details").first).to_be_visible()
    for each in await page.locator(".raw > details").all():
        await each.locator("summary").first.click()
    for each in await page.locator(".raw details.request").all():
        await each.locator("summary").first.click()
        messages = each.locator("details.fold").filter(has=page.get_by_text("messages", exact=True)).first
        await messages.locator("summary").first.click()
        await expect(messages.locator("details.fold").first).to_be_visible()
    await page.goto(stage.address)
    await expect(page.locator("a.row").first).to_be_visible()
    foreign = await page.evaluate(
        "document.querySelectorAll('main img, main iframe, main svg, main script, main b').length"
    )
    assert (foreign, await page.evaluate("window.bitten ?? 0")) == (0, 0)


async def test_a_hostile_text_is_shown_whole(pages: Pages, stage: Stage) -> None:
    thread = await asyncio.to_thread(stage.begin, "Whole", "<b>not bold</b> \u202etxt")
    page = await pages.open(f"/t/{thread}")
    said = page.locator("section.said").last
    await expect(said).to_contain_text("<b>not bold</b> ⟨U+202E⟩txt")
