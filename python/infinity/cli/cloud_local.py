"""``infinity cloud local``: the whole cloud host on this machine.

It reads the options into a ``Plan`` and runs ``emulator.local.Deployment`` until Ctrl-C. What functions
print may be anything: it is cleaned before it reaches the terminal (S13) and kept in a log of the user's
own.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from .cloud_preview import previewed
from .display import clean, dim, print_json, strong, warn
from .exits import Failure
from .options import as_json

if TYPE_CHECKING:
    from infinity.emulator.local import Deployment, Folder, Plan, ToolFunction

__all__ = ["local"]

_FORWARDED = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
_NEEDED = {"awslambdaric": "awslambdaric", "asyncpg": "infinity-runtime[aws]"}
_TOOLSET = re.compile(r"(?P<name>[a-z][a-z0-9_]{0,50})=(?P<code>.+):(?P<handler>[\w.]+\.\w+)")
_DIRECTORY = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command(
    epilog="""\b
Examples:
  infinity cloud local
  infinity cloud local --code examples/lambda/agent --toolset office=examples/lambda/office:office.handler
  . .infinity-cloud/environment && infinity cloud send hello 'Good morning.' && infinity cloud replies --wait 20

It is for finding mistakes in a deployment, not for serving anybody: one machine, nothing isolated, AWS's limits and order but not its speed,
permissions or prices. Code that changed is seen after a restart."""
)
@click.option(
    "--code",
    type=_DIRECTORY,
    default=".",
    show_default=True,
    metavar="DIR",
    help="The folder to deploy: infinity.toml and your modules.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=".infinity-cloud",
    show_default=True,
    metavar="DIR",
    help="The folder that keeps everything between runs.",
)
@click.option(
    "--store",
    metavar="URL",
    help="A PostgreSQL database. [default: a private server in the state directory]",
)
@click.option("--agent", metavar="MODULE:NAME", help="An infinity.Agent with functions.")
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A variable of the functions. Repeat for more. The keys of Anthropic and OpenAI are passed on automatically.",
)
@click.option(
    "--toolset",
    "toolsets",
    multiple=True,
    metavar="NAME=DIR:MODULE.HANDLER",
    help="Tools that run as a function; calls to it are signed. Repeat for more.",
)
@click.option(
    "--layer",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="ZIP",
    help="Run from this layer, made by 'infinity layer build'.",
)
@click.option(
    "--timeout",
    type=click.IntRange(30, 900),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of a slice.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 100),
    default=8,
    show_default=True,
    help="Threads that run at once.",
)
@click.option(
    "--restored",
    is_flag=True,
    help="The database was put back to an earlier time: begin with an empty table and an empty output queue.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port of the AWS stand-ins. [default: a free one, then the same]",
)
@click.option(
    "--receiver-port",
    type=click.IntRange(1, 65535),
    help="Port for callbacks of tool servers. [default: a free one, then the same]",
)
@click.option(
    "--api-port", type=click.IntRange(1, 65535), help="Port of the API. [default: a free one, then the same]"
)
@as_json
def local(
    code: Path,
    state: Path,
    store: str | None,
    agent: str | None,
    variables: Sequence[str],
    toolsets: Sequence[str],
    layer: Path | None,
    timeout: int,
    concurrency: int,
    restored: bool,
    port: int | None,
    receiver_port: int | None,
    api_port: int | None,
    as_json: bool,
) -> None:
    """Run agents as on AWS, on this machine and without an account, until Ctrl-C.

    The functions run in processes with Lambda's own runtime client, on a real PostgreSQL; queues, tables, schedules and function URLs are
    stand-ins that keep to AWS's documented behaviour. With --json one object says where everything is.
    """
    from infinity.emulator.local import Folder, Plan

    _check_packages()
    given = {"aws": port, "receiver": receiver_port, "api": api_port}
    folder = Folder(state)
    try:
        # First of all: another emulator on the same state would overwrite what this one reads.
        folder.open()
        plan = Plan(
            code=code,
            state=folder.path,
            store=store,
            agent=agent,
            environment=_environment(variables),
            toolsets=dict(map(_toolset, toolsets)),
            layers=[] if layer is None else [_unpacked(layer, folder.path / "layer")],
            timeout=timeout,
            concurrency=concurrency,
            restored=restored,
            ports={name: number for name, number in given.items() if number},
        )
        plan, notice = previewed(plan)
        if notice is not None:
            click.echo(warn(notice), err=True)
        asyncio.run(_serve(plan, folder, as_json))
    finally:
        folder.close()


async def _serve(plan: Plan, folder: Folder, as_json: bool) -> None:
    from infinity.emulator.local import Deployment

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C ends the wait, and everything is written down in order; the processes are in groups of their
        # own.
        loop.add_signal_handler(number, stopped.set)
    with folder.open_log() as log:
        deployment = Deployment(plan, folder, _listener(log, quiet=as_json))
        try:
            await deployment.start()
            _tell(deployment, folder, as_json)
            await stopped.wait()
            if not as_json:
                click.echo(dim("stopping"), err=True)
        finally:
            await deployment.close()


def _tell(deployment: Deployment, folder: Folder, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "aws": deployment.aws.endpoint,
                "receiver": deployment.receiver,
                "api": deployment.api,
                "token": deployment.token,
                "environment": deployment.variables,
                "state": str(folder.path),
            }
        )
        sys.stdout.flush()
        return
    source = f". {shlex.quote(os.path.relpath(folder.environment))}"
    for what, value in (
        ("AWS", deployment.aws.endpoint),
        ("receiver", f"{deployment.receiver}  tool servers call back here"),
        ("API", f"{deployment.api}/v1  with the bearer token in INFINITY_API_TOKEN"),
        ("state", f"{folder.path}  with functions.log"),
    ):
        click.echo(f"{what:10}{value}")
    click.echo(
        f"\nIn another terminal:\n  {strong(source)}\n  infinity cloud send hello 'Good morning.'\n  infinity cloud replies --follow\n"
    )
    click.echo(dim("Ctrl-C stops it; what is under way is kept."))


def _listener(log: IO[str], *, quiet: bool) -> Callable[[str, str], None]:
    def heard(function: str, line: str) -> None:
        # What functions print may hold anything, and must not steer the terminal (S13).
        words = clean(line.replace("\r", "\n"))
        log.write(f"{function}: {words}\n")
        log.flush()
        if not quiet:
            click.echo(dim(f"{function}: ") + words, err=True)

    return heard


def _environment(variables: Sequence[str]) -> dict[str, str]:
    found = {name: os.environ[name] for name in _FORWARDED if name in os.environ}
    for each in variables:
        name, assigned, value = each.partition("=")
        if not assigned and name not in os.environ:
            raise click.UsageError(
                f"--env {name}: there is no such variable here; give it a value with --env {name}=…"
            )
        found[name] = value if assigned else os.environ[name]
    return found


def _toolset(text: str) -> tuple[str, ToolFunction]:
    from infinity.emulator.local import ToolFunction

    found = _TOOLSET.fullmatch(text)
    if found is None:
        raise click.UsageError(
            f"--toolset {text}: it is to be like office=examples/lambda/office:office.handler, its name of a-z, 0-9 and _"
        )
    if not Path(found["code"]).is_dir():
        raise click.UsageError(f"--toolset {text}: there is no directory {found['code']}")
    return found["name"], ToolFunction(Path(found["code"]), found["handler"])


def _unpacked(layer: Path, target: Path) -> Path:
    import shutil

    from infinity.deploy.layer.build import read_manifest

    wanted, here = read_manifest(layer).python, f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted != here:
        raise Failure(
            f"{layer} is for Python {wanted}, and this is {here}: what is compiled in it cannot be imported; make one with: infinity layer build --python-version {here}"
        )
    # An earlier layer's files must not stay beside the new ones.
    shutil.rmtree(target, ignore_errors=True)
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(target)
    return target


def _check_packages() -> None:
    if sys.platform != "linux":
        raise Failure("Lambda's runtime client runs on Linux only; use a container or a virtual machine")
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise Failure(f"this needs more packages: pip install {' '.join(map(shlex.quote, missing))}")
