"""The number that says which owner may write: compared by every transaction of the owner, raised by whoever becomes the next one (R12)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from infinity.errors import StoreLocked

from .connections import Connection
from .platform import Platform

__all__ = ["Epoch", "Owner", "raise_epoch", "read_owner", "write_owner"]

_ROWS = 64
"""All hold the same number. Transactions take turns in them, so that those of one moment do not meet in a row."""
_KEYS = [f"owner.{row:02}" for row in range(_ROWS)]
_OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns the database, as it is recorded. ``home``: a digest that tells homes apart; ``name``: for people; ``free``: it has stopped in order."""

    home: str = ""
    name: str = ""
    free: bool = True

    def encode(self) -> bytes:
        return json.dumps({"home": self.home, "name": self.name, "free": self.free}).encode()


class Epoch:
    """``lost`` hears of it once when another owner has raised the epoch."""

    def __init__(self, number: int, platform: Platform, where: str) -> None:
        self.number = number
        self._value = str(number).encode()
        self._where = where
        self._lock = platform.lock_row
        self._turn = 0
        self._told = False
        self.lost: Callable[[StoreLocked], None] = lambda _: None

    async def fence(self, connection: Connection) -> None:
        """First in a transaction that writes: nobody raises the epoch before it has ended. ``StoreLocked`` if somebody has."""
        self._turn = (self._turn + 1) % _ROWS
        await self._compare(connection, self._turn, self._lock)

    async def compare(self, connection: Connection) -> None:
        """For a look at what is to be sent or run. ``StoreLocked``."""
        await self._compare(connection, 0, "")

    async def _compare(self, connection: Connection, row: int, lock: str) -> None:
        sql = f"SELECT value FROM meta WHERE key = $1 {lock}"
        if await connection.fetchval(sql, _KEYS[row]) == self._value:
            return
        owner = await read_owner(connection)
        error = StoreLocked(
            f"the database {self._where} was taken over by another daemon ({owner.name or 'unknown'}); this one has stopped sending and writes nothing"
        )
        if not self._told:
            self._told = True
            self.lost(error)
        raise error


async def read_owner(connection: Connection) -> Owner:
    value = await connection.fetchval("SELECT value FROM meta WHERE key = $1", _OWNER)
    if value is None:
        return Owner()
    found = json.loads(value)
    return Owner(found["home"], found["name"], found["free"])


async def raise_epoch(connection: Connection, owner: Owner) -> int:
    """In a transaction: this one owns the database from its commit on. Every transaction of an earlier owner has ended by then, or will be refused."""
    stored = await connection.fetch("SELECT value FROM meta WHERE key = ANY($1::text[])", _KEYS)
    number = max((int(value) for (value,) in stored), default=0) + 1
    sql = """INSERT INTO meta (key, value) SELECT each, $2 FROM unnest($1::text[]) AS each
             ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
    await connection.execute(sql, _KEYS, str(number).encode())
    await write_owner(connection, owner)
    return number


async def write_owner(connection: Connection, owner: Owner) -> None:
    sql = (
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    await connection.execute(sql, _OWNER, owner.encode())
