"""``infinity cloud config``: the functions' settings, read as they read them.

The functions' own code reads the environment and the file here, so that the answer is theirs. Everything
that is wrong is listed, and no value is printed (S9).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from infinity.errors import InfinityError

from .display import dim, print_json, warn
from .exits import Failure
from .options import as_json

__all__ = ["config"]

_NEEDED = ["store", "inbox_queue", "delay_queue", "schedule_group", "schedule_role", "table", "public_url"]
"""By the agent function, which needs the most."""


@click.group()
def config() -> None:
    """The functions' settings: environment variables and infinity.toml.

    \b
    Example:
      infinity cloud config check
    """


@config.command(
    epilog="""\b
Examples:
  infinity cloud config check
  infinity cloud config check --code examples/lambda/agent
  env $(cat agent.env) infinity cloud config check --json

Exit code 1 if anything is missing or wrong."""
)
@click.option(
    "--code",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=".",
    show_default=True,
    envvar="INFINITY_CODE",
    show_envvar=True,
    metavar="DIR",
    help="The folder that is deployed: infinity.toml and your modules.",
)
@as_json
def check(code: Path, as_json: bool) -> None:
    """Read the environment and the code's infinity.toml as the functions do, and say everything that is missing or wrong. Values are not printed."""
    # As Lambda has it: modules beside the handler can be imported.
    sys.path.insert(0, str(code.absolute()))
    try:
        problems, notices = asyncio.run(_read({**os.environ, "LAMBDA_TASK_ROOT": str(code)}))
    finally:
        # What was imported from there stays imported; the path must not change what this process finds next.
        sys.path.remove(str(code.absolute()))
    if as_json:
        print_json({"complete": not problems, "problems": problems, "notices": notices})
    else:
        for notice in notices:
            click.echo(notice)
        for problem in problems:
            click.echo(warn(problem))
        if not problems:
            click.echo("the settings are complete")
            click.echo(dim("whether the services behind them answer, the functions' /healthz says"))
    if problems:
        raise Failure(f"{len(problems)} things are missing or wrong")


async def _read(given: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Problems, and what is as it may be but perhaps not as it was meant."""
    from infinity.cloud import environment
    from infinity.models.planning import examine
    from infinity.models.registry import Models

    found: list[str] = []
    notices: list[str] = []

    # One thing that is wrong must not hide the others.
    def attempt(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except InfinityError as error:
            found.extend(_lines(error))
            return None

    resolved = await _resolved(given, found)
    attempt(lambda: environment.read_resources(resolved, _NEEDED))
    settings = attempt(lambda: environment.read_config(resolved))
    agent = attempt(lambda: environment.read_agent(resolved))
    if settings is not None:
        # What the code's agent says wins over the file, as in the functions.
        own = agent.settings if agent is not None else settings.settings()
        models = attempt(lambda: Models(settings.models, environment=resolved))
        if models is not None:
            found += examine(models, own, named=True)
            notices += [models.notice] if models.notice else []
        attempt(lambda: _servers(settings, agent, resolved))
    return found, notices


def _servers(settings: Any, agent: Any, resolved: Mapping[str, str]) -> object:
    from infinity.cloud.toolsets import check_tokens, configured_servers

    check_tokens(settings.toolsets, resolved)
    return configured_servers(settings.toolsets, agent.toolsets if agent is not None else (), resolved)


async def _resolved(given: Mapping[str, str], found: list[str]) -> Mapping[str, str]:
    """With what variables name in Secrets Manager and SSM."""
    from infinity.aws.client import Aws
    from infinity.aws.secrets import resolve

    try:
        aws = Aws(given)
    except InfinityError as error:
        found.extend(_lines(error))
        return given
    try:
        return await resolve(given, aws)
    except InfinityError as error:
        found.extend(_lines(error))
        return given
    finally:
        await aws.close()


def _lines(error: InfinityError) -> list[str]:
    """The first line of several announces the others."""
    first, *rest = str(error).splitlines()
    return [line.strip() for line in rest if line.strip()] or [first]
