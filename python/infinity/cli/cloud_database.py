"""``infinity cloud migrate``: tables, database roles and keys of a deployment, and then the start.

The one step that needs the admin of the database. It may be run again at any time and finds nothing to do;
what brings work is switched on last, when everything that it needs is there.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from .cloud_outputs import Outputs, read_outputs
from .display import dim, print_json
from .options import as_json

__all__ = ["migrate"]

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_ARN = re.compile(r"arn:[A-Za-z0-9:/_+=,.@-]+")


@click.command(
    epilog="""\b
Examples:
  infinity cloud migrate --outputs outputs.json
  infinity cloud migrate --store postgresql://admin@….dsql.eu-central-1.on.aws/postgres
  infinity cloud migrate --role-sql infinity --role-arn arn:aws:iam::111122223333:role/Agent | psql …

Run it after every deployment, before a new version that changes the tables, and now and then: keys are renewed when they are 90 days old.
Harmless if there is nothing to do."""
)
@click.option(
    "--outputs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File that 'cdk deploy --outputs-file FILE' wrote: the database, its roles, and what to start.",
)
@click.option("--agent", metavar="STACK.NAME", help="With --outputs: which agent, if the file has several.")
@click.option(
    "--store",
    envvar="INFINITY_STORE",
    show_envvar=True,
    metavar="URL",
    help="The database, with a user that may create tables. [default: the one in --outputs; both must agree]",
)
@click.option(
    "--role-sql",
    "role",
    metavar="NAME",
    help="Also print the SQL that creates a role for the functions, which may only read and write rows.",
)
@click.option(
    "--role-for",
    "duty",
    type=click.Choice(["receiver", "sweep"]),
    help="With --role-sql, on Aurora DSQL: the only function that logs in with the role; the role may do what this function does.",
)
@click.option(
    "--role-arn",
    "arns",
    multiple=True,
    metavar="ARN",
    help="With --role-sql: an IAM role that may log in with it, on Aurora DSQL. Repeat for more.",
)
@as_json
def migrate(
    outputs: Path | None,
    agent: str | None,
    store: str | None,
    role: str | None,
    duty: str | None,
    arns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make the tables or bring them up to date, and make or renew the keys that sign callback URLs. Nothing else does.

    With --outputs also make the database roles of the functions, and start what brings them work; a deployment begins switched off.
    """
    # Everything that can be checked is checked before the first statement is sent.
    statements = _role(role, duty or "", arns)
    if agent is not None and outputs is None:
        raise click.UsageError("--agent is for --outputs")
    where = read_outputs(outputs, agent) if outputs is not None else Outputs("")
    if store and where.store and store != where.store:
        raise click.UsageError(
            f"--store (or INFINITY_STORE) is another database than that of the agent in {outputs}; leave one of them out"
        )
    url = where.store or store
    if not url:
        raise click.UsageError("say which database: --outputs, --store or INFINITY_STORE")
    for name, given in where.roles.items():
        _check_role(name, given)
    if unknown := set(where.duties.values()) - {"receiver", "sweep"}:
        raise click.UsageError(
            f"the outputs name {', '.join(sorted(unknown))}, for which this version has no role; update it"
        )
    if duty or where.duties:
        _check_duties(url)
    done = asyncio.run(_migrate(url, where))
    if as_json:
        print_json({**done, "role_sql": statements})
        return
    # Beside SQL, which may go into a pipe, words are for anyone who watches.
    for line in _words(done):
        click.echo(dim(line) if statements else line, err=bool(statements))
    for statement in statements:
        click.echo(statement)


def _words(done: dict[str, Any]) -> Iterator[str]:
    before, now = done["tables"]["before"], done["tables"]["now"]
    yield f"the tables are of version {now}" + ("" if before == now else f" (before: {before or 'none'})")
    yield f"callback URLs: {done['keys']['kept']} keys are accepted; {_KEYS[done['keys']['change']]}"
    roles, started = done.get("roles"), done.get("started")
    if roles is not None:
        made = f"made: {', '.join(roles['made'])}" if roles["made"] else "none had to be made"
        yield f"database roles: {made}; {roles['given']} more functions may log in"
    if started is not None:
        yield (
            f"started: {started['changed']} of {started['all']} event sources"
            if started["changed"]
            else f"the {started['all']} event sources run already"
        )


_KEYS = {
    "made": "the first was made now",
    "renewed": "a new one signs from now on",
    "none": "the newest still signs",
}


async def _migrate(url: str, where: Outputs) -> dict[str, Any]:
    from infinity.callback_keys import callback_keys, kept_keys
    from infinity.stores.postgres import opening
    from infinity.stores.postgres.roles import make_roles

    # Tables, then keys, then roles: each needs what came before it.
    before, now = await opening.migrate(url)
    store = await opening.open_store(url)
    try:
        old = await kept_keys(store)
        keys = await callback_keys(store, time.time_ns() // 1_000_000)
    finally:
        await store.close()
    # By the key that signs: others may have been dropped for their age.
    change = "none" if old[:1] == keys[:1] else "renewed" if old else "made"
    done: dict[str, Any] = {
        "tables": {"before": before, "now": now},
        "keys": {"kept": len(keys), "change": change},
    }
    if where.roles:
        done["roles"] = (await make_roles(url, where.roles, where.duties))._asdict()
    if where.mappings or where.rules:
        # Last: what is started finds everything it needs.
        done["started"] = {
            "changed": await _start(where),
            "all": len(where.mappings) + len(where.rules),
        }
    return done


async def _start(where: Outputs) -> int:
    from infinity.aws.client import Aws
    from infinity.aws.starting import start

    given = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    aws = Aws({**os.environ, "AWS_REGION": where.region or given or ""})
    try:
        return await start(aws, where.mappings, where.rules)
    finally:
        await aws.close()


def _role(name: str | None, duty: str, arns: tuple[str, ...]) -> list[str]:
    if name is None:
        if arns or duty:
            raise click.UsageError(f"{'--role-arn' if arns else '--role-for'} is for --role-sql")
        return []
    _check_role(name, arns)
    from infinity.stores.postgres.roles import grants

    return [
        f"CREATE ROLE {name} WITH LOGIN;",
        *(f"{statement};" for statement in grants(name, "public", duty)),
        *(f"AWS IAM GRANT {name} TO '{arn}';" for arn in arns),
    ]


def _check_duties(url: str) -> None:
    """Before anything is done."""
    from infinity.stores.postgres.address import open_address
    from infinity.stores.postgres.roles import refuse_duties

    refuse_duties(open_address(url))


def _check_role(name: str, arns: Iterable[str]) -> None:
    """They become part of statements that take no arguments."""
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"a role's name is of a-z, 0-9 and _, at most 63 of them, not {name!r}")
    for arn in arns:
        if not _ARN.fullmatch(arn):
            raise click.UsageError(f"{arn!r} is not an ARN")
