"""Values too large for a column are kept elsewhere, and a reference stands in their place (the claim
check).

A record begins with its version and a body with JSON, so that neither is ever taken for a reference.
What is referred to is durable before the transaction that refers to it; a transaction that does not
commit leaves something behind that nobody refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from .connections import Connection
from .platform import Platform

__all__ = ["Blobs", "LargeValues", "owned_by"]

_MARK = b"\xffclaim:"
"""A reference begins with it; no record and no JSON does."""
_SMALL = 16 << 10
"""Bytes that are worth a place elsewhere once a transaction is half full."""


_owner: ContextVar[str] = ContextVar("infinity_large_owner", default="")


@contextmanager
def owned_by(thread: str) -> Iterator[None]:
    """What becomes too large in this block belongs to this thread, and goes with its tree.

    Args:
        thread: its id.
    """
    token = _owner.set(thread)
    try:
        yield
    finally:
        _owner.reset(token)


class Blobs(Protocol):
    """Where large values are kept; ``cloud.blobs`` on S3.

    ``put`` is idempotent: the same content has the same key. ``get`` raises ``DamagedStore`` for what
    is not exactly what was put.
    """

    async def put(self, thread: str, name: str, body: bytes) -> str:
        """Keep a value.

        Args:
            thread: to whose tree it belongs.
            name: what the value is within the thread; a digest of it is part of the key. May be empty.
            body: the value.

        Returns:
            Its key.
        """
        ...

    async def get(self, key: str) -> bytes:
        """The value that was put under this key.

        Args:
            key: from ``put``.

        Raises:
            DamagedStore: it is not there, or not what was put.
        """
        ...


class LargeValues:
    """In place of a connection for one transaction: takes and gives whole values, whatever their size."""

    def __init__(self, connection: Connection, platform: Platform, blobs: Blobs) -> None:
        """Stand in for a connection during one transaction.

        Args:
            connection: the real one.
            platform: how large a column and a transaction may be.
            blobs: where the rest goes.
        """
        self._connection = connection
        self._blobs = blobs
        self._value, self._size = platform.value, platform.size
        self._written = 0

    async def execute(self, sql: str, *arguments: Any) -> str:
        """As the connection's: the command tag. Values of ``arguments`` that are too large are kept
        elsewhere first.
        """
        return str(await self._connection.execute(sql, *await self._stowed(arguments)))

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        """As the connection's, with whole values."""
        rows = await self._connection.fetch(sql, *await self._stowed(arguments))
        return [await self._whole_row(row) for row in rows]

    async def fetchrow(self, sql: str, *arguments: Any) -> Any:
        """As the connection's, with whole values; ``None`` if there is no row."""
        row = await self._connection.fetchrow(sql, *await self._stowed(arguments))
        return None if row is None else await self._whole_row(row)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """As the connection's, with a whole value."""
        return await self._whole(await self._connection.fetchval(sql, *await self._stowed(arguments)))

    async def _stowed(self, arguments: Sequence[Any]) -> list[Any]:
        return [
            [await self._stow(each) for each in value]
            if isinstance(value, list | tuple)
            else await self._stow(value)
            for value in arguments
        ]

    async def _stow(self, value: Any) -> Any:
        if not isinstance(value, bytes):
            return value
        # Durable before the transaction is: a reference never points at nothing.
        if len(value) > self._most():
            return _MARK + (await self._blobs.put(_owner.get(), "", value)).encode()
        self._written += len(value)
        return value

    def _most(self) -> int:
        """A value may be as large as a column takes, while the transaction has room."""
        if self._size is not None and self._written > self._size // 2:
            return _SMALL
        return self._value if self._value is not None else 1 << 62

    async def _whole_row(self, row: Any) -> Any:
        values = tuple(row)
        if any(isinstance(value, bytes) and value.startswith(_MARK) for value in values):
            return tuple([await self._whole(value) for value in values])
        return row

    async def _whole(self, value: Any) -> Any:
        if isinstance(value, bytes) and value.startswith(_MARK):
            return await self._blobs.get(value[len(_MARK) :].decode())
        return value
