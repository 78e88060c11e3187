"""Database roles of the functions: made, allowed to read and write rows and nothing else, and on Aurora
DSQL given to IAM roles that log in as them.

The receiver, which everybody may call, and the sweep have roles of their own: neither reads what was
said, deletes anything, or changes what a slice has committed. ``infinity cloud migrate`` calls this, as
a user that may make roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from infinity.errors import ConfigError

from .address import Address, Signer, connections, open_address
from .connections import Connection
from .platform import DSQL
from .transactions import Transactions, Work

__all__ = ["DUTIES", "Made", "arrange", "grants", "make_roles", "refuse_duties"]

DUTIES: Mapping[str, Mapping[str, str]] = {
    # Is there such a call, and was this message accepted? What it drops is put on record.
    "receiver": {
        "SELECT": "infinity_schema, meta, threads, retired, tombstones, calls, known, inbox, discards",
        "INSERT": "discards",
        "UPDATE": "tombstones",
    },
    # Who is overdue, and what was closed for long enough to be marked as deleted?
    "sweep": {
        "SELECT": "infinity_schema, threads, retired, tombstones, calls, inbox, outbox, timers, sweeps",
        "INSERT": "retired, tombstones, sweeps",
        "UPDATE": "threads, retired, sweeps",
    },
}
"""Privileges on tables, by what a role is for.

On Aurora DSQL: PostgreSQL asks for UPDATE where a row is only to stay as it is while something is
decided.
"""

_NOT_GIVEN = "SELECT NOT EXISTS (SELECT 1 FROM sys.iam_pg_role_mappings WHERE pg_role_name = $1 AND arn = $2)"


class Made(NamedTuple):
    """What was done. ``made``: roles that were not there; ``given``: how many IAM roles may log in that
    could not before.
    """

    made: list[str]
    given: int


def grants(role: str, schema: str, duty: str = "") -> list[str]:
    """The statements that allow a role of the functions what it needs.

    Harmless if it may already; needed again for tables that are new.

    Args:
        role: its name, checked by the caller: it is put into SQL as it is.
        schema: that of the tables, quoted.
        duty: one of ``DUTIES``; empty: everything but DDL.
    """
    if duty:
        tables = {
            right: ", ".join(f"{schema}.{table}" for table in tables.split(", "))
            for right, tables in DUTIES[duty].items()
        }
        return [
            f"GRANT USAGE ON SCHEMA {schema} TO {role}",
            *(f"GRANT {right} ON {names} TO {role}" for right, names in tables.items()),
        ]
    return [
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
    ]


def refuse_duties(address: Address) -> None:
    """Whether a role that is for one function can do its work there.

    Args:
        address: of the database.

    Raises:
        ConfigError: it cannot; PostgreSQL itself wants more privileges for a row lock.
    """
    if address.platform is not DSQL:
        raise ConfigError(
            f"{address.where} is not a cluster of Aurora DSQL, and elsewhere a role that is for the receiver or the sweep alone cannot do their work; "
            "make one role for all functions, without --role-for"
        )


async def make_roles(
    url: str,
    roles: Mapping[str, Sequence[str]],
    duties: Mapping[str, str] | None = None,
    *,
    signer: Signer | None = None,
) -> Made:
    """Make roles and allow them what they need. Harmless if all of it is so already.

    Args:
        url: of the database, as a user that may make roles.
        roles: names, checked by the caller, each with the ARNs of the IAM roles that may log in as it.
        duties: of those that may not do everything, by name.
        signer: makes the password of a login at a DSQL cluster.

    Raises:
        ConfigError: the database is not a DSQL cluster, and has no IAM roles or duties.
    """
    address = open_address(url)
    if address.platform is not DSQL and any(roles.values()):
        raise ConfigError(
            f"{address.where} is not a cluster of Aurora DSQL, which alone lets IAM roles log in; leave out their ARNs"
        )
    if duties:
        refuse_duties(address)
    transactions = Transactions(connections(address, signer=signer), address.platform, address.where)
    try:
        return await arrange(transactions, roles, duties or {})
    finally:
        await transactions.close()


async def arrange(
    transactions: Transactions, roles: Mapping[str, Sequence[str]], duties: Mapping[str, str]
) -> Made:
    """The same over transactions that are there.

    One statement at a time, each tried again when it meets another transaction: what defines something
    stands alone on DSQL.

    Args:
        transactions: of the database.
        roles: as for ``make_roles``.
        duties: as for ``make_roles``.
    """
    made: list[str] = []
    given = 0
    schema = await transactions.look(_asks("SELECT quote_ident(current_schema())"))
    for role, arns in roles.items():
        if await transactions.look(
            _asks("SELECT NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)", role)
        ):
            await transactions.look(_does(f"CREATE ROLE {role} WITH LOGIN"))
            made.append(role)
        # Each time, not only for new roles: tables may have come since.
        for statement in grants(role, schema, duties.get(role, "")):
            await transactions.look(_does(statement))
        for arn in arns:
            if await transactions.look(_asks(_NOT_GIVEN, role, arn)):
                await transactions.look(_does(f"AWS IAM GRANT {role} TO '{arn}'"))
                given += 1
        # An earlier version let all functions log in as one role.
        for arn in {each for others in roles.values() for each in others} - set(arns):
            if not await transactions.look(_asks(_NOT_GIVEN, role, arn)):
                await transactions.look(_does(f"AWS IAM REVOKE {role} FROM '{arn}'"))
    return Made(made, given)


def _asks(sql: str, *arguments: str) -> Work[Any]:
    async def ask(connection: Connection, uncertain: bool) -> Any:
        return await connection.fetchval(sql, *arguments)

    return ask


def _does(sql: str) -> Work[None]:
    async def do(connection: Connection, uncertain: bool) -> None:
        await connection.execute(sql)

    return do
