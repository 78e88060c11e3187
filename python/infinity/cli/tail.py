"""``infinity tail``: a thread's event stream, as it happens."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import click

from .display import dim, exact, json_text, one_line
from .options import THREAD, as_json, home_option, the_home
from .stream import Event, follow

__all__ = ["tail"]


@click.command(
    epilog="Examples: infinity tail thread_1 · infinity tail thread_1 --after -1 --durable --json | jq .kind"
)
@click.argument("thread", type=THREAD)
@click.option(
    "--after",
    metavar="CURSOR",
    default="latest",
    show_default=True,
    help="Begin behind this cursor; -1 is the beginning.",
)
@click.option("--durable", is_flag=True, help="Only recorded events, no live ones.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@as_json
@home_option
def tail(thread: str, after: str, durable: bool, count: int | None, as_json: bool) -> None:
    """Follow THREAD until Ctrl-C; with --json one object a line. Survives restarts of the daemon without gap or repeat."""
    import contextlib

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_tail(thread, after, durable, count, as_json))


async def _tail(thread: str, after: str, durable: bool, count: int | None, as_json: bool) -> None:
    home = the_home()
    shown = 0
    async with aclosing(follow(home, thread, after)) as events:
        async for event in events:
            if event.kind in ("connected", "disconnected"):
                why = f": {one_line(event.data['reason'])}" if event.data.get("answered") else ""
                # On standard error: what goes into a pipe are events and nothing else.
                click.echo(dim(f"({event.kind}{why})"), err=True)
                continue
            if durable and event.cursor is None:
                continue
            click.echo(_line(event, as_json))
            shown += 1
            if shown == count:
                return


def _line(event: Event, as_json: bool) -> str:
    if as_json:
        return json_text({"cursor": event.cursor, "kind": event.kind, "data": event.data})
    place = "live" if event.cursor is None else str(event.cursor)
    return (
        f"{dim(place.rjust(6))}  {event.kind.ljust(14)} {exact(json.dumps(event.data, ensure_ascii=False))}"
    )
