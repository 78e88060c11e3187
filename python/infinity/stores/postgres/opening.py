"""From a URL to a store that can be used, or to tables that were made."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from . import schema
from .address import Signer, connections, connector, open_address
from .connections import Connection, Connections
from .ownership import Claim, Ownership
from .platform import Platform
from .store import PostgresStore
from .transactions import Retries, Transactions

__all__ = ["check_tables", "migrate", "open_store", "owned_store", "store_on"]


async def open_store(
    url: str,
    *,
    signer: Signer | None = None,
    now: Callable[[], float] = time.monotonic,
    claim: Claim | None = None,
) -> PostgresStore:
    """Look whether the tables are there and of this version; make none. With a ``claim``, own the database from here on: ``StoreLocked`` if
    somebody else does and does not let go in time.

    ``ConfigError`` says what to run or to change; ``NewerStore`` if a newer version made the tables; ``StoreError`` if the server does not answer.
    """
    address = open_address(url)
    opened = connections(address, signer=signer, now=now)
    if claim is None:
        return await store_on(opened, address.platform, address.where)
    transactions = Transactions(opened, address.platform, address.where)
    return await owned_store(transactions, claim, connector(address, signer=signer))


async def owned_store(
    transactions: Transactions, claim: Claim, connect: Callable[[], Awaitable[Connection]]
) -> PostgresStore:
    """``connect`` opens the connection that holds the lock."""
    await check_tables(transactions, transactions.where)
    ownership = Ownership(transactions, claim, connect)
    try:
        await ownership.claim()
    except BaseException:
        await transactions.close()
        raise
    return PostgresStore(transactions, ownership)


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
