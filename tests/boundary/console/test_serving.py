"""The console's pages and files: what is served, under which headers, and that no request leads to a file."""

from __future__ import annotations

import json
import re

import pytest
from tests.boundary.daemons import Running
from tests.boundary.test_http_access import raw

from infinity.api.backend import Part
from infinity.api.routes import routes_of
from infinity.console import console
from infinity.local.console.pages import POLICY

PAGES = [route.path for route in routes_of(Part.CONSOLE) if route.id == "get_page"]
NOBODY = {"Authorization": "none"}
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


async def test_each_page_is_the_index_and_needs_no_token(daemon: Running) -> None:
    assert len(PAGES) == 7
    for page in PAGES:
        answer = await daemon.get(re.sub(r"\{\w+\}", "x%2Fy", page), headers=NOBODY)
        assert (answer.status, answer.body.encode()) == (200, console().page)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"


async def test_the_page_names_its_files_by_their_digest(daemon: Running) -> None:
    page = (await daemon.get("/")).body
    named = re.findall(r'(?:href|src)="(/[^"]*)"', page)
    assert named and "{{" not in page
    for address in named:
        assert (await daemon.get(address, headers=NOBODY)).status == 200, address


async def test_each_file_is_served_under_the_digest_of_all_and_may_be_kept_for_ever(daemon: Running) -> None:
    known = console()
    assert "app.css" in known.assets
    for name, asset in known.assets.items():
        answer = await daemon.get(f"/assets/{known.digest}/{name}", headers=NOBODY)
        assert (answer.status, answer.headers["Content-Type"]) == (200, asset.content_type)
        assert "immutable" in answer.headers["Cache-Control"]
        other = await daemon.get(f"/assets/{'0' * 16}/{name}", headers=NOBODY)
        assert (other.status, other.code) == (404, "no_route")


NO_FILES = [
    "",
    "__init__.py",
    "index.html",
    "app.css/",
    "/app.css",
    "./app.css",
    "app//main.js",
    "../guard.py",
    "..%2F__init__.py",
    "%2e%2e/__init__.py",
    "%2e%2e%2f%2e%2e%2ftoken",
    "..%5c..%5ctoken",
    "app/../../local/guard.py",
    "%2Fetc%2Fpasswd",
    "app.css%00.js",
    "app.css%00",
    "APP.CSS",
    "vendor",
    "vendor/",
    "~",
]


async def test_no_name_leads_out_of_the_table(daemon: Running) -> None:
    for name in NO_FILES:
        # As it is written: a client would put the path in order first.
        request = (
            f"GET /assets/{console().digest}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        head, _, body = (await raw(daemon, request.encode())).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 ") and json.loads(body)["error"]["code"] == "no_route", name


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/assets/0/none", 404),
        ("/healthz", 200),
        ("/openapi.json", 200),
        ("/v1/threads", 200),
        ("/v1/threads/none", 404),
        ("/v1/none", 404),
        ("/callback/none", 405),
    ],
)
async def test_each_answer_says_what_a_browser_may_do_with_it(
    daemon: Running, path: str, status: int
) -> None:
    answer = await daemon.get(path)
    assert answer.status == status
    assert {name: answer.headers[name] for name in ALWAYS} == ALWAYS
    assert (answer.headers.get("Cache-Control") == "no-store") == path.startswith("/v1/")


async def test_a_stream_and_a_refusal_of_the_guard_say_it_too(daemon: Running) -> None:
    thread = await daemon.thread()
    async with daemon.http.get(f"/v1/threads/{thread}/events") as stream:
        assert {name: stream.headers[name] for name in ALWAYS} == ALWAYS
        assert stream.headers["Cache-Control"] == "no-store"
    refused = await daemon.get("/v1/threads", headers=NOBODY)
    assert (refused.status, refused.headers["Cache-Control"]) == (401, "no-store")
    assert {name: refused.headers[name] for name in ALWAYS} == ALWAYS


async def test_a_link_on_another_site_opens_a_page_and_nothing_else(daemon: Running) -> None:
    opened = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await daemon.get("/t/x", headers=opened)).status == 200
    assert (await daemon.get("/t/x", headers=opened | {"Host": "evil.example"})).code == "host"
    assert (await daemon.get("/t/x", headers=opened | {"Origin": "null"})).code == "origin"
    framed = opened | {"Sec-Fetch-Dest": "iframe"}
    assert (await daemon.get("/t/x", headers=framed)).code == "origin"
    assert (await daemon.get("/v1/threads", headers=opened)).code == "origin"
