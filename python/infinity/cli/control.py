"""``infinity interrupt``, ``stop``, ``resume``, ``compact`` and ``close``."""

from __future__ import annotations

import click

from .connection import connect
from .display import print_json
from .options import as_json, home_option

__all__ = ["close", "compact", "interrupt", "resume", "stop"]


def _command(name: str, text: str) -> click.Command:
    @click.command(name=name, help=text, epilog=f"Example: infinity {name} thread_1")
    @click.argument("thread")
    @as_json
    @home_option
    def command(thread: str, as_json: bool) -> None:
        _control(thread, name, None, as_json)

    return command


def _control(thread: str, action: str, body: dict[str, str] | None, as_json: bool) -> None:
    outcome = connect().post(f"/v1/threads/{thread}/{action}", body)
    if as_json:
        print_json({"thread": thread, **outcome})
    else:
        click.echo(f"{outcome['status']}: {action} {thread}")


interrupt = _command(
    "interrupt",
    "End what THREAD does now: the completion stops, open calls are cancelled, their servers are told.",
)
stop = _command("stop", "Stop THREAD: nothing more happens in it until it is resumed or spoken to.")
resume = _command("resume", "Let THREAD go on after a stop or a problem.")
compact = _command("compact", "Summarise the history of THREAD in the background.")


@click.command(epilog="Example: infinity close thread_1 --report 'not needed any more'")
@click.argument("thread")
@click.option("--report", help="A last word for its parent.")
@as_json
@home_option
def close(thread: str, report: str | None, as_json: bool) -> None:
    """Close THREAD and its children for good: open calls and subscriptions are cancelled."""
    _control(thread, "close", {"report": report} if report else None, as_json)
