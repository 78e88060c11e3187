"""Names and addresses as requests carry them: what stands in ``Host``, and what only this machine can mean by it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["LOOPBACK_NAMES", "Address", "host_name", "is_address", "is_loopback"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the daemon listens and by which names it may be called (S4)."""

    host: str
    port: int
    public_url: str
    hosts: tuple[str, ...] = ()


LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def host_name(host: str) -> str | None:
    """The name in a Host header, without its port; ``None`` for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return (parts.hostname or "").lower() or None


def is_address(name: str) -> bool:
    """Whether it is a number and no name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can mean it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
