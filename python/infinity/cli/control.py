"""``infinity interrupt``, ``stop``, ``resume``, ``compact``, ``close``, ``title``, ``cancel`` and ``fork``."""

from __future__ import annotations

from urllib.parse import quote

import click

from .connection import connect
from .display import clean, print_json
from .options import THREAD, as_json, home_option

__all__ = ["cancel", "close", "compact", "fork", "interrupt", "resume", "stop", "title"]


def _command(name: str, text: str) -> click.Command:
    @click.command(name=name, help=text, epilog=f"Example: infinity {name} thread_1")
    @click.argument("thread", type=THREAD)
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
compact = _command("compact", "Summarise the history of THREAD in the background.")


@click.command(epilog="Example: infinity resume thread_1, infinity resume --all --problem budget")
@click.argument("thread", type=THREAD, required=False)
@click.option("--all", "every", is_flag=True, help="Every thread that rests with a problem.")
@click.option(
    "--problem",
    metavar="CODE",
    help="With --all: only threads with this problem, such as model_authentication.",
)
@as_json
@home_option
def resume(thread: str | None, every: bool, problem: str | None, as_json: bool) -> None:
    """Let THREAD go on after a stop or a problem; its budgets and its tries begin anew."""
    if every == (thread is not None) or (problem and not every):
        raise click.UsageError("give either a THREAD or --all; --problem goes with --all")
    if thread is not None:
        _control(thread, "resume", None, as_json)
        return
    outcome = connect().post("/v1/resume", {"problem": problem} if problem else None)
    if as_json:
        print_json(outcome)
    else:
        for resumed in outcome["resumed"]:
            click.echo(f"accepted: resume {clean(resumed)}")
        click.echo(f"{len(outcome['resumed'])} threads resumed")


@click.command(epilog="Example: infinity close thread_1 --report 'not needed any more'")
@click.argument("thread", type=THREAD)
@click.option("--report", help="A last word for its parent.")
@as_json
@home_option
def close(thread: str, report: str | None, as_json: bool) -> None:
    """Close THREAD and its children for good: open calls and subscriptions are cancelled."""
    _control(thread, "close", {"report": report} if report else None, as_json)


@click.command(epilog="Example: infinity title thread_1 'Trip to Bergen'")
@click.argument("thread", type=THREAD)
@click.argument("title")
@as_json
@home_option
def title(thread: str, title: str, as_json: bool) -> None:
    """Name THREAD. An empty TITLE takes its name away."""
    _control(thread, "title", {"title": title}, as_json)


@click.command(epilog="Example: infinity fork thread_1 17 --say 'By train, please.'")
@click.argument("thread", type=THREAD)
@click.argument("at", type=click.IntRange(min=0))
@click.option("--say", metavar="TEXT", help="What the fork is told first.")
@click.option("--model", help="Its model; else that of THREAD.")
@click.option("--title", default="", help="Its title.")
@click.option(
    "--tools",
    type=click.Choice(["ask", "as_configured", "deny"]),
    default="ask",
    show_default=True,
    help="Whether each call of a tool asks first, leaves as the policy says, or is refused.",
)
@as_json
@home_option
def fork(
    thread: str, at: int, say: str | None, model: str | None, title: str, tools: str, as_json: bool
) -> None:
    """Go on from THREAD before its entry AT another way: a new thread that knows what came before."""
    body = {"at": at, "say": say, "model": model, "title": title, "tools": tools}
    outcome = connect().post(f"/v1/threads/{thread}/fork", body)
    if as_json:
        print_json(outcome)
    else:
        click.echo(clean(outcome["id"]))


@click.command(epilog="Example: infinity cancel thread_1 call_1")
@click.argument("thread", type=THREAD)
@click.argument("call")
@as_json
@home_option
def cancel(thread: str, call: str, as_json: bool) -> None:
    """Cancel one open CALL of THREAD: the agent is told, its server need not go on. 'infinity show' lists open calls."""
    outcome = connect().post(f"/v1/threads/{thread}/calls/{quote(call, safe='')}/cancel")
    if as_json:
        print_json({"thread": thread, "call": call, **outcome})
    else:
        click.echo(f"{outcome['status']}: cancel {call}")
