"""The session advisory lock of the owner, on a connection of its own.

It ends with that connection and with nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable

from .connections import Connection

__all__ = ["Lock"]

_CLASS = 0x1F1417
"""Of our locks among those of a database; the other half of the key is the schema's."""
_IDLE, _INTERVAL, _COUNT = 30, 10, 3
"""Seconds of silence before the other machine is asked, seconds between questions, and how many before it
is gone.
"""
_HOLDERS = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = $1::bigint::oid AND objid = $2::bigint::oid
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"""
_NOT_ALLOWED = "42501"
"""SQLSTATE of a missing privilege."""
_HANG_UP = 2.0
"""Seconds for the goodbye."""


class Lock:
    """One advisory lock, held by one connection."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], broken: Callable[[], None]) -> None:
        """Open nothing yet.

        Args:
            connect: opens a connection.
            broken: hears of it when the connection ends that holds the lock, unless we ended it.
        """
        self._connect = connect
        self._broken = broken
        self._connection: Connection | None = None
        self._key = 0
        self._pid = 0

    async def open(self) -> None:
        """A connection that may take the lock."""
        connection = await self._connect()
        try:
            await _keep_alive(connection)
            schema = await connection.fetchval("SELECT current_schema()") or ""
            # 31 bits: a key of an advisory lock is a signed 32-bit integer.
            self._key = int.from_bytes(hashlib.sha256(schema.encode()).digest()[:4]) >> 1
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def take(self, within: float) -> bool:
        """Take the lock. Waiting is one statement, which the server answers when the lock is free (I9).

        Args:
            within: seconds to wait; 0: do not wait.

        Returns:
            False if somebody else has it.
        """
        connection = self._opened()
        if await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _CLASS, self._key):
            return self._taken(connection)
        if within <= 0:
            return False
        try:
            await connection.execute("SELECT pg_advisory_lock($1, $2)", _CLASS, self._key, timeout=within)
        except TimeoutError:
            # It may have been granted in this very moment.
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _CLASS, self._key):
                return False
        return self._taken(connection)

    async def end_others(self, *, ours: bool = False) -> bool:
        """End the connections that hold the lock.

        Ending those of another user takes a right that ours may not have; then they stay.

        Args:
            ours: only the one by which this process held it before.

        Returns:
            False if there is another one left.
        """
        connection = self._opened()
        holders = [pid for (pid,) in await connection.fetch(_HOLDERS, _CLASS, self._key)]
        ending = [pid for pid in holders if not ours or pid == self._pid]
        for pid in ending:
            try:
                await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
            except Exception as error:
                if getattr(error, "sqlstate", None) != _NOT_ALLOWED:
                    raise
                return False
        return ending == holders

    async def close(self) -> None:
        """Let go of it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.gather(connection.close(timeout=_HANG_UP), return_exceptions=True)

    def terminate(self) -> None:
        """Let go of it without a goodbye; ``broken`` is not called."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _opened(self) -> Connection:
        assert self._connection is not None, "the lock's connection is open"
        return self._connection

    def _taken(self, connection: Connection) -> bool:
        self._pid = connection.get_server_pid()
        # asyncpg calls it in the event loop, also when the other side has gone without a word.
        connection.add_termination_listener(self._ended)
        # It may have ended before we listened.
        if connection.is_closed():
            self._ended(connection)
        return True

    def _ended(self, connection: Connection) -> None:
        if connection is self._connection:
            self._connection = None
            self._broken()


async def _keep_alive(connection: Connection) -> None:
    """The kernels ask whether the other machine is there; neither process is woken for it."""
    for name, value in (("idle", _IDLE), ("interval", _INTERVAL), ("count", _COUNT)):
        await connection.execute(f"SET tcp_keepalives_{name} = {value}")
    # asyncpg offers no public way to its socket.
    transport = getattr(connection, "_transport", None)
    wire = transport.get_extra_info("socket") if transport is not None else None
    if wire is None or wire.family not in (socket.AF_INET, socket.AF_INET6):
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = (("TCP_KEEPIDLE", _IDLE), ("TCP_KEEPINTVL", _INTERVAL), ("TCP_KEEPCNT", _COUNT))
    for option, value in options:
        if hasattr(socket, option):
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
