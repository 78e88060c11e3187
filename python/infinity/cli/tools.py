"""``infinity tools``: what agents can call."""

from __future__ import annotations

from typing import Any

import click

from .connection import connect
from .display import clean, dim, one_line, print_json, strong, warn
from .options import THREAD, as_json, home_option

__all__ = ["tools"]


@click.command(epilog="Example: infinity tools --json | jq '.toolsets[].tools[].name'")
@click.option(
    "--reload", "thread", type=THREAD, metavar="THREAD", help="Fetch them again for a thread and its tree."
)
@as_json
@home_option
def tools(thread: str | None, as_json: bool) -> None:
    """Every configured tool server, how it is, and what it offers. Starts those that are started on demand.

    A thread keeps the tools it began with; --reload gives it those of today.
    """
    if thread is not None:
        _reload(thread, as_json)
        return
    found = connect().get("/v1/toolsets")
    if as_json:
        print_json(found)
        return
    if not found["toolsets"]:
        click.echo(
            'no tool servers are configured; add one to infinity.toml:\n\n  [toolsets.NAME]\n  url = "http://127.0.0.1:8801"'
        )
    for server in found["toolsets"]:
        click.echo(server_line(server))
        for tool in server["tools"]:
            marks = [name for name, value in tool["annotations"].items() if value is True]
            click.echo(
                f"  {one_line(tool['name'])}  {dim(_first_line(tool['description']))}"
                + (f"  [{', '.join(marks)}]" if marks else "")
                + ("" if tool["offered"] else warn("  not offered"))
            )
    for problem in found["problems"]:
        click.echo(warn(f"! {one_line(problem)}"))


def _reload(thread: str, as_json: bool) -> None:
    found = connect().post(f"/v1/threads/{thread}/tools")
    if as_json:
        print_json(found)
        return
    click.echo(
        f"{thread} has {len(found['tools'])} tools now: {', '.join(one_line(name) for name in found['tools'])}"
    )
    for problem in found["problems"]:
        click.echo(warn(f"! {one_line(problem)}"))


def server_line(server: dict[str, Any]) -> str:
    """One tool server in a line, with its process and its problem if there are any."""
    line = f"{strong(one_line(server['name']))}  {one_line(server['url'])}"
    if process := server.get("process"):
        line += dim(
            f"  {process['state']}"
            + (f", pid {process['pid']}" if process["pid"] else "")
            + (f", {process['restarts']} restarts" if process["restarts"] else "")
        )
    if server["problem"]:
        line += (
            "\n  "
            + warn(one_line(server["problem"]))
            + (dim(" (an earlier copy of its tools is in use)") if server["cached"] else "")
        )
    return line


def _first_line(text: str) -> str:
    return clean(text).strip().partition("\n")[0][:100]
