"""From a URL to a store that can be used, or to tables that were made."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import schema
from .address import Signer, connections, open_address
from .connections import Connection, Connections
from .platform import Platform
from .store import PostgresStore
from .transactions import Retries, Transactions

__all__ = ["check_tables", "migrate", "open_store", "store_on"]


async def open_store(
    url: str, *, signer: Signer | None = None, now: Callable[[], float] = time.monotonic
) -> PostgresStore:
    """Look whether the tables are there and of this version; make none.

    ``ConfigError`` says what to run or to change; ``NewerStore`` if a newer version made the tables; ``StoreError`` if the server does not answer.
    """
    address = open_address(url)
    return await store_on(connections(address, signer=signer, now=now), address.platform, address.where)


async def migrate(url: str, *, signer: Signer | None = None) -> tuple[int, int]:
    """Make the tables, or bring them up to date: the version before (0: none) and now."""
    address = open_address(url)
    opened = connections(address, signer=signer)
    try:
        before = await schema.migrate(opened, address.platform, address.where)
    finally:
        await opened.close()
    return before, schema.VERSION


async def store_on(
    opened: Connections, platform: Platform, where: str, retries: Retries | None = None
) -> PostgresStore:
    """Over connections that are there. They are closed if the store cannot be used."""
    transactions = Transactions(opened, platform, where, retries)
    await check_tables(transactions, where)
    return PostgresStore(transactions)


async def check_tables(transactions: Transactions, where: str) -> None:
    """Whether the tables are there and of this version; the connections are closed if not."""

    async def look(connection: Connection, _: bool) -> None:
        await schema.check(connection, where)

    try:
        await transactions.look(look)
    except BaseException:
        await transactions.close()
        raise
