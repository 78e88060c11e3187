"""A database by its URL: ``postgresql://user@host/database``, or a cluster of Aurora DSQL by its host
name.

``opening`` is the caller. What differs between the two servers when logging in is here; what differs
later is in ``platform``.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from infinity.aws.credentials import FoundCredentials
from infinity.aws.signing import login_token
from infinity.errors import ConfigError
from infinity.supervision import in_thread

from .connections import Connection, Connections
from .platform import DSQL, POSTGRESQL, Platform

__all__ = ["Address", "Signer", "connections", "connector", "open_address"]

_CLUSTER = re.compile(r"[a-z0-9]+\.dsql\.(?P<region>[a-z0-9-]+)\.on\.aws")
_CONNECT_TIMEOUT = 10.0
"""Seconds for one login."""
_COMMAND_TIMEOUT = 60.0
"""Seconds of one statement."""
_TOKEN_LIFETIME = 900
"""Seconds for which a login token is good."""

Signer = Callable[[str, str, str], str]
"""Host, region and user → a token that is the password of the next login.

Made offline; reads the credentials of the environment.
"""


@dataclass(frozen=True, slots=True)
class Address:
    """A database that was named. ``where`` names it in errors and logs: without the password (S9)."""

    url: str = field(repr=False)
    platform: Platform
    where: str


def open_address(url: str) -> Address:
    """Read a URL; nothing is connected.

    Args:
        url: ``postgresql://user:password@host:port/database``; of a DSQL cluster the password is made
            for each login.

    Raises:
        ConfigError: it is no such URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ConfigError(
            f"the store's URL begins with {parts.scheme or 'nothing'}://; write postgresql://user@host/database"
        )
    host = parts.hostname or "the local socket"
    where = f"{parts.path.lstrip('/') or parts.username or 'postgres'} at {host}"
    return Address(url, DSQL if _CLUSTER.fullmatch(host) else POSTGRESQL, where)


def connections(
    address: Address,
    *,
    signer: Signer | None = None,
    now: Callable[[], float] = time.monotonic,
    command_timeout: float = _COMMAND_TIMEOUT,
) -> Connections:
    """Connections to this database. The first is made when one is needed.

    Args:
        address: from ``open_address``.
        signer: makes the password of a login at a DSQL cluster; the environment's credentials if not
            given.
        now: a monotonic clock in seconds, for the age of connections.
        command_timeout: seconds of one statement.

    Raises:
        ConfigError: asyncpg is not installed.
    """
    connect = connector(address, signer=signer, command_timeout=command_timeout)
    return Connections(connect, lifetime=address.platform.lifetime, now=now)


def connector(
    address: Address, *, signer: Signer | None = None, command_timeout: float = _COMMAND_TIMEOUT
) -> Callable[[], Awaitable[Connection]]:
    """What opens one connection; for the one that holds the owner's lock, too.

    Args:
        address: from ``open_address``.
        signer: as for ``connections``.
        command_timeout: seconds of one statement.

    Returns:
        A coroutine function. It raises ``ConfigError`` if the server's transactions are not repeatable
        reads, and whatever asyncpg raises.

    Raises:
        ConfigError: asyncpg is not installed.
    """
    connect = _driver()
    to_cluster = address.platform is DSQL
    how = _to_cluster(address, signer or _sign) if to_cluster else _plainly(address)

    async def one() -> Connection:
        connection = await connect(
            # In a thread: who signs may have to fetch credentials first.
            **await in_thread(how),
            server_settings=dict(address.platform.settings),
            timeout=_CONNECT_TIMEOUT,
            command_timeout=command_timeout,
        )
        # A cluster has no other isolation.
        if not to_cluster:
            await _check_isolation(connection, address.where)
        return connection

    return one


def _plainly(address: Address) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"dsn": address.url}


def _to_cluster(address: Address, signer: Signer) -> Callable[[], Mapping[str, Any]]:
    """A token for each login: it is good for minutes, the connection for as long as the cluster allows."""
    parts = urlsplit(address.url)
    host, user = parts.hostname or "", unquote(parts.username or "admin")
    found = _CLUSTER.fullmatch(host)
    region = found["region"] if found else ""
    # verify-full: the certificate must be of a known authority, and of this very host.
    context = ssl.create_default_context()

    def how() -> Mapping[str, Any]:
        return {
            "host": host,
            "port": parts.port or 5432,
            "user": user,
            "database": unquote(parts.path.lstrip("/")) or "postgres",
            "password": signer(host, region, user),
            "ssl": context,
        }

    return how


def _sign(host: str, region: str, user: str) -> str:
    keys = FoundCredentials(os.environ).load()
    admin = user == "admin"
    return login_token(host, region, keys, at=time.time(), admin=admin, expires=_TOKEN_LIFETIME)


async def _check_isolation(connection: Connection, where: str) -> None:
    """A pooler in between may drop what a connection is opened with; the fence of commits needs it (I1)."""
    found = await connection.fetchval("SHOW transaction_isolation")
    if found != "repeatable read":
        connection.terminate()
        raise ConfigError(
            f"transactions of the database {where} are {found}, not repeatable read: connect to the server itself, not by a pooler, or run: ALTER ROLE … SET default_transaction_isolation = 'repeatable read'"
        )


def _driver() -> Callable[..., Awaitable[Connection]]:
    try:
        import asyncpg  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(
            "a store on PostgreSQL needs asyncpg; run: pip install 'infinity-runtime[postgres]'"
        ) from error
    connect: Callable[..., Awaitable[Connection]] = asyncpg.connect
    return connect
