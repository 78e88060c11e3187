"""``infinity prompts``: everything that people are asked now, in all conversations, with the commands that answer.

It shows what the console's inbox shows, from the same response.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from .connection import connect
from .display import ago, dim, moment, one_line, print_json, question_lines, strong
from .options import THREAD, as_json, home_option

__all__ = ["prompts"]


@click.command(epilog="Example: infinity prompts --root thread_1")
@click.option("--root", metavar="THREAD", type=THREAD, help="Only the tree of this thread.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
@home_option
def prompts(root: str | None, limit: int, as_json: bool) -> None:
    """List the questions that wait for an answer, the oldest first."""
    found = connect().get("/v1/prompts", root=root, limit=limit)
    if as_json:
        print_json(found)
        return
    for lost in found.get("damaged", ()):
        click.echo(
            f"! {lost['thread']}: {one_line(lost['text'])}; 'infinity doctor' says what can be done", err=True
        )
    if not found["prompts"]:
        if not found.get("damaged"):
            click.echo("nobody is asked anything")
        return
    for prompt in found["prompts"]:
        click.echo("\n".join(_lines(prompt)))
    if found["more"]:
        click.echo(dim(f"and {found['more']} more; --limit shows more of them"))


def _lines(prompt: dict[str, Any]) -> Iterator[str]:
    tool = prompt.get("tool")
    where = f" ({one_line(prompt['toolset'])})" if prompt.get("toolset") else ""
    asked = f", asked {ago(prompt['asked_at'])}" if prompt.get("asked_at") else ""
    until = f", until {moment(prompt['until'])}" if prompt.get("until") else ""
    yield f"{strong(one_line(tool or prompt['kind']))}{where}{dim(asked + until)}"
    yield dim(f"  in {_conversation(prompt)}")
    question, *rest = question_lines(prompt, prompt["kind"])
    yield f"  ? {question}"
    yield from (f"  {line}" for line in rest)
    if not prompt.get("auth_url"):
        yield dim(f"      answer with: infinity choose {prompt['thread']} {prompt['id']} INDEX")


def _conversation(prompt: dict[str, Any]) -> str:
    """The thread that asks, and the conversation it belongs to."""
    title = one_line(prompt.get("title") or "")
    named = f"{prompt['thread']} {title}".rstrip()
    if prompt.get("root", prompt["thread"]) == prompt["thread"]:
        return named
    return f"{named}, a child of {prompt['root']} {one_line(prompt.get('root_title') or '')}".rstrip()
