"""The console's pages and their files, from the table that ``infinity.console`` has read; and the headers that each answer of the daemon carries.

A page holds no data, so anyone who may talk to the daemon gets it; what it shows it asks of the API. No part of a request becomes a path.
"""

from __future__ import annotations

from aiohttp import web

from infinity.console import console

__all__ = ["add_headers", "get_asset", "get_page"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FOR_EVER = "public, max-age=31536000, immutable"
"""The address of a file changes with its bytes."""


async def get_page(_: web.Request) -> web.Response:
    """The same for each page: what is shown is decided in the browser, by the address."""
    return web.Response(
        body=console().page,
        headers={"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"},
    )


async def get_asset(request: web.Request) -> web.Response:
    """A file of the console, under the digest of all of them.

    Raises:
        HTTPNotFound: for another digest, of another version, or another name.
    """
    known = console()
    found = known.assets.get(request.match_info["name"])
    if found is None or request.match_info["digest"] != known.digest:
        raise web.HTTPNotFound
    return web.Response(
        body=found.body, headers={"Content-Type": found.content_type, "Cache-Control": _FOR_EVER}
    )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Before any answer is sent, a refusal or a stream as well: no browser may take it for more than it is, frame it, or keep it."""
    response.headers.update(_HEADERS)
    if request.path.startswith("/v1/"):
        response.headers["Cache-Control"] = "no-store"
