"""``infinity cloud migrate``: the tables of a deployment's database, and the keys that sign callback URLs."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import click

from infinity.errors import InfinityError

from .display import dim, print_json
from .exits import from_error
from .options import as_json

__all__ = ["migrate"]

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_ARN = re.compile(r"arn:[A-Za-z0-9:/_+=,.@-]+")


@click.command(
    epilog="""\b
Examples:
  infinity cloud migrate --store postgresql://admin@….dsql.eu-central-1.on.aws/postgres
  infinity cloud migrate --role-sql infinity --role-arn arn:aws:iam::111122223333:role/Agent | psql …

Run it before a new version is deployed, and now and then: keys are renewed when they are 90 days old. Harmless if there is nothing to do."""
)
@click.option(
    "--store",
    required=True,
    envvar="INFINITY_STORE",
    show_envvar=True,
    metavar="URL",
    help="The database, with a user that may make tables.",
)
@click.option(
    "--role-sql",
    "role",
    metavar="NAME",
    help="Then print the SQL that makes a role for the functions, which may read and write rows and nothing else.",
)
@click.option(
    "--role-arn",
    "arns",
    multiple=True,
    metavar="ARN",
    help="With --role-sql: an IAM role that may log in as it, on Aurora DSQL; again for more.",
)
@as_json
def migrate(store: str, role: str | None, arns: tuple[str, ...], as_json: bool) -> None:
    """Make the tables or bring them up to date, and make or renew the keys that sign callback URLs. Nothing else does."""
    statements = _role(role, arns)
    try:
        done = asyncio.run(_migrate(store))
    except InfinityError as error:
        raise from_error(error) from None
    if as_json:
        print_json({**done, "role_sql": statements})
        return
    before, now = done["tables"]["before"], done["tables"]["now"]
    words = [
        f"the tables are of version {now}" + ("" if before == now else f" (before: {before or 'none'})"),
        f"callback URLs: {done['keys']['kept']} keys are accepted; {_KEYS[done['keys']['change']]}",
    ]
    # Beside SQL, which may go into a pipe, words are for whoever watches.
    for line in words:
        click.echo(dim(line) if statements else line, err=bool(statements))
    for statement in statements:
        click.echo(statement)


_KEYS = {
    "made": "the first was made now",
    "renewed": "a new one signs from now on",
    "none": "the newest still signs",
}


async def _migrate(url: str) -> dict[str, Any]:
    from infinity.callback_keys import callback_keys, kept_keys
    from infinity.cloud.postgres import opening

    before, now = await opening.migrate(url)
    store = await opening.open_store(url)
    try:
        old = await kept_keys(store)
        keys = await callback_keys(store, time.time_ns() // 1_000_000)
    finally:
        await store.close()
    change = "none" if old[:1] == keys[:1] else "renewed" if old else "made"
    return {"tables": {"before": before, "now": now}, "keys": {"kept": len(keys), "change": change}}


def _role(name: str | None, arns: tuple[str, ...]) -> list[str]:
    if name is None:
        if arns:
            raise click.UsageError("--role-arn is for --role-sql")
        return []
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"a role's name is of a-z, 0-9 and _, at most 63 of them, not {name!r}")
    for arn in arns:
        if not _ARN.fullmatch(arn):
            raise click.UsageError(f"{arn!r} is no ARN")
    return [
        f"CREATE ROLE {name} WITH LOGIN;",
        f"GRANT USAGE ON SCHEMA public TO {name};",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name};",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {name};",
        *(f"AWS IAM GRANT {name} TO '{arn}';" for arn in arns),
    ]
