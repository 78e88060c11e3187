"""The number that says which owner may write: compared by every transaction of the owner, raised by each
next owner (R12).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from infinity.errors import StoreLocked

from .connections import Connection
from .platform import Platform

__all__ = ["Epoch", "Owner", "raise_epoch", "read_owner", "write_owner"]

_ROWS = 64
"""All hold the same number.

Transactions take turns in them, so that those of one moment do not meet in a row.
"""
_KEYS = [f"owner.{row:02}" for row in range(_ROWS)]
_OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns the database, as it is recorded.

    ``home``: a digest that tells homes apart; ``name``: for people; ``free``: it has stopped in order.
    """

    home: str = ""
    name: str = ""
    free: bool = True

    def encode(self) -> bytes:
        """The record, as JSON."""
        return json.dumps({"home": self.home, "name": self.name, "free": self.free}).encode()


class Epoch:
    """The epoch of one owner, for as long as it owns the database. ``lost`` hears once when another has
    raised it.
    """

    def __init__(self, number: int, platform: Platform, where: str) -> None:
        """Take the number.

        Args:
            number: from ``raise_epoch``.
            platform: how a row is kept as it is.
            where: the server and database, for errors.
        """
        self.number = number
        self._value = str(number).encode()
        self._where = where
        self._lock = platform.lock_row
        self._turn = 0
        self._told = False
        self.lost: Callable[[StoreLocked], None] = lambda _: None

    async def fence(self, connection: Connection) -> None:
        """The first statement of a transaction that writes: nobody raises the epoch before the transaction
        has ended.

        Args:
            connection: within the transaction.

        Raises:
            StoreLocked: somebody has raised it; nothing may be written.
        """
        self._turn = (self._turn + 1) % _ROWS
        await self._compare(connection, self._turn, self._lock)

    async def compare(self, connection: Connection) -> None:
        """Whether the epoch is still ours, for a look at what is to be sent or run.

        Args:
            connection: for one look.

        Raises:
            StoreLocked: somebody has raised it.
        """
        await self._compare(connection, 0, "")

    async def _compare(self, connection: Connection, row: int, lock: str) -> None:
        sql = f"SELECT value FROM meta WHERE key = $1 {lock}"
        if await connection.fetchval(sql, _KEYS[row]) == self._value:
            return
        # Only now, for the error: while the epoch is ours, a look costs one row.
        owner = await read_owner(connection)
        error = StoreLocked(
            f"the database {self._where} was taken over by another daemon ({owner.name or 'unknown'}); this one has stopped sending and writes nothing"
        )
        if not self._told:
            self._told = True
            self.lost(error)
        raise error


async def read_owner(connection: Connection) -> Owner:
    """The owner on record; a free one if nobody ever owned the database.

    Args:
        connection: for one look.
    """
    value = await connection.fetchval("SELECT value FROM meta WHERE key = $1", _OWNER)
    if value is None:
        return Owner()
    found = json.loads(value)
    return Owner(found["home"], found["name"], found["free"])


async def raise_epoch(connection: Connection, owner: Owner) -> int:
    """Become the owner: this one owns the database from the commit of the transaction on.

    Every transaction of an earlier owner has ended by then, or will be refused.

    Args:
        connection: within a transaction.
        owner: what is recorded.

    Returns:
        The new number.
    """
    stored = await connection.fetch("SELECT value FROM meta WHERE key = ANY($1::text[])", _KEYS)
    number = max((int(value) for (value,) in stored), default=0) + 1
    sql = """INSERT INTO meta (key, value) SELECT each, $2 FROM unnest($1::text[]) AS each
             ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
    await connection.execute(sql, _KEYS, str(number).encode())
    await write_owner(connection, owner)
    return number


async def write_owner(connection: Connection, owner: Owner) -> None:
    """Record who owns the database.

    Args:
        connection: within a transaction.
        owner: what is recorded.
    """
    sql = (
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    await connection.execute(sql, _OWNER, owner.encode())
