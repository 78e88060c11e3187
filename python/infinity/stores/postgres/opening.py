"""From a URL to a store that can be used, or to tables that were made.

The daemon, the cloud host and ``infinity daemon migrate`` begin here. Opening a store never makes or
changes a table: that takes other privileges, and is done on purpose.
"""

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
    """Open the store of a database whose tables are there and of this version.

    Args:
        url: of the database.
        signer: makes the password of a login at a DSQL cluster.
        now: a monotonic clock in seconds, for the age of connections.
        claim: own the database from here on (R12); without one, several processes may commit.

    Raises:
        ConfigError: the URL is none, or the tables are missing or old; the text says what to run or to
            change.
        NewerStore: a newer version made the tables.
        StoreLocked: somebody else owns the database and does not let go in time.
        StoreError: the server does not answer.
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
    """The same over transactions that are there. They are closed if the store cannot be used.

    Args:
        transactions: of the database.
        claim: by whom it is owned from here on.
        connect: opens the connection that holds the lock.
    """
    await check_tables(transactions, transactions.where)
    ownership = Ownership(transactions, claim, connect)
    try:
        await ownership.claim()
    except BaseException:
        await transactions.close()
        raise
    return PostgresStore(transactions, ownership)


async def migrate(url: str, *, signer: Signer | None = None) -> tuple[int, int]:
    """Make the tables, or bring them up to date. Harmless if there is nothing to do.

    Args:
        url: of the database, as a user that may make tables.
        signer: makes the password of a login at a DSQL cluster.

    Returns:
        The version before (0: none) and now.

    Raises:
        NewerStore: a newer version made the tables.
        StoreError: the server does not answer; what was done stays, and the command may be repeated.
    """
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
    """A store over connections that are there. They are closed if it cannot be used.

    Args:
        opened: connections to the database.
        platform: which server it is.
        where: the server and database, for errors.
        retries: how often a transaction is tried.
    """
    transactions = Transactions(opened, platform, where, retries)
    await check_tables(transactions, where)
    return PostgresStore(transactions)


async def check_tables(transactions: Transactions, where: str) -> None:
    """Whether the tables are there and of this version; the connections are closed if not.

    Args:
        transactions: of the database.
        where: the server and database, for errors.

    Raises:
        ConfigError: they are missing or old.
        NewerStore: a newer version made them.
    """

    async def look(connection: Connection, _: bool) -> None:
        await schema.check(connection, where)

    try:
        await transactions.look(look)
    except BaseException:
        await transactions.close()
        raise
