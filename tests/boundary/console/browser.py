"""A page of the console, as far as the daemon can tell: its cookies, its key, and the headers that a browser adds to its requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from tests.boundary.daemons import Answer, Running
from tests.patience import PATIENCE
from yarl import URL


class Page:
    """One browser with one page. As browsers do, it sends a cookie to each port of its host."""

    def __init__(self, daemon: Running, http: aiohttp.ClientSession) -> None:
        self.daemon = daemon
        self.http = http
        self.key = ""

    @property
    def cookie(self) -> str:
        """What the browser would send to the daemon."""
        held = self.http.cookie_jar.filter_cookies(URL(f"{self.daemon.url}/v1/x"))
        return "; ".join(f"{name}={morsel.value}" for name, morsel in held.items())

    async def ask(self, method: str, path: str, *, key: str | None = None, **options: Any) -> Answer:
        """With what a browser and the page's code send; ``headers`` win, and ``None`` among them leaves one out."""
        sent: dict[str, str | None] = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        sent["Infinity-Console"] = self.key if key is None else key
        if method != "GET":
            sent["Origin"] = self.daemon.url
        sent |= options.pop("headers", {})
        headers = {name: value for name, value in sent.items() if value is not None}
        url = f"{self.daemon.url}{path}"
        async with self.http.request(method, url, headers=headers, **options) as response:
            # A stream has no end; that it began is what can be said of it.
            data = b"" if response.content_type == "text/event-stream" else await response.read()
            is_json = response.content_type == "application/json"
            return Answer(response.status, json.loads(data) if is_json else data.decode(), response.headers)

    async def sign_in(self, code: str | None = None, **options: Any) -> Answer:
        """With a new code, or with this one."""
        code = await new_code(self.daemon) if code is None else code
        answer = await self.ask("POST", "/v1/console/session", json={"code": code}, key="", **options)
        if answer.status == 200:
            self.key = answer.body["key"]
        return answer


async def new_code(daemon: Running) -> str:
    answer = await daemon.post("/v1/console/codes")
    assert answer.status == 201, answer
    return str(answer.body["code"])


@asynccontextmanager
async def browser(daemon: Running) -> AsyncIterator[Page]:
    """Not signed in."""
    jar = aiohttp.CookieJar(unsafe=True)  # One that takes cookies of an address without a name.
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout) as http:
        yield Page(daemon, http)


@asynccontextmanager
async def signed_in(daemon: Running) -> AsyncIterator[Page]:
    async with browser(daemon) as page:
        assert (await page.sign_in()).status == 200
        yield page
