"""What the console's tests share: a daemon with the scripted model and a kitchen of tools, a browser, and pages that may not complain.

A page that is opened here is watched until its test ends: a message on its console, a violation of the policy, an error of a script or a request to anybody
but the daemon fails the test, whatever it was about.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from infinity.demo.daemon import Daemon
from infinity.ports import free_port

CONFIG = """
[models]
default = "scripted/default"
[toolsets.kitchen]
url = "http://127.0.0.1:{port}"
[policy]
destructive = "ask"
"""
KITCHEN = Path(__file__).parent / "kitchen.py"
PATIENCE = float(os.environ.get("INFINITY_PATIENCE", "60"))
"""Seconds that a condition may take, on a machine with other work to do."""
expect.set_options(timeout=PATIENCE * 1000)

_WATCHER = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
Object.defineProperty(document, "hidden", { get: () => window.away ?? false, configurable: true });
"""
_IGNORED = (
    "error: Failed to load resource: net::ERR_",
    "error: Failed to load resource: the server responded with a status of 4",
)
"""What the browser says of a daemon that is away or refuses: tests that bring that about on purpose allow it."""


@dataclass
class Stage:
    daemon: Daemon
    home: Path
    ready: Path
    labels: Path
    session: Any = None
    """Of the pages that are opened signed in."""

    @property
    def address(self) -> str:
        return self.daemon.address

    def sign_in(self, path: str = "/") -> str:
        """An address that opens a page signed in, good for a minute and once."""
        made = self.daemon.post("/v1/console/codes", {})
        code: str = made["code"]
        return f"{self.address}{path}#code={code}"

    def begin(self, title: str, *texts: str) -> str:
        """A conversation, with what is said in it at once."""
        thread: str = self.daemon.post("/v1/threads", {"title": title})["id"]
        for text in texts:
            self.say(thread, text)
        return thread

    def say(self, thread: str, text: str) -> None:
        self.daemon.post(f"/v1/threads/{thread}/messages", {"content": text})

    def rests(self, thread: str) -> dict[str, Any]:
        """The thread, once everything that was said to it is in its history and no slice runs."""

        def found() -> Any:
            row = self.daemon.get(f"/v1/threads/{thread}")
            return (
                row
                if row["explanation"]["state"] not in ("running", "queued") and row["position"] > 1
                else None
            )

        rests: dict[str, Any] = until(found, f"{thread} to rest")
        return rests

    def prompts(self, thread: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.daemon.get("/v1/prompts", thread=thread)["prompts"]
        return found

    def asked(self, thread: str, count: int = 1) -> list[dict[str, Any]]:
        """Its open questions, as soon as there are so many."""
        return until(lambda: (found := self.prompts(thread)) and len(found) >= count and found, "a question")

    def history(self, thread: str) -> str:
        return str(self.daemon.get(f"/v1/threads/{thread}/entries")["entries"])


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition, in a thread without an event loop."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with opened(tmp_path_factory.mktemp("console"), CONFIG) as made:
        yield made


@contextmanager
def opened(folder: Path, config: str) -> Iterator[Stage]:
    """A kitchen and a daemon of its own."""
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "KITCHEN_READY": str(folder / "ready"),
        "KITCHEN_STATE": str(folder / "kitchen.db"),
        "KITCHEN_LABELS": str(folder),
    }
    with (folder / "kitchen.log").open("ab") as log:
        kitchen = subprocess.Popen(
            [sys.executable, KITCHEN], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/.well-known/rap-toolset"), "the kitchen")
        with Daemon(folder / "home", config.format(port=port)) as daemon:
            yield Stage(daemon, folder / "home", folder / "ready", folder)
    finally:
        kitchen.terminate()
        kitchen.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0).status_code == 200
    except httpx.TransportError:
        return False


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    # Root has no user namespaces to put a sandbox in.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield made
        await made.close()


@dataclass
class Watched:
    """A page and everything that it has complained of."""

    page: Page
    stage: Stage
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def check(self, *, refusals: bool = False) -> None:
        """Fail for any complaint. ``refusals``: those about a daemon that was away or refused are expected."""
        violations = [] if self.page.is_closed() else await self.page.evaluate("window.violations")
        found = [*self.complaints, *violations]
        if refusals:
            found = [each for each in found if not any(ignored in each for ignored in _IGNORED)]
        assert not found


@dataclass
class Pages:
    """Opens pages and closes them; fails for what they complained of."""

    browser: Browser
    stage: Stage
    refusals: bool = False
    contexts: list[BrowserContext] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)

    async def open(
        self,
        path: str = "/",
        *,
        scheme: Any = "light",
        width: int = 1280,
        height: int = 800,
        bypass: bool = False,
        by_code: bool = False,
    ) -> Page:
        """A page of a new browser profile with a session that all of them share, because a minute has no more than 30 tries to sign in. ``by_code``: with one of its own."""
        if by_code:
            page = await self.another(await self.fresh(scheme, width, height, bypass=bypass))
            await page.goto(await asyncio.to_thread(self.stage.sign_in, path))
            return page
        if self.stage.session is None:
            self.stage.session = await self._signed_in()
        page = await self.another(
            await self.fresh(scheme, width, height, bypass=bypass, known=self.stage.session)
        )
        await page.goto(f"{self.stage.address}{path}")
        return page

    async def _signed_in(self) -> Any:
        """Cookies and storage of a profile that a code has signed in."""
        context = await self.fresh()
        page = await self.another(context)
        await page.goto(await asyncio.to_thread(self.stage.sign_in))
        await page.get_by_role("link", name="Inbox").first.wait_for()
        return await context.storage_state()

    async def fresh(
        self,
        scheme: Any = "light",
        width: int = 1280,
        height: int = 800,
        *,
        bypass: bool = False,
        known: Any = None,
    ) -> BrowserContext:
        """A profile that knows nothing, or what is ``known``. ``bypass``: of the policy, for scripts of the test's own."""
        viewport: Any = {"width": width, "height": height}
        context = await self.browser.new_context(
            color_scheme=scheme, viewport=viewport, bypass_csp=bypass, storage_state=known
        )
        context.set_default_timeout(PATIENCE * 1000)
        await context.add_init_script(_WATCHER)
        self.contexts.append(context)
        return context

    async def another(self, context: BrowserContext) -> Page:
        page = await context.new_page()
        watched = Watched(page, self.stage)
        self.watched.append(watched)
        page.on("console", lambda message: watched.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: watched.complaints.append(f"{error.message}\n{error.stack}"))
        page.on("request", lambda request: self._requested(watched, request))
        return page

    def of(self, page: Page) -> Watched:
        return next(watched for watched in self.watched if watched.page is page)

    def _requested(self, watched: Watched, request: Request) -> None:
        watched.requests.append(f"{request.method} {request.url}")
        if not request.url.startswith((self.stage.address, "blob:", "data:")):
            watched.complaints.append(f"a request to {request.url}")

    async def close(self) -> None:
        try:
            for watched in self.watched:
                await watched.check(refusals=self.refusals)
        finally:
            for context in self.contexts:
                await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def pages(browser: Browser, stage: Stage) -> AsyncIterator[Pages]:
    made = Pages(browser, stage)
    yield made
    await made.close()
