"""``infinity rap``: serve tools, and see whether a tool server keeps the protocol.

``serve`` imports the user's module and runs the kit's server; ``inspect`` prints what
``infinity.rap.inspection`` finds at any server. Neither needs a daemon.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import dim, one_line, print_json, strong, warn
from .exits import FAILED, NOT_FOUND, Failure
from .mcp import TOKEN_VARIABLE, mcp
from .options import as_json

if TYPE_CHECKING:
    from infinity.rap.inspection import Finding, Report
    from infinity.rap.server import Toolset

__all__ = ["rap"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def rap() -> None:
    """Serve tools written with infinity.rap.server or those of an MCP server, or inspect any tool server.

    \b
    Examples:
      infinity rap serve tools:tools --port 8801
      infinity rap inspect http://127.0.0.1:8801
    """


rap.add_command(mcp)


@rap.command(epilog="Example: infinity rap serve tools:tools --port 8801")
@click.argument("toolset", metavar="MODULE:NAME")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="PORT",
    show_envvar=True,
    help="The port to listen on; 0 takes a free one. [default: 8801; with RAP_EMBEDDED=1 a free one, printed on standard output]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the state of calls and subscriptions. [default: MODULE.db]",
)
@click.option(
    "--public-url", metavar="URL", help="The base URL that runtimes use, if a proxy stands in between."
)
@click.option(
    "--concurrent", type=click.IntRange(1), default=64, show_default=True, help="Functions that run at once."
)
def serve(
    toolset: str, port: int | None, host: str, state: Path | None, public_url: str | None, concurrent: int
) -> None:
    """Serve a toolset until Ctrl-C or SIGTERM.

    MODULE:NAME is a Toolset in a module, or in a file such as tools.py:tools. With INFINITY_TOOLS_TOKEN in the environment, callers must send it as
    a bearer token. Exit code 1 if it cannot be loaded or served.
    """
    import logging
    import os

    from infinity.errors import InfinityError
    from infinity.rap.server import Limits
    from infinity.rap.server import serve as run
    from infinity.rap.server.embedded import embedded

    embedded()  # before the module of the toolset, which may print
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    token = os.environ.get(TOKEN_VARIABLE)
    # Said and not refused: only the operator knows whether the network may be trusted (S1).
    if token is None and host not in ("127.0.0.1", "::1", "localhost"):
        click.echo(
            f"infinity: anybody who reaches {host} may call these tools; set {TOKEN_VARIABLE} to keep strangers out",
            err=True,
        )
    found = _load(toolset)
    kept = state or Path(f"{Path(toolset.rpartition(':')[0]).stem}.db")

    def ready(url: str) -> None:
        names = ", ".join(found.operations)
        click.echo(f"{strong(found.name)}  {url}  {dim(names)}")

    try:
        run(
            found,
            port,
            kept,
            host=host,
            token=token,
            limits=Limits(concurrent),
            public_url=public_url,
            ready=ready,
        )
    except (InfinityError, OSError) as error:
        raise Failure(str(error)) from error


@rap.command(
    epilog="Exit codes: 0 it keeps the protocol, 1 it breaks a rule, 2 wrong usage, 4 nothing answers there. Example: infinity rap inspect http://127.0.0.1:8801 --json | jq '.findings[]'"
)
@click.argument("url")
@click.option(
    "--probe/--no-probe", default=True, show_default=True, help="Call it, or read its description only."
)
@click.option("--call", metavar="TOOL", help="Call this tool, too. It may have effects.")
@click.option("--arguments", metavar="JSON", default="{}", show_default=True, help="Arguments for --call.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="How long to wait for the result of --call.",
)
@click.option("--strict", is_flag=True, help="Rules that a server should keep count like those that it must.")
@click.option(
    "--patience",
    metavar="SECONDS",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    help="How long to wait for a callback that is due.",
)
@click.option(
    "--callback-host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="An address of this machine that the server can reach.",
)
@as_json
def inspect(
    url: str,
    probe: bool,
    call: str | None,
    arguments: str,
    wait: float,
    strict: bool,
    patience: float,
    callback_host: str,
    as_json: bool,
) -> None:
    """Check that a tool server, in any language, keeps the Reactive Agent Protocol.

    It is called with an operation that does not exist and with arguments that its schemas refuse; nothing with effects is invoked unless
    --call asks for it. A token is taken from INFINITY_TOOLS_TOKEN.
    """
    import asyncio
    import os

    from infinity.errors import ConfigError
    from infinity.rap.address import Server
    from infinity.rap.inspection import TimeLimits, Trial, inspect_server
    from infinity.tools.builtins import BUILTINS
    from infinity.tools.catalog import RESERVED

    try:
        server = Server(url, os.environ.get(TOKEN_VARIABLE))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    trial = Trial(call, _arguments(arguments), wait) if call is not None else None
    # What the protocol's package cannot know: the names that this runtime keeps for itself (DISC-4).
    reserved = frozenset({*(tool.name for tool in BUILTINS), RESERVED})
    try:
        report = asyncio.run(
            inspect_server(
                server,
                probing=probe,
                trial=trial,
                limits=TimeLimits(patience=patience),
                callback_host=callback_host,
                reserved=reserved,
            )
        )
    except OSError as error:
        raise Failure(
            f"callbacks cannot be received at {callback_host}: {error.strerror}; name an address of this machine"
        ) from error
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)
    click.get_current_context().exit(_exit_code(report, strict))


def _exit_code(report: Report, strict: bool) -> int:
    from infinity.rap.inspection import Outcome

    if not report.reachable:
        return NOT_FOUND
    return 0 if report.conforms and not (strict and report.of(Outcome.WARNED)) else FAILED


def _print(report: Report) -> None:
    from infinity.rap.inspection import Outcome

    click.echo(
        f"{strong(one_line(report.toolset['name']) if report.toolset else 'no toolset')}  {report.url}"
    )
    for finding in report.findings:
        click.echo(_line(finding))
    broken, warned, passed = (
        len(report.of(each)) for each in (Outcome.BROKEN, Outcome.WARNED, Outcome.PASSED)
    )
    if not report.reachable:
        click.echo("nothing answers there; is the tool server running?")
    elif report.conforms:
        click.echo(
            f"it keeps the protocol: {passed} checks passed"
            + (f", {warned} could be better" if warned else "")
        )
    else:
        click.echo(
            f"{broken} broken, {warned} could be better, {passed} passed; the rules are in docs/guides/tools.md"
        )


def _line(finding: Finding) -> str:
    from infinity.rap.inspection import Outcome

    mark = {
        Outcome.PASSED: "ok    ",
        Outcome.BROKEN: warn("BROKEN"),
        Outcome.WARNED: warn("should"),
        Outcome.SKIPPED: dim("-     "),
    }[finding.outcome]
    text = one_line(finding.text)
    return f"  {mark}  {finding.rule.ljust(6)}  {one_line(finding.check)}" + (f": {text}" if text else "")


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--arguments") from error
    if not isinstance(arguments, dict):
        raise click.BadParameter('expected a JSON object such as {"city": "Halle"}', param_hint="--arguments")
    return arguments


def _load(where: str) -> Toolset:
    from infinity.rap.server import Toolset

    module, _, name = where.rpartition(":")
    if not module or not name:
        raise click.BadParameter(
            f"{where!r} should be MODULE:NAME, such as tools:tools", param_hint="MODULE:NAME"
        )
    namespace = _file(Path(module)) if module.endswith(".py") else _module(module)
    found = namespace.get(name)
    if not isinstance(found, Toolset):
        others = [each for each, value in namespace.items() if isinstance(value, Toolset)]
        hint = f"; there is {', '.join(others)}" if others else ""
        raise Failure(f"{module} has no Toolset named {name!r}{hint}")
    return found


def _module(name: str) -> Mapping[str, Any]:
    from importlib import import_module

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        return vars(import_module(name))
    except ModuleNotFoundError as error:
        # The module is there, and something that it imports is not: another remedy.
        if error.name not in (name, name.partition(".")[0]):
            raise Failure(f"{name} imports {error.name!r}, which is not installed") from error
        raise Failure(
            f"there is no module {name!r} here; run this where {name}.py is, or name the file"
        ) from error
    except Exception as error:
        raise Failure(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _file(path: Path) -> Mapping[str, Any]:
    from importlib.util import module_from_spec, spec_from_file_location

    if not path.is_file():
        raise Failure(f"there is no file {path}")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise Failure(f"{path} is not a Python file")
    module = module_from_spec(spec)
    # Before it runs: its own functions look for their module by this name.
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Failure(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return vars(module)
