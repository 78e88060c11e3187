"""``infinity subscriptions``: what wakes threads from outside, and how to end it."""

from __future__ import annotations

from typing import Any

import click

from .connection import Connection, connect
from .display import ago, dim, one_line, print_json, table
from .exits import NOT_FOUND, Failure
from .options import as_json, home_option

__all__ = ["subscriptions"]


@click.command(
    epilog="Examples: infinity subscriptions · infinity subscriptions thread_1 --json · infinity subscriptions cancel CALL_ID"
)
@click.argument("what", nargs=-1, metavar="[THREAD | cancel CALL_ID]")
@as_json
@home_option
def subscriptions(what: tuple[str, ...], as_json: bool) -> None:
    """Active subscriptions, of THREAD or of all threads; 'cancel' ends one.

    A subscription is a tool's promise to send events: each one wakes the thread, or makes a child thread that handles it. Nothing runs in between.
    """
    match what:
        case ():
            _list(None, as_json)
        case ("cancel", call_id):
            _cancel(call_id, as_json)
        case (thread,) if thread != "cancel":
            # A thread called "cancel" can still be listed with the API.
            _list(thread, as_json)
        case _:
            raise click.UsageError(
                "say: infinity subscriptions [THREAD], or infinity subscriptions cancel CALL_ID"
            )


def _list(thread: str | None, as_json: bool) -> None:
    found = _all(connect(), thread)
    if as_json:
        print_json({"subscriptions": found})
        return
    if not found:
        click.echo("no active subscriptions")
        return
    rows = [(each["tool"], _since(each), each["thread"], each["call_id"], each["title"]) for each in found]
    click.echo(table([("TOOL", "SINCE", "THREAD", "CALL", "TITLE"), *rows]))
    click.echo(dim("end one with: infinity subscriptions cancel CALL"))


def _cancel(call_id: str, as_json: bool) -> None:
    connection = connect()
    found = connection.get("/v1/subscriptions", call_id=call_id)["subscriptions"]
    if not found:
        raise Failure(
            f"{call_id} is not an active subscription; run 'infinity subscriptions' to list them", NOT_FOUND
        )
    thread, tool = found[0]["thread"], found[0]["tool"]
    outcome = connection.delete(f"/v1/threads/{thread}/subscriptions/{call_id}")
    if as_json:
        print_json({"thread": thread, "call_id": call_id, **outcome})
    else:
        click.echo(
            f"{outcome['status']}: no further events of {one_line(tool)} ({call_id}) will reach {thread}"
        )


def _all(connection: Connection, thread: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = connection.get("/v1/subscriptions", thread=thread, after=after, limit=1000)
        found += page["subscriptions"]
        after = page["next"]
        if after is None:
            return found


def _since(subscription: dict[str, Any]) -> str:
    return ago(subscription["since"]) if subscription["since"] is not None else "?"
