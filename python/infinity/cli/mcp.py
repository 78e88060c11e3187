"""``infinity rap mcp``: a bridge on its own, for runtimes elsewhere or to try an MCP server out.

It makes a specification of the options and runs ``infinity.mcp`` in this process. The daemon does not use
it: it starts bridges by itself.
"""

from __future__ import annotations

import click

__all__ = ["TOKEN_VARIABLE", "mcp"]

TOKEN_VARIABLE = "INFINITY_TOOLS_TOKEN"  # noqa: S105  the name, not the secret


PORT = 8810
"""Where a bridge is offered unless somebody says otherwise."""


@click.command(
    epilog="""\b
Examples:
  infinity rap mcp time -- uvx mcp-server-time
  infinity rap mcp notes --url https://mcp.example/mcp --header 'Authorization: Bearer …'
  infinity rap mcp web --port 8811 --env API_KEY=… -- npx -y some-mcp-server

An agent uses it with [toolsets.NAME] url = "http://127.0.0.1:PORT". A daemon runs bridges by itself: [mcp_servers.NAME].""",
)
@click.argument("name")
@click.argument("command", nargs=-1)
@click.option("--url", help="A server that is reached over streamable HTTP, instead of a command.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with each request to --url."
)
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="A variable for the command.")
@click.option(
    "--cwd", type=click.Path(exists=True, file_okay=False), help="Working directory of the command."
)
@click.option("--prefix", default="", help="Put before the names of its tools.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one. [default: 8810; with RAP_EMBEDDED=1 a free one, printed on standard output]",
)
@click.option(
    "--state", type=click.Path(dir_okay=False), help="The file of calls in progress; NAME.db here by default."
)
def mcp(
    name: str,
    command: tuple[str, ...],
    url: str | None,
    headers: tuple[str, ...],
    env: tuple[str, ...],
    cwd: str | None,
    prefix: str,
    port: int | None,
    state: str | None,
) -> None:
    """Offer the tools of an MCP server over RAP.

    The server is COMMAND with its arguments, after ``--``, or is reached at --url. With INFINITY_TOOLS_TOKEN in the environment, callers
    must send it as a bearer token.
    """
    import asyncio
    import os

    from infinity.mcp.specification import ServerSpecification

    from .exits import USAGE, Failure

    if bool(command) == bool(url):
        raise Failure("needs either a command, after '--', or --url", USAGE)
    specification = ServerSpecification(
        name=name,
        command=command[0] if command else None,
        args=command[1:],
        env=_pairs(env, "=", "--env"),
        cwd=cwd,
        url=url,
        headers=_pairs(headers, ":", "--header"),
        prefix=prefix,
    )
    try:
        from infinity.mcp.server import prepare_logging, serve
    except ModuleNotFoundError as error:
        from infinity.mcp.__main__ import MISSING

        raise Failure(MISSING.removeprefix("infinity: ")) from error
    from infinity.rap.server.embedded import embedded

    # Before anything prints: the runtime that started this reads the port from standard output, and nothing
    # else (SRV-7).
    started_by = embedded()
    if port is None:
        port = PORT if started_by is None else 0
    prepare_logging()
    try:
        asyncio.run(serve(specification, state or f"{name}.db", port, os.environ.get(TOKEN_VARIABLE)))
    except OSError as error:
        raise Failure(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error


def _pairs(texts: tuple[str, ...], separator: str, option: str) -> dict[str, str]:
    from .exits import USAGE, Failure

    pairs = {}
    for text in texts:
        key, found, value = text.partition(separator)
        if not found or not key.strip():
            raise Failure(f"{option} wants NAME{separator}VALUE", USAGE)
        pairs[key.strip()] = value.strip()
    return pairs
