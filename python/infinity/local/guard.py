"""Who may talk to the daemon: token, Host and Origin (S4), before anything of the request is read.

The outermost middleware but for the count of connections (``local/connections.py``). A route that is added later needs the token without anything being done for it; only
those named here are open. It also gives every failure its response and counts it, so that no handler needs to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from infinity.api.backend import Part
from infinity.api.errors import Refused
from infinity.api.requests import check_token
from infinity.api.routes import routes_of

from .backend import BACKEND, Address, DaemonBackend
from .http import error_response, response

__all__ = ["guard"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALLBACKS = "/callback/{token}"
"""Tool servers call it from anywhere, by whatever name; its credential is in the path (CB-5)."""

METRICS = "/metrics"
_OPEN = frozenset({CALLBACKS, "/healthz", "/openapi.json", None})
"""Everything else but ``_SHELL`` needs the token, routes of later versions included; ``METRICS`` where it can be reached from elsewhere."""
_SHELL = frozenset(route.path.replace(":.+", "") for route in routes_of(Part.CONSOLE) if not route.described)
"""The console's pages and files: they hold no data."""

_WHERE = "from the file 'token' in the daemon's home"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
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
        if route not in _OPEN | _SHELL and not (route == METRICS and _on_loopback(request, backend.address)):
            check_token(request.headers, backend.token, _WHERE)
        answered = await handler(request)
    except Exception as error:  # noqa: BLE001 the one place where a request's failure becomes its answer
        answered = error_response(error, backend.home)
    if answered.status in (404, 410):
        answered = await _moved(request, backend) or answered
    backend.metrics.request(request.method, _route(request) or "other", answered.status)
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
    host = _name(request.headers.get("Host", ""))
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
    headers = request.headers
    return (
        headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and "Origin" not in headers
    )


def _on_loopback(request: web.Request, address: Address) -> bool:
    """Whether only this machine can have asked: the daemon listens nowhere else, and no proxy passed the request on under another name."""
    return is_loopback(address.host) and _name(request.headers.get("Host", "")) in _LOOPBACK_NAMES


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _name(host: str) -> str | None:
    """The name in a Host header, without its port."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return (parts.hostname or "").lower() or None


def _is_ours(name: str, address: Address) -> bool:
    public = urlsplit(address.public_url).hostname
    if name in _LOOPBACK_NAMES or name in (address.host.lower(), public) or name in address.hosts:
        return True
    # Bound to every interface, it is called by addresses that it does not know; no page can rebind an address.
    return address.host in _ANY_ADDRESS and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


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
