"""Where a server may send the bridge to sign in (S15)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import httpx2
import pytest
from mcp.client.auth.exceptions import OAuthFlowError

from infinity.mcp.elsewhere import is_public, pinned

PUBLIC = "93.184.216.34"


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and the addresses that they lead to."""
    known: dict[str, list[str]] = {}

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        try:
            addresses = [str(ipaddress.ip_address(host))]
        except ValueError:
            if host not in known:
                raise socket.gaierror from None
            addresses = known[host]
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return known


async def sent(url: str, server: str) -> httpx2.Request:
    return await pinned(httpx2.Request("GET", url), httpx2.URL(server))


@pytest.mark.trap("S15")
@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://[64:ff9b::a00:1]/x",
        "https://[fd00::1]/x",
        "https://0.0.0.0/x",
        "https://localhost/x",
        "https://inside.example/x",
        "https://both.example/x",
        "https://unknown.example/x",
        "ftp://login.example/x",
    ],
)
async def test_nothing_is_sent_to_what_is_not_public(names: dict[str, list[str]], url: str) -> None:
    names.update(
        {
            "login.example": [PUBLIC],
            "inside.example": ["192.168.1.1"],
            "both.example": [PUBLIC, "10.1.2.3"],
            "localhost": ["127.0.0.1"],
        }
    )
    with pytest.raises(OAuthFlowError, match="to sign in at"):
        await sent(url, "https://mcp.example/mcp")


@pytest.mark.trap("S15")
async def test_a_public_name_is_sent_to_the_address_that_was_looked_at(names: dict[str, list[str]]) -> None:
    names["login.example"] = [PUBLIC]
    request = await sent("https://login.example:8443/x?y=1", "https://mcp.example/mcp")
    assert str(request.url) == f"https://{PUBLIC}:8443/x?y=1"
    assert request.headers["host"] == "login.example:8443"
    assert request.extensions["sni_hostname"] == "login.example"


async def test_the_configured_origin_and_loopback_for_loopback_are_left_alone(
    names: dict[str, list[str]],
) -> None:
    for url, server in (
        ("http://intranet:8000/x", "http://intranet:8000/mcp"),
        ("http://127.0.0.1:9/x", "http://localhost:8000/mcp"),
        ("http://[::1]:9/x", "http://127.0.0.1:8000/mcp"),
    ):
        assert str((await sent(url, server)).url) == url
    with pytest.raises(OAuthFlowError):
        await sent("https://10.0.0.1/x", "http://localhost:8000/mcp")


def test_addresses_within_addresses_are_seen() -> None:
    assert is_public(ipaddress.ip_address(PUBLIC)) and is_public(ipaddress.ip_address("2606:2800:220:1::1"))
    for hidden in (
        "::ffff:127.0.0.1",
        "2002:a00:1::",
        "64:ff9b::7f00:1",
        "224.0.0.1",
        "100.64.0.1",
        "fe80::1",
    ):
        assert not is_public(ipaddress.ip_address(hidden)), hidden
