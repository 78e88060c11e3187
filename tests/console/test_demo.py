"""The demo in the console: opened before the story begins, away while the daemon is killed, and there until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.console.stage import PATIENCE, Pages, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_demo_is_seen_in_the_console_and_kept_until_it_is_ended(
    pages: Pages, tmp_path: Path
) -> None:
    pages.refusals = True
    said = tmp_path / "said"
    # Without a display, and without the word that there is a browser, the address is said.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    }
    # Whoever runs the tests in the background may have them ignore Ctrl-C, and so would all that they start.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "infinity.cli"]
    command += ["demo", "--console", "--home", str(tmp_path / "home")]
    with said.open("wb") as output:
        demo = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        url = await asyncio.to_thread(until, lambda: _address(said), "the address")
        context = await pages.browser.new_context()
        context.set_default_timeout(PATIENCE * 1000)
        pages.contexts.append(context)
        page = await context.new_page()
        await page.goto(url)
        await expect(page.get_by_text("I start the tests and subscribe to the repository.")).to_be_visible()
        await expect(page.get_by_text("The daemon is away since")).to_be_visible()
        await expect(page.get_by_text("I have stopped watching.")).to_be_visible()
        await asyncio.to_thread(until, lambda: "Ctrl-C ends everything" in said.read_text(), "the end")
        # It is all still there, and talks.
        await page.get_by_label("Say something").fill("Anything else?")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("I have nothing to add.")).to_be_visible()
        assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(demo.wait, PATIENCE) == 0, said.read_text()
    finally:
        demo.kill()
        demo.wait()


def _address(said: Path) -> str | None:
    found = re.search(r"http://\S+#code=\S+", said.read_text())
    return found[0] if found else None
