"""A server on another port of this machine: browsers send it the console's cookie, and it can do nothing with that.

Over real HTTP, with the headers that Chromium sends in each of these situations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from tests.boundary.console.browser import Page, browser, signed_in
from tests.boundary.daemons import Running

pytestmark = pytest.mark.trap("S4")

NO_CORS = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


class OtherPort:
    """Keeps the cookies that browsers send it."""

    def __init__(self) -> None:
        self.seen = ""
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.seen = request.headers.get("Cookie", "")
        return web.Response(text="ready")


@asynccontextmanager
async def other_port() -> AsyncIterator[OtherPort]:
    made = OtherPort()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


async def visit(page: Page, other: OtherPort) -> None:
    async with page.http.get(f"{other.url}/v1/anything") as response:
        await response.read()


async def test_it_gets_the_cookie_and_cannot_use_it(daemon: Running) -> None:
    async with other_port() as other, signed_in(daemon) as page, browser(daemon) as thief:
        await visit(page, other)
        assert other.seen == page.cookie != "", "the danger is real"
        # By itself it can send what it likes, but it does not have the key.
        for key in (None, "", "x", "x" * 43):
            sent = {"Cookie": other.seen, "Infinity-Console": key}
            answer = await thief.ask("GET", "/v1/threads", headers=sent)
            assert (answer.status, answer.code) == (401, "unauthorized")
            answer = await thief.ask("POST", "/v1/threads", json={}, headers=sent)
            assert (answer.status, answer.code) == (401, "unauthorized")


async def test_its_pages_make_the_browser_ask_in_vain(daemon: Running) -> None:
    async with other_port() as other, signed_in(daemon) as page:
        # The browser adds the cookie, and a page without the key cannot say that it has it.
        plain = {"Infinity-Console": None, "Origin": None}
        picture = await page.ask("GET", "/v1/threads", headers=plain | NO_CORS)
        assert (picture.status, picture.code) == (401, "unauthorized")
        assert picture.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        form = plain | NO_CORS | {"Origin": other.url, "Content-Type": "text/plain"}
        posted = await page.ask("POST", "/v1/threads", data=b"{}", headers=form)
        assert (posted.status, posted.code) == (403, "origin")
        opened = plain | {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}
        answer = await page.ask("GET", "/v1/threads", headers=opened | {"Sec-Fetch-Dest": "document"})
        assert (answer.status, answer.code) == (401, "unauthorized")
        # To send a header of its own a script has to be allowed first.
        asked = {"Origin": other.url, "Access-Control-Request-Method": "GET"}
        asked["Access-Control-Request-Headers"] = "infinity-console"
        preflight = await page.ask("OPTIONS", "/v1/threads", headers=plain | asked)
        assert preflight.status == 403
        assert not any(name.startswith("Access-Control") for name in preflight.headers)


async def test_its_pages_cannot_sign_anybody_in_or_out(daemon: Running) -> None:
    """Nor use up the tries that a page has."""
    async with other_port() as other, signed_in(daemon) as page:
        sent = {"Infinity-Console": None, "Origin": other.url, "Sec-Fetch-Site": "same-site"}
        for _ in range(40):
            answer = await page.sign_in("guess", headers=sent)
            assert (answer.status, answer.code) == (403, "origin")
        out = await page.ask("DELETE", "/v1/console/session", headers=sent)
        assert (out.status, out.code) == (403, "origin")
        assert (await page.ask("GET", "/v1/threads")).status == 200
        assert (await page.sign_in()).status == 200


async def test_the_cookies_that_it_sets_are_in_nobodys_way(daemon: Running) -> None:
    """Browsers send those of longer paths first."""
    async with signed_in(daemon) as page, signed_in(daemon) as its_own:
        genuine, theirs = page.cookie, its_own.cookie
        name = genuine.partition("=")[0]
        page.http.cookie_jar.clear()
        sent = {"Cookie": f"{name}=x; {theirs}; {name}=; {genuine}; {name}=y"}
        assert (await page.ask("GET", "/v1/threads", headers=sent)).status == 200
        # A session of theirs in its place does not make the page act for it.
        assert (await page.ask("GET", "/v1/threads", headers={"Cookie": theirs})).code == "unauthorized"


async def test_no_page_frames_or_embeds_the_console(daemon: Running) -> None:
    async with browser(daemon) as page:
        for path in ("/", "/v1/threads"):
            answer = await page.ask("GET", path, headers={"Infinity-Console": None})
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_many_guesses_at_once_are_as_few_as_one_after_another(daemon: Running) -> None:
    async with browser(daemon) as page:
        answers = await asyncio.gather(*(page.sign_in("guess") for _ in range(50)))
        assert sorted(each.status for each in answers) == [401] * 30 + [429] * 20
