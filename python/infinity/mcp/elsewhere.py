"""Requests to other origins than the configured one: where a server says that people sign in (S15).

The addresses come from the server, and the bridge stands inside the user's network. So they are https, or
on loopback for a server that is itself there, and no name may lead to an address that is not public. The
connection is made to the address that was looked at, not to one that the name has a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx2
from mcp.client.auth.exceptions import OAuthFlowError

__all__ = ["is_public", "pinned"]

RESOLVE_SECONDS = 10.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def pinned(request: httpx2.Request, configured: httpx2.URL) -> httpx2.Request:
    """Direct a request to an address that was looked at.

    Args:
        request: What the SDK is about to send.
        configured: The server's own URL, whose origin needs no look.

    Returns:
        The request itself, or one to the address with the name kept in ``Host`` and for TLS.

    Raises:
        OAuthFlowError: if nothing may be sent there.
    """
    url = request.url
    if _origin(url) == _origin(configured):
        return request
    host = url.host
    if host in _LOOPBACK and configured.host in _LOOPBACK:
        return request
    if url.scheme != "https":
        raise OAuthFlowError(f"the server names {url.scheme}://{host} to sign in at, which is not https")
    addresses = await _resolved(host, url.port or 443)
    # One private address among several is enough to refuse: the connection could be made to any of them.
    hidden = [found for found in addresses if not is_public(found)]
    if not addresses or hidden:
        where = (
            f", which leads to {hidden[0]}, an address of a private network"
            if hidden
            else ", which is not known"
        )
        raise OAuthFlowError(f"the server names {host} to sign in at{where}")
    extensions = {**request.extensions, "sni_hostname": host}
    to = url.copy_with(host=str(addresses[0]))
    # The header Host keeps the name: it was set when the request was made.
    return httpx2.Request(
        request.method, to, headers=request.headers, stream=request.stream, extensions=extensions
    )


def is_public(address: Address) -> bool:
    """Whether it is an address of the Internet, whatever it is written as."""
    plain = _plain(address)
    return plain.is_global and not plain.is_multicast


def _plain(address: Address) -> Address:
    """The address that packets go to: of IPv4 within IPv6, that."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


async def _resolved(host: str, port: int) -> list[Address]:
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
