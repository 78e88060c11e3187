"""Who may talk to the daemon: token or console, Host and Origin (S4), before anything of the request is read.

The outermost middleware but for the count of connections (``local/connections.py``). A route that is added later needs the token without anything being done for it; only
those named here are open, and what a page of the console may not do is named here as well. It also gives every failure its response and counts it, so that no handler needs to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from infinity.api.backend import Part
from infinity.api.errors import Refused
from infinity.api.requests import check_token
from infinity.api.routes import routes_of

from .addresses import LOOPBACK_NAMES, host_name, is_address, is_loopback
from .backend import BACKEND, Address, DaemonBackend
from .console.access import ConsoleAccess
from .http import error_response, response

__all__ = ["guard"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALLBACKS = "/callback/{token}"
"""Tool servers call it from anywhere, by whatever name; its credential is in the path (CB-5)."""

METRICS = "/metrics"
SIGN_IN = ("POST", "/v1/console/session")
"""Its credential is the code in its body."""
_TOKEN_ONLY = frozenset({("POST", "/v1/console/codes")})
"""A page must not be able to let in another one."""
_OPEN = frozenset({CALLBACKS, "/healthz", "/openapi.json", None})
"""Everything else but ``_SHELL`` and ``SIGN_IN`` needs the token or a session of the console, routes of later versions included; ``METRICS`` where it can be
reached from elsewhere."""
_SHELL = frozenset(route.path.replace(":.+", "") for route in routes_of(Part.CONSOLE) if not route.described)
"""The console's pages and files: they hold no data."""

_WHERE = "from the file 'token' in the daemon's home"
_ANY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 recognised, not bound


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check, count, and give every failure its shape."""
    backend = request.app[BACKEND]
    answered: web.StreamResponse
    try:
        route = _route(request)
        if route != CALLBACKS:
            _check_host(request, backend.address)
            if route not in _SHELL or not _navigates(request):
                _check_origin(request, backend.address)
        if _is_open(request, route, backend.address):
            answered = await handler(request)
        elif (console := _console_of(request, route, backend)) is not None:
            answered = await _for_page(request, handler, console)
        else:
            check_token(request.headers, backend.token, _WHERE)
            answered = await handler(request)
    except Exception as error:  # noqa: BLE001 the one place where a request's failure becomes its answer
        answered = error_response(error, backend.home)
    if answered.status in (404, 410):
        answered = await _moved(request, backend) or answered
    backend.metrics.request(request.method, _route(request) or "other", answered.status)
    return answered


def _is_open(request: web.Request, route: str | None, address: Address) -> bool:
    """Whether neither token nor session is asked for."""
    if route in _OPEN or route in _SHELL or (request.method, route) == SIGN_IN:
        return True
    return route == METRICS and _on_loopback(request, address)


def _console_of(request: web.Request, route: str | None, backend: DaemonBackend) -> ConsoleAccess | None:
    """The console, if it has to say whether the request is let in; ``None`` leaves that to the token."""
    if backend.console is None or (request.method, route) in _TOKEN_ONLY:
        return None
    return backend.console if backend.console.meant(request) else None


async def _for_page(request: web.Request, handler: Handler, console: ConsoleAccess) -> web.StreamResponse:
    """Answer a page with a session, and give that its whole time again."""
    session = console.admit(request)
    with console.at_work(session, request):
        answered = await handler(request)
    renewed = console.sessions.renewed(session)
    if renewed is not None and not answered.prepared:
        console.set_cookie(answered, renewed)
    return answered


async def _moved(request: web.Request, backend: DaemonBackend) -> web.Response | None:
    """What is not here may be elsewhere: 410 says where, 503 that a move is under way."""
    thread = request.match_info.get("id")
    if backend.moves is None or thread is None or not (_route(request) or "").startswith("/v1/threads/"):
        return None
    absent = await backend.moves.absent(thread)
    return response(backend.moved(absent.text, for_good=absent.for_good)) if absent is not None else None


def _check_host(request: web.Request, address: Address) -> None:
    """A web page must not reach the daemon by a name that it points here."""
    host = host_name(request.headers.get("Host", ""))
    if host is None or not _is_ours(host, address):
        raise Refused(
            403,
            "host",
            "this daemon does not answer to that Host; use its own address, or add the name to [daemon] hosts",
        )


def _check_origin(request: web.Request, address: Address) -> None:
    """A web page in a browser on this machine must not reach the daemon by its own name."""
    origin = request.headers.get("Origin")
    if origin is not None and not _same_site(origin, address):
        raise Refused(403, "origin", "requests from web pages of other origins are refused")
    if origin is None and request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Refused(403, "origin", "requests from web pages of other origins are refused")


def _navigates(request: web.Request) -> bool:
    """Whether a browser opens a page in a window of its own, from wherever somebody followed a link."""
    return request.headers.get("Sec-Fetch-Dest") == "document" and "Origin" not in request.headers


def _on_loopback(request: web.Request, address: Address) -> bool:
    """Whether only this machine can have asked: the daemon listens nowhere else, and no proxy passed the request on under another name."""
    return is_loopback(address.host) and host_name(request.headers.get("Host", "")) in LOOPBACK_NAMES


def _is_ours(name: str, address: Address) -> bool:
    public = urlsplit(address.public_url).hostname
    if name in LOOPBACK_NAMES or name in (address.host.lower(), public) or name in address.hosts:
        return True
    # Bound to every interface, it is called by addresses that it does not know; no page can rebind an address.
    return address.host in _ANY_ADDRESS and is_address(name)


def _same_site(origin: str, address: Address) -> bool:
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return False
    public = urlsplit(address.public_url)
    if (parts.scheme, parts.netloc) == (public.scheme, public.netloc):
        return True
    name = (parts.hostname or "").lower()
    return parts.scheme == "http" and port == address.port and bool(name) and _is_ours(name, address)


def _route(request: web.Request) -> str | None:
    """The pattern that will serve the request, whatever its path is spelt like; ``None`` if nothing will."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else None
