"""Modules without a page of their own, tried in the browser that will run them: Markdown, texts, histories, lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.console.stage import Pages

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASSERTIONS = Path(__file__).with_name("assertions.js").read_text()


async def test_modules_do_what_they_say(pages: Pages) -> None:
    page = await pages.open("/")
    modules = await page.evaluate("new URL('.', document.querySelector('script').src).pathname.slice(0, -1)")
    failures = await page.evaluate(ASSERTIONS, modules)
    assert failures == []
