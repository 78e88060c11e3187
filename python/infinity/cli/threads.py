"""``infinity threads`` and ``infinity show``: the list, and one thread with what it waits for and what was
said last.

Both only read. Other commands take how reasons, questions and entries look from here.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Any

import click

from .connection import Connection, connect
from .display import (
    ago,
    dim,
    moment,
    one_line,
    print_json,
    question_lines,
    strong,
    table,
    text_of,
    warn,
    within,
)
from .exits import Failure
from .options import THREAD, as_json, home_option
from .states import advice, spent_line, state_line

__all__ = ["show", "threads"]


@click.command(epilog="Example: infinity threads --status waiting --json | jq -r '.threads[].id'")
@click.option("--status", type=click.Choice(["idle", "waiting", "stopped", "closed"]), help="Only those.")
@click.option("--root", metavar="THREAD", help="Only the tree of this thread.")
@click.option("--all", "everything", is_flag=True, help="Closed ones and children, too.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="Go on where an earlier list ended ('next' of --json).")
@as_json
@home_option
def threads(
    status: str | None, root: str | None, everything: bool, limit: int, after: str | None, as_json: bool
) -> None:
    """List threads, newest activity first."""
    everything = everything or bool(status or root)
    found = _listed(connect(), limit, after, everything, status=status, root=root)
    if as_json:
        print_json(found)
        return
    if not found["threads"]:
        click.echo("no threads; 'infinity chat' begins one")
        return
    rows = [
        (row["id"], status_word(row), ago(row["updated_at"]), row["title"] or row.get("opening", ""))
        for row in found["threads"]
    ]
    click.echo(table([("THREAD", "STATUS", "ACTIVE", "TITLE"), *rows]))
    if any(row[1] == "problem" for row in rows):
        click.echo(dim("problem: it could not go on and waits for you; infinity show THREAD says why"))
    if any(row[1] == "asks you" for row in rows):
        click.echo(
            dim(
                "asks you: it, or a child of it, waits for your answer; infinity show THREAD has the question"
            )
        )
    if any(row[1] == "child waits" for row in rows):
        click.echo(dim("child waits: for the end of something outside; infinity show THREAD says for what"))
    if any(row[1] == "not here" for row in rows):
        click.echo(dim("not here: its conversation is out of service here; infinity show THREAD says why"))
    if found["next"]:
        click.echo(dim(f"more: --after {found['next']}"))


def _listed(
    connection: Connection, limit: int, after: str | None, everything: bool, **filters: str | None
) -> dict[str, Any]:
    """A page of threads; without ``everything`` of open root threads. Closed ones, however many, are not even
    looked at (G3).
    """
    if everything:
        page: dict[str, Any] = connection.get("/v1/threads", limit=limit, after=after, **filters)
        return page
    newest_first = heapq.merge(
        *(_rows(connection, limit, after, status) for status in _OPEN), key=_place, reverse=True
    )
    # One more than was asked for says whether there are more.
    kept = list(itertools.islice((row for row in newest_first if row["parent"] is None), limit + 1))
    more = len(kept) > limit
    kept = kept[:limit]
    return {"threads": kept, "next": f"{kept[-1]['updated_at']}:{kept[-1]['id']}" if more else None}


_OPEN = ("idle", "waiting", "stopped")


def _place(row: dict[str, Any]) -> tuple[int, str]:
    return row["updated_at"], row["id"]


def _rows(connection: Connection, limit: int, after: str | None, status: str) -> Iterator[dict[str, Any]]:
    """Small pages first; where children lie between the roots, large ones."""
    while True:
        page = connection.get("/v1/threads", limit=min(limit + 1, 1000), after=after, status=status)
        yield from page["threads"]
        after, limit = page["next"], 1000
        if after is None:
            return


@click.command(epilog="Example: infinity show thread_1 --last 5")
@click.argument("thread", type=THREAD)
@click.option(
    "--last", type=click.IntRange(0), default=20, show_default=True, help="So many entries of its history."
)
@as_json
@home_option
def show(thread: str, last: int, as_json: bool) -> None:
    """A thread: its state, everything it waits for, and the end of its history."""
    connection = connect()
    found = connection.get(f"/v1/threads/{thread}")
    after = max(found["position"] - last - 1, -1)
    entries, damage = connection.entries(thread, after) if last else ([], None)
    if as_json:
        print_json({**found, "entries": entries, **({"damaged": damage} if damage else {})})
        if damage:
            raise Failure(damage)
        return
    click.echo(f"{strong(found['id'])}  {one_line(found['title'])}".rstrip())
    click.echo(
        warn(one_line(found["out_of_service"]))
        if found["out_of_service"]
        else warn("damaged: a part of its record cannot be read; the last line says which")
        if damage
        else state_line(found["explanation"])
    )
    if found["parent"]:
        click.echo(dim(f"child of {found['parent']}, tree of {found['root']}"))
    click.echo(
        dim(
            f"model {one_line(found['model'] or '(default)')}, created {ago(found['created_at'])}, active {ago(found['updated_at'])}"
        )
    )
    if spent := spent_line(found):
        click.echo(dim(spent))
    click.echo("".join(f"{line}\n" for line in reason_lines(found, answers_follow=True)), nl=False)
    for prompt in found["prompts"]:
        click.echo(prompt_lines(thread, prompt))
    for entry in entries:
        click.echo(entry_line(entry))
    if damage:
        raise Failure(damage)


def status_word(row: dict[str, Any]) -> str:
    """The status as the list shows it.

    An idle thread that could not go on, or one that waits for a person's answer, is not like one that has
    answered (I14).
    """
    if row.get("prompts"):
        return "asks you"
    if row.get("out_of_service"):
        return "not here"
    if row.get("child_waits") and row["status"] == "idle":
        return "child waits"
    return "problem" if row["problem"] and row["status"] == "idle" else str(row["status"])


def reason_line(reason: dict[str, Any]) -> str:
    """One reason of a thread's explanation, with its time and, where commands take it, its id."""
    text = one_line(reason["text"])
    line = warn(text) if reason["kind"] in ("problem", "held_back", "failing") else text
    if reason.get("until"):
        line += f", {_UNTIL.get(reason['kind'], 'until')} {moment(reason['until'])}"
    if reason.get("since") and " since " not in text:
        line += f", since {moment(reason['since'])}"
    return (
        f"{line} {dim('[' + reason['id'] + ']')}" if reason["kind"] in _NAMED and reason.get("id") else line
    )


_UNTIL = {"timer": "at", "pace": "at", "call": "given up at"}
_NAMED = ("call", "subscription", "prompt", "compaction")
"""Kinds whose id is of use to somebody: commands take it, or it is a thread."""


def reason_lines(thread: dict[str, Any], *, answers_follow: bool = False) -> Iterator[str]:
    """What a thread waits for, and below each reason what to type.

    Args:
        thread: As the API gives it.
        answers_follow: Whether how to answer a question is shown with the question itself.
    """
    reasons = thread["explanation"]["reasons"]
    kinds = {reason["kind"] for reason in reasons}
    for reason in reasons:
        yield f"  • {reason_line(reason)}"
        advised = advice(thread["id"], reason, kinds)
        if advised and not (answers_follow and reason["kind"] == "prompt"):
            yield dim(f"      {advised}")


def prompt_lines(thread: str, prompt: dict[str, Any]) -> str:
    """A question as ``show`` prints it, with the command that answers it.

    Args:
        thread: The thread that is shown.
        prompt: As the API gives it; it may be a child's.
    """
    asked, *rest = question_lines(prompt, prompt["kind"])
    lines = [f"  ? {asked}", *(f"  {line}" for line in rest)]
    if not prompt.get("auth_url"):
        lines.append(dim(f"      answer with: infinity choose {thread} {prompt['id']} INDEX"))
    if prompt.get("thread", thread) != thread:
        lines.append(dim(f"      asked in its child {one_line(prompt['thread'])}"))
    return "\n".join(lines)


_MARGIN = " " * 7
"""Before every further line of an entry: what somebody said cannot write a line that looks like somebody
else's."""


def entry_line(entry: dict[str, Any]) -> str:
    """One entry: who, and what was said or called."""
    kind = entry["kind"]
    if kind == "turn":
        calls = [block for block in entry["assistant"] if block["type"] == "tool_use"]
        lines = (
            [f"{strong('agent')}  {within(text_of(entry['assistant']), _MARGIN)}".rstrip()]
            if text_of(entry["assistant"])
            else []
        )
        lines += [dim(f"  → {one_line(call['name'])} {call['id']}") for call in calls]
        return "\n".join(lines) or dim("agent  (nothing to say)")
    text = text_of(entry["user"])
    if kind == "user":
        return f"{strong('user')}   {within(text, _MARGIN)}"
    shown = text if len(text) <= 500 else f"{text[:500]}…"
    return f"{dim({'result': 'result', 'event': 'event '}.get(kind, kind))} {within(shown, _MARGIN)}"
